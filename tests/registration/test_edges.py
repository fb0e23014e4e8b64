"""Implants with flat faces beside a CT, and those that begin far from their shadows."""

import math

import pytest
import torch
from registration_cases import DOUBLE, make_subject
from scene_cases import cone_views, cube, shifted
from torch.nn import functional

from raygrad.march import Marching
from raygrad.pose import RigidTransform
from raygrad.registration import BodyStatus, register
from raygrad.registration._problem.differences import Steps
from raygrad.registration._problem.edges import Edges
from raygrad.registration._problem.subpixels import Subpixels
from raygrad.registration._problem.tempered import Tempered
from raygrad.scene import Body, Mesh, Scene, Spheres

pytestmark = pytest.mark.usefixtures("one_thread")

CORNERS = [[20.0, 0, 0], [0, 20.0, 0], [0, 0, 20.0]]


def look(angle=0.0, side=96, width=240.0):
    return cone_views(side, delx=width / side, angles=((math.radians(angle), 0.0, 0.0),))


def off_by(found, truth, points):
    """How far points of a body are from where they should be, in mm."""
    points = torch.tensor([points], dtype=DOUBLE)
    return (found(points) - truth(points))[0].norm(dim=1).max().item()


def plate(off, name="plate"):
    """A patient and a plate in him, whose faces run along the beams of `look()` and `look(90)`; X-rays of both."""
    corners, faces = cube()
    solid = Mesh((corners * [6.0, 6.0, 24.0], faces), name=name, material=0.05, pose=shifted(25.0, 8.0, -15.0))
    scene = Scene([Body(make_subject(), values="density", name="ct"), solid])
    views = [look(), look(90.0)]
    shift = torch.tensor(off, dtype=DOUBLE)
    away = scene.with_poses({name: RigidTransform(solid.pose.matrix + functional.pad(shift[:, None], (3, 0, 0, 1)))})
    return away, views, solid.pose, [scene.render(view) for view in views]


def test_a_plate_whose_edges_no_ray_meets_is_found():
    scene, views, truth, xrays = plate([3.0, -2.0, 2.0])
    result = register(xrays, views, scene, candidates=1, response="log", advise=False)
    assert result.bodies["plate"].status == (BodyStatus.CONVERGED,)
    assert off_by(result.bodies["plate"].body_to_world, truth, [[0.0] * 3]) < 0.4  # a quarter of a pixel
    assert off_by(result.bodies["ct"].body_to_world, shifted(), CORNERS) < 0.05


def test_an_implant_far_from_its_shadow_is_looked_for_by_itself():
    scene, views, truth, xrays = plate([17.0, -12.0, 9.0])
    result = register(xrays, views, scene, candidates=4, response="log", advise=False)
    assert result.converged.all()
    assert off_by(result.bodies["plate"].body_to_world, truth, [[0.0] * 3]) < 1.0  # it was 23 mm off
    assert off_by(result.bodies["ct"].body_to_world, shifted(), CORNERS) < 0.05


def test_derivatives_of_solids_among_volumes_are_those_of_pixels():
    """A plate along the beam by its edges, a ball ray by ray, and neither steeper than the image."""
    scene, _, _, _ = plate([0.0, 0.0, 0.0])
    ball = Spheres([(-40.0, 0.0, 30.0)], 20.0, name="ball", material=0.05)
    bodies = Scene([*scene.bodies, ball]).prepared
    steps = {place: Steps(2.4, 10.0, 800.0) for place in (1, 2)}
    edges = Edges.among_volumes(bodies, steps, 1)
    assert len(edges) == len(edges.coarser(8.0)) == 3
    pivot = torch.zeros(3, dtype=DOUBLE)

    def seen(view, body=None, shift=0.0):
        moved = look(0.0).moved(shifted(shift, 0.0, 0.0))
        return [frame(view if number != body else moved, number) for number in range(3)]

    def frame(view, number):
        return view if number != 1 else view.moved(scene.bodies[1].pose.inverse())

    view = look(0.0)
    image, parts = edges.march_with_jacobian(seen(view), Marching())
    torch.testing.assert_close(image, edges.march(seen(view), Marching()))
    _, exact = bodies.march_with_jacobian(seen(view), Marching())
    torch.testing.assert_close(parts[0].by_motion(pivot), exact[0].by_motion(pivot))  # a volume
    rays, told = (one[2].by_motion(pivot)[0, 0] for one in (exact, parts))
    assert (told - rays).norm() < 0.3 * rays.norm()  # a ball, but for the rays that graze it
    assert told.abs().max() <= rays.abs().max()
    rays, told = (one[1].by_motion(pivot)[0, 0] for one in (exact, parts))
    change = sum(
        sign * Subpixels(bodies, 8).march(seen(view, 1, sign * 1.2), Marching())[0, 0] / 2.4 for sign in (1, -1)
    )
    assert rays.norm() < 0.3 * change.norm()  # what rays see of the plate's edges
    assert (told - change).norm() < 0.35 * change.norm()


def test_a_ray_that_grazes_a_face_is_no_steeper_than_the_image():
    corners, faces = cube(10.0)
    bodies = Scene([Body(make_subject(), values="density"), Mesh((corners, faces), material=0.05)]).prepared
    views = [look(1e-4, side=48).moved(shifted(x, 0.0, 0.0)) for x in (0.0, 1e-3)]
    tempered = Tempered(bodies)
    assert len(tempered.coarser(5.0)) == 2
    for view in views:
        image, parts = tempered.march_with_jacobian([view] * 2, Marching())
        torch.testing.assert_close(image, tempered.march([view] * 2, Marching()))
        pixel = view.detector.delx
        assert parts[1].by_ends[..., 3:].norm(dim=-1).max() <= (image.max() - image.min()) / pixel * (1 + 1e-6)
