"""Rivals: what sees nearly the same is tried before anybody believes an answer."""

import json
import math

import numpy as np
import pytest
import torch

from raygrad.data import load_example_ct, read
from raygrad.drr import DRR
from raygrad.geometry import UnknownGeometry
from raygrad.pose import RigidTransform, convert, se3_exp_map
from raygrad.registration import LocalCorrelation, Stage, Status, prepare_xrays, register
from raygrad.registration._coarse_to_fine import CoarseToFine
from raygrad.registration._doubts.doubted import _taken_over
from raygrad.registration._doubts.motions import Sight, describe_motion, levels_of, reflection, shift, turn
from raygrad.registration._doubts.readings import flipped, reading
from raygrad.registration._doubts.rivals import _peaks, find_rivals
from raygrad.registration._outcome import EQUAL, describe
from raygrad.registration._problem.told import LESS
from raygrad.registration._task import Task

pytestmark = pytest.mark.usefixtures("one_thread")

DOUBLE = torch.float64
SIDE = 64
STAGES = (
    Stage(32, LocalCorrelation(9), iterations=10, tolerance=0.3),
    Stage(SIDE, LocalCorrelation(9), iterations=10, tolerance=0.02, robust=True),
)
"""From close by."""
PERIOD = 24.0


def make_pose(degrees=(0.0, 0.0, 0.0), xyz=(0.0, 850.0, 0.0)):
    angles, xyz = (torch.tensor([values], dtype=DOUBLE) for values in (degrees, xyz))
    return convert(torch.deg2rad(angles), xyz, parameterization="euler_angles", convention="ZXY")


def off(pose, twist=(2.0, 4.0, -2.0, 0.02, -0.02, 0.02)):
    return RigidTransform(se3_exp_map(torch.tensor([twist], dtype=DOUBLE)) @ pose.matrix)


def column(marked=False):
    """A column of vertebrae, each like the others, or one of them with a mark at its side; not symmetric otherwise."""
    spacing = np.array([2.0, 2.0, 2.0])
    x, y, z = (np.arange(n) * 2.0 - n + 1.0 for n in (48, 48, 144))
    x, y, z = np.meshgrid(x, y, z, indexing="ij")
    within = (z / PERIOD) - np.round(z / PERIOD)
    body = (np.hypot(x - 4, y + 6) < 17) & (np.abs(within) < 0.36)
    process = (np.hypot(x + 20, (y - 14) / 2) < 5) & (np.abs(within - 0.12) < 0.2)
    other = (np.hypot(x - 26, (y - 4) / 3) < 3.5) & (np.abs(within + 0.2) < 0.12)
    hu = np.where(body | process | other, 600.0, -1000.0)
    if marked:
        hu[(np.hypot(x + 8, z - 6) < 7) & (np.abs(y) < 30)] = 1800.0
        hu[(np.hypot(x - 12, z + 22) < 4) & (np.abs(y) < 30)] = 1500.0
    labels = np.where(body, (np.round(z / PERIOD) + 8).astype(np.int16), 0)
    names = {int(n): f"vertebrae_T{n}" for n in range(5, 12)}
    affine = np.diag([*spacing, 1.0])
    affine[:3, 3] = -(np.array(hu.shape) - 1) * spacing / 2
    return read(
        hu.astype(np.float32),
        labelmap=labels.astype(np.int16),
        structures=names,
        affine=affine,
        center_volume=False,
        orientation="AP",
    )


def field(subject, mm=90.0, parallel=False):
    size = mm / SIDE * (1.0 if parallel else 1.2)
    return DRR(subject, sdd=1020.0, height=SIDE, delx=size, renderer="joseph", parallel=parallel)


def image_of(drr, pose):
    with torch.no_grad():
        return drr(RigidTransform(pose.matrix.float()))


@pytest.fixture(scope="module")
def alike():
    return column()


@pytest.fixture(scope="module")
def marked():
    return column(marked=True)


@pytest.fixture(scope="module")
def thorax():
    return load_example_ct(shape=(96, 96, 50))


def course_at(drr, xray, pose):
    return CoarseToFine(Task(prepare_xrays(xray, drr, pose)))


class TestMotions:
    POSE = make_pose((17.0, 4.0, 3.0), (6.0, 500.0, 9.0))

    def seen(self, subject, motion_of):
        """A parallel beam's image, and that from a pose moved by a motion that its sight tells."""
        drr = field(subject, 260.0, parallel=True)
        xray = image_of(drr, self.POSE)
        course = course_at(drr, xray, self.POSE)
        sight = Sight.of(course, self.POSE.matrix)
        motion = motion_of(sight, course.centre)
        return xray, image_of(drr, RigidTransform(motion @ self.POSE.matrix))

    def test_the_other_side_of_a_parallel_beam_shows_the_columns_in_the_other_order(self, thorax):
        here, there = self.seen(thorax, lambda sight, _: turn(sight.up, 180.0, sight.middle))
        assert (there.flip(-1) - here).abs().max() < 2e-3 * here.max()
        assert (there - here).abs().max() > 0.1 * here.max()

    def test_half_a_turn_in_the_image_turns_it(self, thorax):
        here, there = self.seen(thorax, lambda sight, _: turn(sight.beam, 180.0, sight.middle))
        assert (torch.rot90(there, 2, (-2, -1)) - here).abs().max() < 2e-3 * here.max()

    def test_the_twin_of_what_is_symmetric_shows_the_same(self, thorax):
        density = thorax.density.data
        symmetric = read((thorax.volume.data + thorax.volume.data.flip(1))[0] / 2, affine=thorax.volume.affine)
        assert density.shape == symmetric.density.data.shape

        def twin(sight, centre):
            normal = torch.tensor([[1.0, 0.0, 0.0]], dtype=DOUBLE)
            return reflection(normal, centre[None]) @ reflection(sight.beam, sight.middle)

        here, there = self.seen(symmetric, twin)
        assert (there - here).abs().max() < 2e-3 * here.max()

    def test_two_reflections_turn_by_twice_the_angle_between_them(self):
        normals = torch.tensor([[1.0, 0, 0], [math.cos(0.4), math.sin(0.4), 0]], dtype=DOUBLE)
        first, second = reflection(normals, torch.zeros_like(normals))
        motion = second @ first
        assert torch.linalg.det(motion).item() == pytest.approx(1.0)
        assert math.acos((motion[:3, :3].trace().item() - 1) / 2) == pytest.approx(0.8)

    def test_levels_are_named_by_the_labelmap(self, alike):
        assert list(levels_of(field(alike))) == ["T5", "T6", "T7", "T8", "T9", "T10", "T11"]
        assert levels_of(field(alike))["T8"][2].item() == pytest.approx(0.0, abs=1.0)
        assert levels_of(None) == {}

    def test_motions_have_names(self, alike):
        drr = field(alike)
        pose = make_pose()
        course = course_at(drr, image_of(drr, pose), pose)
        sight = Sight.of(course, pose.matrix)

        def name(motion, levels):
            return describe_motion(motion[0], sight, 0, levels)

        up = shift(torch.tensor([[0.0, 0.0, PERIOD]], dtype=DOUBLE))
        assert name(up, levels_of(drr)) == "one vertebra up: T9 for T8"
        assert name(up.inverse(), {}) == "one vertebra down (24 mm)"
        assert name(turn(sight.up, 180.0, sight.middle), {}) == "from the other side"
        assert name(turn(sight.beam, 180.0, sight.middle), {}) == "turned in the image by 180 degrees"
        assert name(turn(sight.beam, 40.0, sight.middle), {}) == "another pose, 0 mm and 40 degrees away"


def test_levels_are_tried_where_the_score_peaks():
    score = torch.tensor([[[0.9, 0.5, 0.4, 0.6, 0.3, 0.2, 0.1], [0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3]]])
    assert _peaks(score).tolist() == [[3, 3]]


def test_a_mirrored_x_ray_takes_its_mask_along(thorax):
    drr = field(thorax, 300.0)
    mask = torch.ones(SIDE, SIDE)
    mask[:, :20] = 0
    xrays = prepare_xrays(image_of(drr, make_pose()), drr, make_pose(), mask)
    course = reading(CoarseToFine(Task(xrays)), flipped)
    assert torch.equal(course.xrays[0].image, xrays[0].image.flip(-1))
    assert course.xrays[0].weights[:, -20:].sum() == 0
    assert torch.equal(CoarseToFine(Task(xrays)).xrays[0].image, xrays[0].image)


class TestRivals:
    def test_a_right_pose_has_none(self, thorax):
        drr, pose = field(thorax, 300.0), make_pose((8.0, 3.0, 2.0))
        result = register(image_of(drr, pose), drr, off(pose), stages=STAGES, candidates=1)
        assert result.status == (Status.CONVERGED,)
        assert result.rivals == ((),)
        assert "as good" not in result.summary()
        assert "rivals" not in result.outcome()

    def test_vertebrae_that_are_alike_are_named(self, alike):
        drr, pose = field(alike), make_pose((20.0, 3.0, 2.0))
        result = register(image_of(drr, pose), drr, off(pose), stages=STAGES, candidates=1)
        assert result.status == (Status.AMBIGUOUS,)
        names = [rival.name for rival in result.rivals[0]]
        assert "one vertebra up: T9 for T8" in names
        assert "one vertebra down: T7 for T8" in names
        assert "one vertebra up: T9 for T8" in result.summary()
        told = json.loads(json.dumps(result.outcome()))["rivals"]
        assert {rival["name"] for rival in told} == set(names)
        up = result.rivals[0][names.index("one vertebra up: T9 for T8")]
        way = up.pose.matrix[0, :3, 3] - result.pose.matrix[0, :3, 3]
        assert way[2].item() == pytest.approx(PERIOD, abs=1.5)
        assert result.only(0).rivals == result.rivals

    def test_a_wrong_vertebra_gives_way_to_the_right_one(self, marked):
        drr, pose = field(marked), make_pose((20.0, 3.0, 2.0))
        wrong = RigidTransform(shift(torch.tensor([[0.0, 0.0, PERIOD]], dtype=DOUBLE)) @ pose.matrix)
        xray = image_of(drr, pose)
        course = course_at(drr, xray, wrong)
        with torch.no_grad():
            answers = course.run(course.candidates(torch.eye(4, dtype=DOUBLE)[None]), STAGES)
            before = describe(course, answers, torch.tensor([False]))
            assert (before.pose.matrix[0, 2, 3] - wrong.matrix[0, 2, 3]).abs() < 4
            found = find_rivals(course, answers, [True], EQUAL)
            assert list(found.better) == [0]
            after = _taken_over(course, answers, before, found.better)
        assert (after.pose.matrix[0, :3, 3] - pose.matrix[0, :3, 3]).norm() < 1.5
        assert after.score[0] > before.score[0]
        assert after.status == (Status.CONVERGED,)

    def test_starts_that_end_alike_are_asked_once(self, alike):
        drr, pose = field(alike), make_pose((20.0, 3.0, 2.0))
        starts = RigidTransform(torch.cat([off(pose).matrix, pose.matrix]))
        result = register(image_of(drr, pose), drr, starts, stages=STAGES, candidates=1)
        assert result.status == (Status.AMBIGUOUS,) * 2
        assert result.rivals[0] == result.rivals[1]

    def test_pixels_of_another_size_are_told(self, thorax):
        pose = make_pose((8.0, 3.0, 2.0))
        drr = field(thorax, 300.0)
        claimed = DRR(thorax, sdd=1020.0, height=SIDE, delx=1.2 * float(drr.detector.delx), renderer="joseph")
        nearer = make_pose((8.0, 3.0, 2.0), (0.0, 850.0 / 1.2, 0.0))
        result = register(image_of(drr, pose), claimed, nearer, stages=STAGES, candidates=1)
        assert result.status[0] in (Status.AMBIGUOUS, Status.INCONSISTENT)
        (rival,) = result.rivals[0]
        told = float(rival.name.split()[2])
        assert told == pytest.approx(float(drr.detector.delx), rel=0.08)  # depth makes up for a part of it
        assert rival.score > result.score[0]

    def test_no_rivals_are_asked_for_once_the_run_was_ended(self, alike):
        drr, pose = field(alike), make_pose((20.0, 3.0, 2.0))
        result = register(image_of(drr, pose), drr, pose, stages=STAGES, candidates=1, callback=lambda _: True)
        assert result.rivals == ()


def test_a_reading_follows_its_image_wherever_it_leads(thorax):
    """What one image tells of the pixel size counts less in a registration, not in a doubt about it."""
    drr, pose = field(thorax, 300.0), make_pose((8.0, 3.0, 2.0))
    unknowns = UnknownGeometry(pixel_size=0.3)
    course = CoarseToFine(Task(prepare_xrays(image_of(drr, pose), drr, pose), unknowns=unknowns))
    stage = Stage(32, LocalCorrelation(9), iterations=1, tolerance=0.1, calibrate=True)
    here = course.candidates(torch.eye(4, dtype=DOUBLE)[None])
    cautious, free = (one.problem(here, stage).noise for one in (course, reading(course, unknowns=unknowns)))
    torch.testing.assert_close(cautious, LESS * free)
