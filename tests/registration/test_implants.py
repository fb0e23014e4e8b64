"""Implants in X-rays of which the scene knows nothing else: outlines, what is near them, and sequences."""

import math

import numpy as np
import pytest
import torch
from real_files import real_data
from registration_cases import DOUBLE, START, TRUTH, make_subject
from scene_cases import cone_views, icosphere, shifted
from torch.nn import functional

from raygrad.drr import DRR
from raygrad.geometry import ConeViews, Detector, Intrinsics
from raygrad.march import Marching
from raygrad.pose import RigidTransform, make_reorient, se3_exp_map
from raygrad.registration import (
    GlobalCorrelation,
    LevenbergMarquardt,
    Stage,
    Status,
    register,
    to_line_integrals,
    track,
)
from raygrad.registration._chosen_response import first_response
from raygrad.registration._problem.absorbing import Absorbing
from raygrad.registration._problem.nearby import cut_out, near_shadows
from raygrad.registration._problem.pose_problem import ScaledXRay
from raygrad.registration._scene_inputs import prepare_scene
from raygrad.registration._task import Task
from raygrad.scene import Body, Mesh, Scene, Spheres

pytestmark = pytest.mark.usefixtures("one_thread")

SIDE = 96
FEW = {"candidates": 3}


def look(side=SIDE, **lengths):
    return cone_views(side, **{"delx": 150 / side, "dely": 150 / side} | lengths)


def ellipsoid(*radii, rounds=3):
    vertices, faces = icosphere(1.0, rounds=rounds)
    return torch.as_tensor(vertices) * torch.tensor(radii, dtype=DOUBLE), torch.as_tensor(faces)


def component():
    """Like a femoral component: a shell that is cut open behind, with one condyle larger than the other, and a peg."""
    vertices, faces = ellipsoid(22.0, 16.0, 18.0)
    x, y, z = vertices.T
    dent = torch.exp(-((x / 9) ** 2 + ((z - 16) / 12) ** 2))
    bump = 3 * torch.exp(-((x + 12) ** 2) / 30)
    return torch.stack([x * (1 + 0.012 * y), y * (1 + 0.01 * x), z - 18 * dent + bump], dim=1), faces


def implant(pose=None):
    return Mesh(component(), name="implant", material="titanium", pose=pose)


def fluoroscopy(truth, side=SIDE, angle=0.0):
    """An X-ray with bones beside and behind, flesh, an offset of scattered light and a camera that is not linear."""
    bones = [
        Mesh(ellipsoid(12.0, 14.0, 60.0), name="femur", material=0.03, pose=shifted(4 + 40 * angle, 5, 55)),
        Mesh(ellipsoid(16.0, 16.0, 50.0), name="tibia", material=0.03, pose=shifted(-6, -3, -62)),
        Mesh(ellipsoid(45.0, 50.0, 140.0), name="flesh", material=0.012, pose=shifted(8, 0, 0)),
    ]
    image = Scene([*bones, implant(truth)], displace=False).render(look(side))
    return to_line_integrals(1000 * (torch.exp(-image) + 0.15) ** 0.8)


def moved(pose, *twist):
    return RigidTransform(pose.matrix @ se3_exp_map(torch.tensor([twist], dtype=DOUBLE)))


def off_by(result, truth, start=0):
    """Degrees, and mm across the beam (along y)."""
    found = result.bodies["implant"].body_to_world.matrix[start]
    turn = truth.matrix[0, :3, :3].T @ found[:3, :3]
    degrees = math.degrees(math.acos(min(1.0, max(-1.0, (float(turn.trace()) - 1) / 2))))
    return degrees, float((found - truth.matrix[0])[[0, 2], 3].norm())


REST = shifted(3, 2, -4, (0.3, 0.2, -0.4))


# What is near


def test_pixels_near_the_shadows_of_a_start_count():
    images = torch.zeros(3, 1, 20, 20)
    images[0, 0, 4, 4] = images[1, 0, 15, 15] = 1.0
    near = near_shadows(images, torch.tensor([0, 0, 1]), 3.0, (20, 20))
    torch.testing.assert_close(near[0], near[1])  # those of a start share them
    assert near[0, 0, 4, 4] == near[0, 0, 15, 15] == near[0, 0, 4, 6] == 1
    assert near[0, 0, 4, 12] == near[0, 0, 0, 19] == 0
    assert ((near[0] > 0) & (near[0] < 1)).any()  # softly
    assert (near[2] == 1).all()  # it sees nothing, so nothing is left out
    assert near_shadows(images, torch.tensor([0, 0, 1]), 3.0, (40, 40)).shape == (3, 1, 40, 40)


@pytest.mark.parametrize("flipped", [True, False])
def test_a_cut_out_sees_what_the_whole_sees_there(flipped):
    views = look(24, width=30, x0=7.0, y0=-3.0, reverse_x_axis=flipped)
    weights = torch.zeros(1, 1, 24, 30)
    weights[:, :, 5:11, 17:24] = 1
    bodies = Scene([implant(REST)]).prepared
    image = torch.arange(24 * 30.0).reshape(1, 1, 24, 30)
    whole = ScaledXRay(views.detector, Marching(), bodies, views.pose.matrix, image, weights)
    part = cut_out(whole)
    assert part.shape == (10, 11)
    torch.testing.assert_close(part.image, image[:, :, 3:13, 15:26])
    ends = (
        detector(views.pose)[1].reshape(-1, *shape, 3)
        for detector, shape in ((whole.detector, (24, 30)), (part.detector, (10, 11)))
    )
    all_targets, targets = ends
    torch.testing.assert_close(targets, all_targets[:, 3:13, 15:26])


# What is absorbed


def absorbing(scene, side=2, pixel=1.0):
    return Absorbing(scene.prepared, side, pixel, [15.0], 850.0)


def test_a_pixel_is_the_mean_of_what_its_rays_let_through():
    scene = Scene([Mesh(component(), name="implant", material="titanium")])
    coarse = absorbing(scene).march([look(32)], Marching()).reshape(32, 32)
    fine = 1 - torch.exp(-scene.render(look(64))[0, 0])
    expected = fine.reshape(32, 2, 32, 2).mean((1, 3)).to(coarse)
    torch.testing.assert_close(coarse, expected, rtol=0, atol=1e-5)
    assert coarse.max() > 0.95


def test_derivatives_by_differences_are_those_of_the_shadow():
    """A ball's shadow grows with the inverse square of its distance, and moves with it."""
    scene = Scene([Spheres([[0.0, 0.0, 0.0]], 12.0, material=5.0)])
    views = look(96)
    image, (derivatives,) = absorbing(scene, pixel=150 / 96 * 850 / 1020).march_with_jacobian([views], Marching())
    by_motion = derivatives.by_motion(torch.zeros(3, dtype=DOUBLE))[0]
    area = float(image.sum())
    assert float(by_motion[1].sum()) == pytest.approx(-2 * area / 850, rel=0.06)  # y is the depth: the camera retreats
    grid = torch.arange(96, dtype=by_motion.dtype) - 47.5
    rows, columns = grid.repeat_interleave(96), grid.repeat(96)
    pixels_per_mm = 1020 / 850 / (150 / 96)
    assert float((by_motion[0] * columns).sum()) / area == pytest.approx(pixels_per_mm, rel=0.02)
    assert float((by_motion[2] * rows).sum()) / area == pytest.approx(pixels_per_mm, rel=0.02)
    assert by_motion[3:].abs().max() < 2e-2 * by_motion[0].abs().max() * 12  # it looks the same from everywhere


def test_derivatives_follow_moves_of_half_a_pixel():
    scene, views, generator = Scene([implant()]), look(64), torch.Generator().manual_seed(3)
    bodies = absorbing(scene, side=3, pixel=150 / 64 * 850 / 1020)
    _, (derivatives,) = bodies.march_with_jacobian([views], Marching())
    pivot = torch.tensor([1.0, -2.0, 3.0], dtype=DOUBLE)
    by_motion = derivatives.by_motion(pivot)[0].double()
    for _ in range(4):
        twist = torch.randn(6, generator=generator, dtype=DOUBLE) * torch.tensor([0.6, 5.0, 0.6, 0.03, 0.03, 0.03])
        ends = []
        for sign in (1, -1):
            motion = se3_exp_map(sign * twist[None])
            motion[0, :3, 3] += pivot - motion[0, :3, :3] @ pivot
            ends.append(bodies.march([views.moved(RigidTransform(motion))], Marching())[0, 0].double())
        difference, linear = (ends[0] - ends[1]) / 2, twist @ by_motion
        assert (difference - linear).norm() < 0.35 * difference.norm()
        assert torch.corrcoef(torch.stack([difference, linear]))[0, 1] > 0.95


# Found, and told


@pytest.fixture(scope="module")
def truth():
    return moved(REST, 3.0, 8.0, -2.0, 0.06, -0.07, 0.05)


def test_an_implant_is_found_among_bones_that_the_scene_does_not_know(truth):
    result = register(fluoroscopy(truth), look(), Scene([implant(REST)]), **FEW)
    degrees, across = off_by(result, truth)
    assert degrees < 1.5
    assert across < 0.3
    assert result.status == (Status.CONVERGED,)
    assert result.responses[0]["name"] == "transmission"
    assert result.only(0).responses[0]["exponent"].tolist() == [1.0]


def test_a_start_that_is_lost_is_not_told_as_found(truth):
    away = moved(truth, 30.0, 0.0, 25.0, 0.9, 0.8, -0.9)
    result = register(fluoroscopy(truth), look(), Scene([implant(away)]), **FEW)
    assert off_by(result, truth)[0] > 5 or result.status == (Status.CONVERGED,)
    if off_by(result, truth)[0] > 5:
        assert result.status != (Status.CONVERGED,)


def test_a_sequence_is_followed_and_a_frame_without_the_implant_is_told(truth):
    poses = [moved(REST, *(n * torch.tensor([1.5, 1.0, -1.0, 0.05, -0.04, 0.06])).tolist()) for n in range(4)]
    frames = [fluoroscopy(pose) for pose in poses]
    noise = torch.rand(1, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(1))
    frames[2] = noise
    seen = []
    found = track(frames, look(), Scene([implant(REST)]), on_frame=lambda number, result: seen.append(number), **FEW)
    assert seen == [0, 1, 2, 3]
    assert found.lost == (2,)
    assert "frame 2: no match" in found.summary()
    assert len(found.body_to_world("implant")) == 4
    for number in (0, 1, 3):
        degrees, across = off_by(found.frames[number], poses[number])
        assert degrees < 2
        assert across < 0.5
    stopped = track(frames, look(), Scene([implant(REST)]), on_frame=lambda number, result: True, **FEW)
    assert len(stopped.frames) == 1
    with pytest.raises(ValueError, match="at least one frame"):
        track([], look(), Scene([implant(REST)]))
    two = look(angles=((0.0, 0.0, 0.0), (0.1, 0.0, 0.0)))
    with pytest.raises(ValueError, match=r"one pose each to track from\. Got 2"):
        track(frames, two, Scene([implant(REST)]))


# Which response


def test_solids_alone_absorb_and_all_else_begins_with_line_integrals(truth):
    def chosen(image, scene, response="auto"):
        xrays, models = prepare_scene(image, look(), scene)
        return first_response(response, Task(xrays, models=models))

    xray = fluoroscopy(truth)
    assert chosen(xray, Scene([implant(REST)])) == "transmission"
    assert chosen(xray, Scene([implant(REST)]), "curve") == "curve"
    assert chosen(xray * 100, Scene([implant(REST)])) == "log"  # no logarithms of intensities
    assert chosen(xray, Scene([implant(REST), Body(make_subject(), name="ct")])) == "log"


def test_a_display_curve_is_seen_through_without_being_asked():
    drr = DRR(make_subject(), 1020.0, 48, 10 / 3, renderer="joseph")
    stages = tuple(Stage(n, GlobalCorrelation(), iterations=15, tolerance=0.05, keep=1) for n in (24, 48))
    integrals = drr(TRUTH)
    points = torch.tensor([[40.0, 0, 0], [-40, 0, 0], [0, 40, 0], [0, -40, 0], [0, 0, 40], [0, 0, -40]])[None]

    def off(xray, response):
        result = register(xray, drr, START, stages=stages, candidates=4, response=response)
        found, true = (drr.perspective_projection(pose, points) for pose in (result.pose.to(torch.float32), TRUTH))
        return (found - true).norm(dim=-1).mean().item()

    display = torch.sigmoid(9 * (integrals / integrals.max() - 0.3))
    assert off(display, "auto") < 0.6 * off(display, "log")
    assert off(integrals, "auto") == off(integrals, "log")
    assert LevenbergMarquardt().response == "auto"


def test_a_stage_looks_near_or_everywhere():
    with pytest.raises(ValueError, match=r"near of a stage as a positive length .* Got -1"):
        Stage(64, GlobalCorrelation(), iterations=1, tolerance=1.0, near=-1)


@pytest.mark.filterwarnings("ignore:.*triangles of:raygrad.scene.SceneWarning")
def test_a_femoral_component_is_found_in_real_fluoroscopy():
    image = pytest.importorskip("PIL.Image", reason="frames are TIFF files")
    folder = real_data("fluoroscopy") / "knee_b"
    row = (folder / "fem.jts").read_text().splitlines()[3].replace(",", " ").split()
    x, y, z, *angles = (float(number) for number in row)
    tilt, forward, aside = (math.radians(angle) for angle in angles)
    turns = [((0, 0, 1), tilt), ((1, 0, 0), forward), ((0, 1, 0), aside)]  # JT_EULER_312: Rz Rx Ry
    matrices = [
        se3_exp_map(torch.tensor([[0.0, 0, 0, *(angle * one for one in axis)]], dtype=DOUBLE))[0]
        for axis, angle in turns
    ]
    implant_to_camera = matrices[0] @ matrices[1] @ matrices[2]
    implant_to_camera[:3, 3] = torch.tensor([x, y, z], dtype=DOUBLE)
    flip = torch.diag(torch.tensor([-1.0, 1.0, -1.0, 1.0], dtype=DOUBLE))  # that camera looks along -z
    truth = RigidTransform((flip @ implant_to_camera)[None]).inverse()
    start = RigidTransform(
        se3_exp_map(torch.tensor([[2.0, -3.0, 8.0, 0.06, -0.05, 0.06]], dtype=DOUBLE)) @ truth.matrix
    )
    counts = torch.from_numpy(np.array(image.open(sorted(folder.glob("*.tif"))[1])).astype(np.float32))
    xray = functional.avg_pool2d(to_line_integrals(counts)[None, None], 2)
    system = Intrinsics(sdd=1198.0, height=512, width=512, delx=0.746, dely=0.746)
    scene = Scene([Mesh(next(folder.glob("*_fem.stl")), name="implant", material="titanium")])
    result = register(xray, ConeViews(Detector.of(system, make_reorient(None)), start), scene)
    found = result.bodies["implant"].poses[0].matrix[0]
    turn = truth.matrix[0, :3, :3].T @ found[:3, :3]
    assert math.degrees(math.acos(min(1.0, (float(turn.trace()) - 1) / 2))) < 2
    assert result.status == (Status.CONVERGED,)
