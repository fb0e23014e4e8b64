"""Realistic conditions: each X-ray is what it is said to be, and shares neither projector nor density with DRRs."""

import numpy as np
import pytest
import torch
from condition_cases import body_with_spine, clean, small_detector

from raygrad.data import Subject, Volume
from raygrad.evaluation import CONDITIONS, Outcome, conditions_of, evaluate, make_case, measure_errors, measure_ratios
from raygrad.evaluation._conditions import cases as cases_module
from raygrad.evaluation._conditions import patients
from raygrad.evaluation._conditions.processing import (
    Processing,
    aperture,
    display_curve,
    enhanced,
    in_8_bits,
    processed,
    text_pixels,
)
from raygrad.evaluation._run import draw_starts
from raygrad.evaluation._starts import make_generator
from raygrad.evaluation._targets import find_spine, select_labels
from raygrad.pose import RigidTransform


@pytest.fixture(scope="module")
def subject():
    """A body along all of z with two lungs, whose lower end is the diaphragm, and a spine of three vertebrae."""
    return body_with_spine(36, 10.0, lambda away, z: (away < 1) & (z > -0.1) & (z < 0.9))


@pytest.fixture(scope="module", autouse=True)
def small_images():
    with small_detector():
        yield


# What the X-rays see


def test_the_image_is_no_multiple_of_the_registrations_own(subject):
    case = clean("f", "ap", subject)
    own, seen = case.drr(case.poses[0])[0, 0].flatten(), case.xrays[0][0, 0].flatten()
    inside = own > 1
    scale = (own[inside] * seen[inside]).sum() / own[inside].square().sum()
    off = (scale * own[inside] - seen[inside]).abs().mean() / seen[inside].mean()
    assert 0.01 < off < 0.3


# The patient


def test_beyond_the_ct_the_patient_goes_on(subject):
    whole, cut = clean("f", "ap", subject), clean("l", "ap", subject)
    torch.testing.assert_close(whole.xrays[0], cut.xrays[0], atol=1e-4, rtol=0)  # the X-ray is that of the whole
    slices = cut.drr.subject.volume.spatial_shape[2]
    assert slices == round(patients.KEPT_SHARE * 36)
    # What is left lies where it lay, so rays that meet nothing else see the same.
    one, other = whole.drr(whole.poses[0])[0, 0], cut.drr(cut.poses[0])[0, 0]
    assert (one - other).abs()[17:23].max().item() < 1e-3 * one.max().item()
    assert (one - other)[[2, -3]].max().item() > 0.3 * one.max().item()
    low, high = cut.drr.subject.volume.get_bounds()[2]
    assert cut.points[..., 2].min().item() >= low
    assert cut.points[..., 2].max().item() <= high


def test_a_table_is_in_the_ct_alone(subject):
    case = clean("m", "lateral", subject)
    torch.testing.assert_close(case.xrays[0], clean("f", "lateral", subject).xrays[0], atol=1e-4, rtol=0)
    changed = case.drr.subject.volume.voxels != subject.volume.voxels
    assert changed.any()
    assert (subject.volume.voxels[changed] == -1000).all()  # it takes the place of air, never of the patient
    patient = torch.nonzero(subject.volume.voxels > -500)
    assert torch.nonzero(changed)[:, 1].max() <= patient[:, 1].min() + 8  # hollow, beneath the patient
    assert torch.nonzero(changed)[:, 2].unique().tolist() == list(range(36))
    density, before = case.drr.subject.density.voxels, subject.density.voxels
    assert torch.equal(density[~changed], before[~changed])
    difference = case.drr(case.poses[0]) - subject_drr(subject, case)(case.poses[0])
    assert difference.max().item() > 0.02 * case.drr(case.poses[0]).max().item()


def subject_drr(subject, case):
    """A DRR of the subject on a case's detector."""
    return cases_module.DRR(subject, cases_module.SDD, case.drr.detector.height, float(case.drr.detector.delx))


def test_a_ct_with_a_table_loses_it_in_the_xray(subject):
    hu = patients.with_table(subject, subject.volume.voxels)
    lying = Subject(Volume(hu, subject.volume.affine), mask=subject.mask, structures=subject.structures)
    patient = patients.table(lying)
    assert patient.ct is lying
    changed = hu != subject.volume.voxels
    assert hu[changed].max().item() == patients.SKIN_HU
    assert patient.seen.volume.voxels[changed].max().item() <= -900  # foam is next to air
    assert torch.equal(patient.seen.volume.voxels[~changed], hu[~changed])


def test_density_follows_new_hu_as_it_did_the_old(subject):
    hu = subject.volume.voxels.clone()
    hu[0, 0, 0], hu[1, 0, 0] = 30.0, -700.0
    changed = patients.with_hu(subject, hu)
    of = {value: subject.density.voxels[subject.volume.voxels == value][0].item() for value in (30.0, -700.0)}
    assert changed.density.voxels[0, 0, 0].item() == pytest.approx(of[30.0])
    assert changed.density.voxels[1, 0, 0].item() == pytest.approx(of[-700.0])


def test_breathing_moves_the_diaphragm_and_not_the_spine(subject):
    motion = patients.lattice_motion(subject)
    assert motion.min().item() == 0
    assert motion.max().item() == pytest.approx(patients.INSPIRED_MM, rel=0.05)
    hu, breathed = subject.volume.voxels, patients.inspired(subject)
    spine = select_labels(subject, find_spine(subject))
    assert torch.equal(breathed[spine], hu[spine])
    # Lungs grow downwards: voxels of 10 mm at their lower end, far from the spine, become lung.
    x, y, edge = 7, 22, int((hu[7, 22] < -500).nonzero().min())
    assert breathed[x, y, edge - 1].item() < 0 < hu[x, y, edge - 1].item()
    assert breathed[x, y, edge + 2].item() == pytest.approx(-700, abs=1)
    ap = clean("n", "ap", subject)
    assert (ap.xrays[0] - clean("f", "ap", subject).xrays[0]).abs().max().item() > 0.05


# Small fields


def test_small_fields_look_at_a_vertebra(subject):
    case = make_case("j", "oblique", subject)
    assert case.centre == pytest.approx((0.0, -9 * 4.5, 0.0), abs=10)
    assert float(case.drr.detector.delx) == 3.0
    middle = torch.tensor([case.centre], dtype=torch.float64)
    pixel = case.drr.perspective_projection(case.poses[0].to(torch.float32), middle[None].float())
    torch.testing.assert_close(pixel[0, 0], torch.tensor([19.5, 19.5]), atol=0.6, rtol=0)
    assert (case.points[0] - middle).norm(dim=-1).max().item() < cases_module.FIELD_MM + 10
    (start,) = draw_starts(case, 1, 10.0, 0.0, seed=0)
    seen = [pose.inverse()(middle[None].to(pose.matrix)) for pose in (start.poses[0], case.poses[0])]
    torch.testing.assert_close(*(point.double() for point in seen), atol=1e-3, rtol=0)  # starts turn about it


def test_a_vertebra_that_stays_changes_nothing(subject, monkeypatch):
    monkeypatch.setattr(cases_module, "SPINE_DEGREES", 0.0)
    monkeypatch.setattr(cases_module, "SPINE_MM", 0.0)
    still, moved = clean("j", "lateral", subject), clean("k", "lateral", subject)
    torch.testing.assert_close(moved.xrays[0], still.xrays[0], atol=1e-4, rtol=0)


def test_a_moved_vertebra_leaves_tissue_and_appears_elsewhere(subject):
    still, moved = clean("j", "ap", subject), clean("k", "ap", subject)
    assert moved.spine_labels == (2,)
    errors = measure_errors(moved.spine_poses[0], moved.poses[0], moved.spine_points)
    assert 1 < errors.mtre < 12
    lost = (moved.xrays[0] - still.xrays[0])[0, 0]
    assert lost.min().item() < -0.02
    assert lost.max().item() > 0.02
    voxels = subject.volume.world_to_voxel.double()
    places = (moved.points[0].double() @ voxels[:3, :3].mT + voxels[:3, 3]).round().long()
    assert not select_labels(subject, [2])[tuple(places.T)].any()  # the body's errors are not the vertebra's


# Processing


@pytest.fixture
def image():
    return clean_image()


def clean_image():
    row, column = torch.meshgrid(torch.arange(80.0), torch.arange(80.0), indexing="ij")
    return 3 + (row / 9).sin() + 2 * ((column - 30) / 20).tanh() + 0.2 * ((row + column) / 2).sin()


def test_display_curves_keep_the_order(image):
    shown = display_curve(image).flatten()
    order = image.flatten().argsort()
    assert (shown[order].diff() >= 0).all()
    assert 0 < shown.min().item() < 0.1 < 0.9 < shown.max().item() < 1
    line = np.polyfit(image.flatten(), shown, 1)
    assert (shown - torch.from_numpy(np.polyval(line, image.flatten()))).abs().max().item() > 0.03  # and bend


def test_eight_bits_are_256_levels_clipped_at_both_ends(image):
    shown = in_8_bits(image)
    assert len(shown.unique()) <= 256
    assert (shown.min().item(), shown.max().item()) == (0.0, 1.0)
    assert 0.004 < (shown == 1).float().mean().item() < 0.02


def test_enhancement_shows_small_things_and_flattens_large_ones(image):
    fine, coarse = (
        (enhanced(im, 2.0) - enhanced(image, 2.0)).std().item()
        for im in (image + 0.1 * torch.randn(80, 80, generator=make_generator(0)), image + 1e-3)
    )
    assert coarse < 1e-3 < fine
    flat = enhanced(image, 2.0)
    contrast = [im[:, 50:].mean().sub(im[:, :10].mean()).abs().item() / im.std().item() for im in (flat, image)]
    assert contrast[0] < contrast[1]


def test_leaves_and_text_lie_where_they_are_said_to_be(image):
    for view in ("ap", "lateral"):
        shown = processed(image, 2.0, Processing(collimated=True), view)
        within = aperture((80, 80), view)
        written = text_pixels((80, 80))
        torch.testing.assert_close(shown[within & ~written], image[within & ~written])
        assert (shown[~within] > image.max()).all()
        assert (shown[written] == shown.max()).all()
        assert 0.2 < within.float().mean().item() < 0.7
    assert torch.equal(processed(image, 2.0, Processing(), "ap"), image)
    assert make_case("i", "ap", body()).masks is None


def body():
    """A ball of water about a ball of bone."""
    grid = torch.stack(torch.meshgrid(*[torch.linspace(-1, 1, 16)] * 3, indexing="ij"))
    affine = np.diag([20.0, 20.0, 20.0, 1.0])
    affine[:3, 3] = -150
    far = grid.norm(dim=0)
    return Subject(Volume(torch.where(far < 0.4, 300.0, torch.where(far < 0.8, 0.0, -1000.0)), affine))


# Rows


def test_conditions_that_need_a_spine_need_names(subject):
    assert conditions_of(subject) == list(CONDITIONS)
    assert conditions_of(body()) == [*"abcd", *"fghi", *"lm", *"oprs"]


def test_the_same_seed_makes_the_same_xray(subject):
    for letter in ("f", "k"):
        one, same, other = (make_case(letter, "ap", subject, seed).xrays[0] for seed in (0, 0, 1))
        assert torch.equal(one, same)
        assert not torch.equal(one, other)


def off_by(mm, status):
    def solve(case, start):
        moved = torch.eye(4, dtype=torch.float64)[None].clone()
        moved[0, 0, 3] = mm
        return Outcome(case.poses[0].compose(RigidTransform(moved)), 0.1, status)

    return solve


@pytest.mark.parametrize(
    ("condition", "mm", "status", "success", "false_success", "false_alarm"),
    [
        ("f", 0.5, "converged", True, False, False),
        ("f", 0.5, "no match", True, False, True),
        ("f", 1.5, "converged", False, False, False),
        ("f", 2.5, "converged", False, True, False),
        ("f", 2.5, "no match", False, False, False),
        ("n", 1.5, "converged", True, False, False),
        ("n", 2.5, "converged", False, True, False),
        ("n", 6.0, "inconsistent", True, False, False),
        ("n", 0.5, "inconsistent", True, False, False),
    ],
)  # fmt: skip
def test_success_is_what_the_condition_calls_so(subject, condition, mm, status, success, false_success, false_alarm):
    (row,) = evaluate(subject, condition, ["ap"], 1, solver=off_by(mm, status), method="stub")
    assert row.in_plane == pytest.approx(mm, rel=0.05)
    assert (row.success, row.false_success, row.false_alarm) == (success, false_success, false_alarm)
    assert (row.degrees, row.mm) == (10, 15)  # the condition's own


def test_deviations_are_compared_with_errors():
    pose = RigidTransform(torch.eye(4, dtype=torch.float64)[None])
    scale = torch.tensor([0.3, 0.3, 2.0, 0.01, 0.01, 0.02], dtype=torch.float64)
    draws = scale * torch.randn(2000, 6, generator=make_generator(1), dtype=torch.float64)
    ratios = []
    about = (40.0, -20.0, 60.0)
    for draw in draws:
        motion = torch.eye(4, dtype=torch.float64)
        motion[:3, :3] = torch.linalg.matrix_exp(cross(draw[3:]))
        centre = torch.tensor(about, dtype=torch.float64)
        motion[:3, 3] = centre + draw[:3] - motion[:3, :3] @ centre
        ratios.append(measure_ratios(pose, RigidTransform(motion[None]), scale.square().diag(), pose, about))
    # Of true deviations: chi of two, one and three degrees of freedom over the root of their number.
    for name, middle, high in (("in_plane", 0.833, 1.731), ("depth", 0.674, 1.960)):
        values = torch.tensor([getattr(ratio, name) for ratio in ratios])
        assert values.median().item() == pytest.approx(middle, rel=0.05)
        assert values.quantile(0.95).item() == pytest.approx(high, rel=0.05)
    assert 0.7 < np.median([ratio.turn for ratio in ratios]) < 1.0
    assert measure_ratios(pose, pose, torch.full((6, 6), torch.inf), pose) is None


def cross(vector):
    """The matrix of its cross product."""
    x, y, z = vector.tolist()
    return torch.tensor([[0, -z, y], [z, 0, -x], [-y, x, 0]], dtype=torch.float64)
