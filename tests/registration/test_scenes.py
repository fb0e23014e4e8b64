"""Scenes in registration: implants, wires and joints that are found beside a CT, or without one."""

import json
import math

import pytest
import torch
from registration_cases import DOUBLE, make_subject
from scene_cases import cone_views, icosphere, shifted

from raygrad.drr import DRR
from raygrad.geometry import ConeViews, Intrinsics
from raygrad.march import Marching
from raygrad.pose import RigidTransform, se3_exp_map, se3_log_map
from raygrad.registration import (
    BodyStatus,
    LocalCorrelation,
    RegistrationWarning,
    SearchRanges,
    Stage,
    Status,
    UnknownGeometry,
    displacements,
    register,
)
from raygrad.registration._coarse_to_fine import CoarseToFine
from raygrad.registration._problem.at_rest import AtRest
from raygrad.registration._problem.subpixels import Subpixels
from raygrad.registration._scene_inputs import prepare_scene
from raygrad.registration._task import Task
from raygrad.scene import Ball, Body, Capsule, Cone, Fixed, Hinge, Mesh, Scene, Spheres

pytestmark = pytest.mark.usefixtures("one_thread")

SIDE = 96
STAGES = (
    Stage(24, LocalCorrelation(9), iterations=15, tolerance=0.3),
    Stage(48, LocalCorrelation(9), iterations=15, tolerance=0.1, apart=True),
    Stage(96, LocalCorrelation(9), iterations=12, tolerance=0.003, calibrate=True),
)
QUICK = {"stages": STAGES, "candidates": 1, "response": "log"}  # X-rays of exact line integrals


def look(angle=0.0, side=SIDE, width=240.0):
    return cone_views(side, delx=width / side, angles=((math.radians(angle), 0.0, 0.0),))


def pear():
    """A closed mesh that looks different from everywhere."""
    vertices, faces = icosphere(1.0, rounds=2)
    x, y, z = vertices.T
    vertices = vertices * [14.0, 10.0, 24.0] * (1 + 0.35 * z + 0.2 * x * y)[:, None]
    return vertices, faces


def twisted(pose, twist):
    """A body at this pose, moved by a twist in its own frame."""
    return RigidTransform(pose.matrix @ se3_exp_map(torch.tensor([twist], dtype=DOUBLE)))


def off_by(found, truth, points):
    """How far points of a body are from where they should be, in mm."""
    points = torch.tensor([points], dtype=DOUBLE)
    return (found(points) - truth(points))[0].norm(dim=1).max().item()


CORNERS = [[20.0, 0, 0], [0, 20.0, 0], [0, 0, 20.0]]


def test_an_implant_alone_is_found_from_one_view():
    scene = Scene([Mesh(pear(), name="cup", material="titanium", pose=shifted(5, 3, -8, (0.3, 0.1, -0.2)))])
    truth = twisted(scene.bodies[0].pose, [3.0, -2.0, 2.5, 0.06, -0.08, 0.05])
    result = register(scene.render(look(), poses={"cup": truth}), look(), scene, **QUICK)
    cup = result.bodies["cup"]
    assert result.converged.all()
    assert cup.status == (BodyStatus.CONVERGED,)
    across = (cup.body_to_world(torch.zeros(1, 1, 3, dtype=DOUBLE)) - truth(torch.zeros(1, 1, 3, dtype=DOUBLE)))[0, 0]
    assert across[[0, 2]].norm() < 0.02  # in the plane of the detector; y is the depth
    assert off_by(cup.body_to_world, truth, CORNERS) < 0.3
    # The main body's poses are the result's: where the camera is in its frame.
    torch.testing.assert_close(result.pose.matrix, cup.poses[0].matrix)
    camera = cup.body_to_world.inverse().matrix @ look().pose.matrix
    torch.testing.assert_close(cup.poses[0].matrix, camera, rtol=0, atol=1e-6)
    assert len(cup.unseen) == 0


@pytest.fixture(scope="module")
def theatre():
    """A CT, a cup in it, and a wire through it; the cup's and the wire's poses are a little off, the patient's more."""
    rod = ((-40.0, -15.0, 0.0), (0.0, 10.0, 55.0))
    bodies = [
        Body(make_subject(), values="density", name="ct"),
        Cone((0, 0, -10), (4, 2, 14), 13, 6, name="cup", material=0.02, pose=shifted(25, 8, -15, (0.3, 0.2, 0.1))),
        Capsule(*rod, 2.0, name="wire", material=0.05),
        Spheres((60.0, 0.0, -70.0), 6.0, name="marker", material=0.05, joint=Fixed()),
    ]
    scene = Scene(bodies)
    patient = shifted(3, -4, 2, (0.05, -0.04, 0.03))
    own = {"ct": [0.0] * 6, "cup": [1.5, -1.0, 0.5, 0.04, -0.03, 0.0], "wire": [-1.0, 1.5, 0.5, 0.01, 0.02, -0.02]}
    truth = {n: twisted(scene.poses()[n].compose(patient), twist) for n, twist in own.items()}
    views = [look(), look(70.0)]
    return scene, views, truth, [scene.render(view, poses=truth) for view in views], rod


def test_a_ct_an_implant_and_a_wire_are_found_together(theatre):
    scene, views, truth, xrays, rod = theatre
    result = register(xrays, views, scene, **QUICK)
    assert result.converged.all()
    found = {name: body.body_to_world for name, body in result.bodies.items()}
    assert list(found) == ["ct", "cup", "wire", "marker"]
    assert off_by(found["ct"], truth["ct"], CORNERS) < 0.02
    assert off_by(found["cup"], truth["cup"], [[0.0, 0, -10], [4.0, 2, 14]]) < 0.05
    # The wire's ends are where they should be, whatever its turn about its own axis.
    assert off_by(found["wire"], truth["wire"], rod) < 0.05
    status = {name: body.status[0] for name, body in result.bodies.items()}
    assert status == dict.fromkeys(("ct", "cup", "wire"), BodyStatus.CONVERGED) | {"marker": BodyStatus.FIXED}
    torch.testing.assert_close(found["marker"].matrix, torch.eye(4, dtype=DOUBLE)[None])
    assert result.bodies["marker"].uncertainty is None

    (twist,) = result.bodies["wire"].unseen
    axis = torch.tensor(rod, dtype=DOUBLE).diff(dim=0)[0]
    torch.testing.assert_close(twist[3:], axis / axis.norm())
    assert "not looked for" in result.bodies["wire"].summary()
    # Both views see one patient, and the cup in it where it is.
    for view, camera in enumerate(views):
        expected = truth["cup"].inverse().matrix @ camera.pose.matrix
        turn = result.bodies["cup"].poses[view].matrix @ torch.linalg.inv(expected)
        ends = torch.tensor([[0.0, 0, -10, 1], [4.0, 2, 14, 1]], dtype=DOUBLE)
        assert (ends @ turn[0].mT - ends).norm(dim=1).max() < 0.05
    expected = truth["cup"].compose(truth["ct"].inverse())
    relative = result.bodies["cup"].relative_to(result.bodies["ct"])
    assert off_by(relative, expected, [[0.0, 0, -10], [4.0, 2, 14]]) < 0.05

    outcome = json.loads(json.dumps(result.only(0).outcome()))
    assert outcome["bodies"]["wire"]["status"] == "converged"
    assert outcome["bodies"]["marker"]["body_to_world"][0] == [1.0, 0.0, 0.0, 0.0]
    assert "cup: converged" in result.summary()


def test_a_scene_of_a_ct_is_the_registration_of_the_ct(theatre):
    subject = theatre[0].bodies[0].subject
    view = look()
    drr = DRR(subject, 1020.0, SIDE, 240.0 / SIDE, renderer="joseph")
    moved = shifted(4, 3, -3, (0.05, 0.06, -0.04)).matrix @ view.pose.matrix
    xray = drr(RigidTransform(moved.to(torch.float32)))
    alone = register(xray, drr, view.pose, **QUICK)
    scene = Scene([Body(subject, values="density")])
    result = register(xray, view, scene, **QUICK)
    torch.testing.assert_close(result.pose.matrix, alone.pose.matrix, rtol=0, atol=1e-4)
    assert (result.status, result.bodies["ct"].status) == (alone.status, (BodyStatus.CONVERGED,))
    found, expected = result.uncertainty.standard_deviations, alone.uncertainty.standard_deviations
    torch.testing.assert_close(found, expected, rtol=0.05, atol=1e-5)


def test_structures_of_a_ct_are_bodies_in_its_world():
    subject, view = make_subject(), look()
    structures = {"half": [1]}
    drr = DRR(subject, 1020.0, SIDE, 240.0 / SIDE, renderer="joseph")
    xray = drr(RigidTransform(view.pose.matrix.to(torch.float32)))
    start = RigidTransform(shifted(1, 2, -1, (0.02, 0.01, 0.0)).matrix @ view.pose.matrix)
    result = register(xray, drr, start, structures=structures, **QUICK)
    half = result.bodies["half"]
    assert half.status == (BodyStatus.CONVERGED,)
    assert half.poses is result.structures["half"]
    (moved,) = displacements(result, subject, structures).values()
    centre = torch.tensor([[[-30.0, 0, 0]]], dtype=DOUBLE)
    assert (half.body_to_world(centre) - centre).norm().item() == pytest.approx(moved.mm, abs=0.05)
    assert half.uncertainty.covariance.shape == (1, 6, 6)


def leg(joint):
    parts = [
        Mesh(pear(), name="femur", material="titanium"),
        Cone((0, 0, -70), (8, 3, -35), 5, 11, name="tibia", material="titanium", parent="femur", joint=joint),
    ]
    return Scene(parts)


def test_the_angle_of_a_hinge_is_found_with_its_deviation():
    joint = Hinge((0.0, 0.0, -30.0), (0.1, 1.0, 0.2))
    scene, view = leg(joint), look()
    femur = shifted(2, -3, 2, (0.04, 0.03, -0.05))
    xray = scene.render(view, poses={"femur": femur}, joints={"tibia": torch.tensor([0.2], dtype=DOUBLE)})
    result = register(xray, view, scene, free=["femur", "tibia"], **QUICK)
    tibia = result.bodies["tibia"]
    assert tibia.joint.shape == (1, 1)
    assert tibia.joint.item() == pytest.approx(0.2, abs=1e-3)
    assert tibia.status == (BodyStatus.CONVERGED,)
    assert 0 < tibia.joint_deviations.item() < 1e-2
    assert "joint 0.2" in tibia.summary()
    assert off_by(result.bodies["femur"].body_to_world, femur, CORNERS) < 0.3
    # The child is where its parent and the joint put it.
    expected = scene.poses({"femur": result.bodies["femur"].body_to_world}, {"tibia": tibia.joint})["tibia"]
    torch.testing.assert_close(tibia.body_to_world.matrix, expected.matrix, rtol=0, atol=1e-6)
    # Left alone, the joint keeps its angle.
    stiff = register(xray, view, scene, free="femur", **QUICK).bodies["tibia"]
    assert (stiff.status, stiff.joint.abs().max() < 1e-9) == ((BodyStatus.FIXED,), True)
    assert stiff.uncertainty is not None  # that of its parent


def test_a_child_alone_turns_in_its_joint_while_the_rest_stands_in_the_world():
    scene, view = leg(Ball((0.0, 0.0, -30.0))), look()
    values = torch.tensor([0.05, 0.1, 0.0], dtype=DOUBLE)
    xray = scene.render(view, joints={"tibia": values})
    result = register(xray, view, scene, free=["tibia"], **QUICK)
    torch.testing.assert_close(result.bodies["femur"].body_to_world.matrix, torch.eye(4, dtype=DOUBLE)[None])
    ends = [[0.0, 0, -70], [8.0, 3, -35]]
    truth = scene.poses(joints={"tibia": values})["tibia"]
    assert off_by(result.bodies["tibia"].body_to_world, truth, ends) < 0.3


@pytest.mark.slow
def test_covariances_are_the_spread_over_noisy_images():
    """Of two bodies whose images overlap, so that each takes from what is known of the other."""
    parts = [
        Mesh(pear(), name="cup", material=0.02),
        Cone((0, 0, -22), (5, 3, 22), 5, 9, name="stem", material=0.02, pose=shifted(16, -20, 5, (0.4, 0.2, 0.6))),
    ]
    scene, view = Scene(parts), look(width=120.0)
    clean = scene.render(view)
    generator = torch.Generator().manual_seed(0)
    stages = (Stage(SIDE, LocalCorrelation(9), iterations=6, tolerance=0.003, apart=True),)
    runs = []
    for _ in range(8):
        noise = 0.01 * torch.randn(clean.shape, generator=generator, dtype=clean.dtype)
        runs.append(register(clean + noise, view, scene, stages=stages, candidates=1))
    for name, truth in scene.poses().items():
        bodies = [run.bodies[name] for run in runs]
        deviations = torch.cat([body.uncertainty.standard_deviations for body in bodies]).mean(0)
        middle = scene.bodies[scene.place_of(name)].ball[0][None, None]
        shifts = torch.cat([(body.body_to_world(middle) - truth(middle))[0] for body in bodies])
        ratio = shifts[:, [0, 2]].std(dim=0) / deviations[:2]  # along the detector's axes
        assert ((ratio > 0.15) & (ratio < 2.0)).all(), name  # deviations hold what noise hides, too


def test_a_body_outside_the_beam_is_said_not_to_be_seen():
    far = Capsule((300.0, 0, 0), (330.0, 10, 0), 3.0, name="screw", material="steel")
    scene = Scene([Mesh(pear(), name="cup", material="titanium"), far])
    truth = shifted(1, -1, 1, (0.03, 0.02, 0.01))
    with pytest.warns(UserWarning, match="No ray meets 'screw'"):
        xray = scene.render(look(), poses={"cup": truth})
    result = register(xray, look(), scene, **QUICK)
    assert result.bodies["cup"].status == (BodyStatus.CONVERGED,)
    screw = result.bodies["screw"]
    assert screw.status == (BodyStatus.NOT_SEEN,)
    assert screw.uncertainty.standard_deviations.isinf().all()
    assert screw.uncertainty.weakest()[1] == math.inf
    assert result.outcome()["bodies"]["screw"]["standard_deviations"]["x (mm)"] is None
    assert "not seen" in result.summary()


def test_intrinsics_and_relative_poses_are_found_with_the_bodies(theatre):
    scene, views, truth, xrays, _ = theatre
    motion = shifted(0.5, -1.5, 1.0, (0.0, 0.004, -0.003))
    assumed = [views[0], ConeViews(views[1].detector, RigidTransform(motion.matrix @ views[1].pose.matrix))]
    unknowns = UnknownGeometry(pose_mm=2.0, pose_deg=0.5, y0_mm=2.0)
    result = register(xrays, assumed, scene, unknowns=unknowns, **QUICK)
    first, second = (torch.linalg.inv(pose) for pose in (views[0].pose.matrix, result.poses[0].matrix))
    expected, found = first @ views[1].pose.matrix, second @ result.poses[1].matrix
    turn = found @ torch.linalg.inv(expected)
    assert se3_log_map(turn)[0, 3:].norm() < 1e-3
    assert (found - expected)[0, :3, 3].norm() < 0.5  # 1.9 mm at the start
    assert set(result.intrinsics[0]) == {"y0"}
    ends = [[0.0, 0, -10], [4.0, 2, 14]]
    relative = result.bodies["cup"].relative_to(result.bodies["ct"])
    assert off_by(relative, truth["cup"].compose(truth["ct"].inverse()), ends) < 0.1


def test_several_starts_are_several_poses_of_the_views():
    scene = Scene([Mesh(pear(), name="cup", material="titanium")])
    truth = shifted(1, -1, 1, (0.03, 0.02, 0.01))
    view = look()
    starts = torch.cat([view.pose.matrix, shifted(2, 3, -1, (0.01, 0.0, 0.01)).matrix @ view.pose.matrix])
    xray = scene.render(view, poses={"cup": truth})
    result = register(xray, ConeViews(view.detector, RigidTransform(starts)), scene, **QUICK)
    assert result.status == (Status.CONVERGED,) * 2
    assert result.bodies["cup"].only(1).poses[0].matrix.shape == (1, 4, 4)
    torch.testing.assert_close(result.pose.matrix[0], result.pose.matrix[1], rtol=0, atol=0.05)


# What is refused


@pytest.mark.parametrize(
    ("free", "message"),
    [
        (["cup", "stem"], "among cup, ball.*'stem'"),
        ("ball", "'ball' with a Fixed joint"),
        ([], "at least one body to move among cup, ball"),
    ],
)
def test_bodies_that_cannot_move_are_refused(free, message):
    scene = Scene([Mesh(pear(), name="cup"), Spheres((0.0, 0, 0), 2.0, name="ball", joint=Fixed())])
    with pytest.raises(ValueError, match=message):
        register(torch.rand(SIDE, SIDE), look(), scene, free=free)


def test_what_does_not_belong_to_a_scene_is_refused():
    scene, xray, view = Scene([Mesh(pear(), name="cup")]), torch.rand(SIDE, SIDE), look()
    with pytest.raises(TypeError, match=r"ConeViews and a raygrad\.scene\.Scene"):
        register(xray, view, view.pose)
    drr = DRR(make_subject(), 1020.0, SIDE, 2.5)
    with pytest.raises(TypeError, match=r"ConeViews and a raygrad\.scene\.Scene"):
        register(xray, drr, scene)
    with pytest.raises(ValueError, match="no structures beside a scene"):
        register(xray, view, scene, structures={"spine": [1]})
    with pytest.raises(ValueError, match="no ranges beside a scene"):
        register(xray, view, scene, ranges=SearchRanges())
    with pytest.raises(ValueError, match="method lm for bodies"):
        register(xray, view, scene, method="adam")
    with pytest.raises(ValueError, match=r"1 X-ray.*2 view"):
        register(xray, [view, view], scene)
    with pytest.raises(ValueError, match="Got calibrations"):
        register(xray, ConeViews(view.detector, view.pose, torch.eye(4)[None]), scene)
    with pytest.raises(ValueError, match="shape"):
        register(xray[1:], view, scene)
    away = ConeViews(view.detector, twisted(view.pose, [0.0, 0, 0, 0, 0, 3.0]))
    with pytest.raises(ValueError, match="beam meets"):
        register(xray, away, scene)
    with pytest.raises(ValueError, match="free bodies of a scene"):
        register(xray, drr, view.pose, free=["cup"])


def test_an_inverted_image_of_an_implant_is_warned_of():
    scene = Scene([Mesh(pear(), name="cup", material="titanium")])
    image = scene.render(look())
    with pytest.warns(RegistrationWarning, match="looks inverted"):
        register(image.max() - image, look(), scene, stages=STAGES[:1], candidates=1)


# What bodies are seen as


@pytest.mark.parametrize("pixels", [24, 12], ids=["one ray a pixel", "several rays a pixel"])
def test_derivatives_of_a_scene_by_every_unknown_are_those_of_its_images(pixels):
    """Two bodies that overlap, one of which has a hinge; a wire that stands still; geometry and relative poses."""
    parts = [
        Mesh(pear(), name="cup", material=0.02),
        Cone(
            (0, 0, -70),
            (8, 3, -15),
            5,
            11,
            name="stem",
            material=0.05,
            parent="cup",
            joint=Hinge((0, 0, -30), (1, 1, 0)),
        ),
        Capsule((-30.0, 5, -20), (10, -5, 40), 3.0, name="wire", material=0.05),
    ]
    scene, views = Scene(parts), [look(side=24), look(75.0, side=24)]
    xrays, models = prepare_scene([scene.render(view) for view in views], views, scene, ["cup", "stem"])
    unknowns = UnknownGeometry(pose_mm=2.0, pose_deg=1.0, sdd_mm=5.0, x0_mm=2.0, pixel_size=0.01)
    course = CoarseToFine(Task(xrays, {}, unknowns, models=models))
    begun = course.candidates(shifted(1.5, -2, 1, (0.04, 0.02, -0.03)).matrix)
    stage = Stage(pixels, LocalCorrelation(5), iterations=0, tolerance=0.1, calibrate=True, apart=True)
    apart = course._take_apart(begun)
    problem, states = course.problem(apart, stage), apart.states
    number = sum(problem._block_sizes)
    assert number == 6 + 1 + 6 + 2 * 3
    felt = torch.zeros(number)
    for view in range(2):
        stack = problem.stack(states, view)
        for unknown in range(number):
            step = torch.zeros(1, number, dtype=DOUBLE)
            step[:, unknown] = 1e-5
            ends = [problem.images(problem.moved(states, sign * step), view)[:, 0] for sign in (1, -1)]
            change = (ends[0] - ends[1]) / 2e-5
            scale = max(float(change.abs().max()), 1e-3)
            torch.testing.assert_close(stack[:, 1 + unknown], change, rtol=0, atol=5e-3 * scale)
            felt[unknown] += float(change.abs().max() > 1e-4)
    assert (felt > 0).all()


def test_pixels_of_several_rays_are_their_mean_and_so_are_derivatives():
    scene = Scene([Mesh(pear(), name="cup"), Capsule((-20.0, 0, 10), (-30, 5, 60), 2.0, name="wire")])
    coarse, fine = look(side=8), look(side=24)
    seen = scene.prepared.march([fine] * 2, Marching()).reshape(8, 3, 8, 3).mean((1, 3)).flatten()
    bodies = Subpixels(scene.prepared, 3)
    assert len(bodies) == 2
    image, derivatives = bodies.march_with_jacobian([coarse] * 2, Marching())
    torch.testing.assert_close(image[0, 0], seen)
    torch.testing.assert_close(bodies.coarser(9.0).march([coarse] * 2, Marching())[0, 0], seen)
    calibrated = ConeViews(coarse.detector, coarse.pose, coarse.calibrations.clone())
    torch.testing.assert_close(bodies.march([calibrated] * 2, Marching())[0, 0], seen)
    pivot = torch.tensor([1.0, 2.0, 3.0], dtype=DOUBLE)
    twist = torch.tensor([[0.3, 0.2, -0.4, 0.01, -0.02, 0.015]], dtype=DOUBLE)
    h = 1e-4
    for body, parts in enumerate(derivatives):
        ends = []
        for sign in (1, -1):
            motion = se3_exp_map(sign * h * twist)
            motion[:, :3, 3] += pivot - motion[:, :3, :3] @ pivot
            views = [coarse.moved(RigidTransform(motion)) if number == body else coarse for number in range(2)]
            ends.append(bodies.march(views, Marching())[0, 0])
        change = (ends[0] - ends[1]) / (2 * h)
        assert change.abs().max() > 0.01
        torch.testing.assert_close(
            (twist @ parts.by_motion(pivot)[0])[0], change, rtol=0, atol=2e-3 * change.abs().max()
        )
        by_x0 = parts.by_targets(torch.ones_like(parts.ends[1])[:, :, None])
        assert by_x0.shape == (1, 1, 64)


def test_a_scene_at_rest_is_one_body():
    bodies = [
        Mesh(pear(), name="cup", pose=shifted(5, 2, 3, (0.3, 0.2, 0.1))),
        Capsule((-20.0, 0, 0), (10, 5, 20), 2.0),
    ]
    scene = Scene(bodies)
    frames = torch.stack([pose.inverse().matrix[0] for pose in scene.poses().values()])
    whole, view = AtRest(scene.prepared, frames), look(side=12)
    assert len(whole) == len(whole.coarser(5.0)) == 1
    image, (derivatives,) = whole.march_with_jacobian([view], Marching())
    torch.testing.assert_close(image.reshape(1, 1, 12, 12), scene.render(view))
    twist = torch.tensor([[0.3, 0.2, -0.4, 0.01, -0.02, 0.015]], dtype=DOUBLE)
    ends = [whole.march([view.moved(RigidTransform(se3_exp_map(s * 1e-4 * twist)))], Marching()) for s in (1, -1)]
    change = (ends[0] - ends[1])[0] / 2e-4
    expected = twist @ derivatives.by_motion(torch.zeros(3, dtype=DOUBLE))[0]
    torch.testing.assert_close(expected, change, rtol=0, atol=2e-3 * change.abs().max())


def test_detectors_of_tensors_are_made_finer_too():
    lengths = {"sdd": torch.tensor(1020.0), "delx": 20.0, "dely": 20.0, "height": 8, "width": 8}
    view = look(side=8)
    detector = view.detector.with_intrinsics(Intrinsics(**lengths))
    scene = Scene([Mesh(pear(), name="cup")])
    image = Subpixels(scene.prepared, 2).march([ConeViews(detector, view.pose)], Marching())
    assert image.shape == (1, 1, 64)
