"""Advice: where nothing matches, the usual mistakes are undone until the images do."""

import json
import warnings

import pytest
import torch

from raygrad.data import load_example_ct
from raygrad.drr import DRR
from raygrad.pose import RigidTransform, convert
from raygrad.registration import (
    GlobalCorrelation,
    RegistrationWarning,
    SearchRanges,
    Stage,
    Status,
    register,
    search,
)

pytestmark = pytest.mark.usefixtures("one_thread")

SIDE = 100


def pose_of(angles, xyz=(0.0, 850.0, 0.0)):
    return convert(
        torch.tensor([angles]), torch.tensor([xyz]), parameterization="euler_angles", convention="ZXY", degrees=True
    )


TRUTH = pose_of([10.0, -5.0, 8.0], [12.0, 850.0, -20.0])
START = pose_of([0.0, 0.0, 0.0])
QUICK = {"stages": (Stage(25, GlobalCorrelation(), iterations=2, tolerance=1.0),)}


@pytest.fixture(scope="module")
def subject():
    return load_example_ct(shape=(96, 96, 50))


@pytest.fixture(scope="module")
def drr(subject):
    return DRR(subject, sdd=1020.0, height=SIDE, delx=4.0, renderer="joseph")


@pytest.fixture(scope="module")
def xray(drr):
    with torch.no_grad():
        line = drr(TRUTH)[0, 0]
    return line * (5.0 / line.max())


def registered(xray, drr, start=START, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RegistrationWarning)
        return register(xray, drr, start, **options)


def holed(xray):
    row, column = torch.meshgrid(torch.arange(SIDE) - 48.0, torch.arange(SIDE) - 51.0, indexing="ij")
    return torch.where(row.square() + column.square() < 32**2, xray, 1.3 * xray.max())


MISTAKES = {
    "negative": (lambda xray: xray.max() - xray, "inverted", "max()"),
    "counts": (lambda xray: 1000 * torch.exp(-xray), "logarithm", "to_line_integrals"),
    "turned": (lambda xray: torch.rot90(xray), "turned by 90 degrees in the image", "rot90"),
    "collimated": (holed, "mask of all but a round field in the middle", "mask="),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_found_and_told(mistake, xray, drr):
    change, name, hint = MISTAKES[mistake]
    result = registered(change(xray), drr, auto_mask=False)
    assert result.status == (Status.NO_MATCH,)
    (advice,) = result.advice
    assert advice.helps is not None, advice.summary()
    assert advice.helps.name == name
    assert hint in advice.helps.hint
    assert advice.match < advice.line <= advice.helps.match
    assert any(line.startswith(f"what would help: {name}") for line in result.summary().splitlines())
    told = json.loads(json.dumps(result.outcome()))["advice"]
    assert told["helps"] == name
    assert name in told["tried"]


def test_a_mirrored_image_is_told_whatever_it_matched(xray, drr):
    """The phantom is so much like its own mirror image that it may match."""
    result = registered(xray.flip(-1), drr)
    assert not result.converged.any()
    names = [rival.name for rival in result.rivals[0]] if result.rivals else [result.advice[0].helps.name]
    assert any("mirrored" in name for name in names)
    assert "mirrored" in result.summary()


def test_the_other_side_is_told_from_a_mirrored_image(xray, drr):
    result = registered(xray, drr, pose_of([180.0, 0.0, 0.0]))
    advice = result.advice[0]
    assert advice.helps.name == "from behind"
    assert advice.helps.match > max(trial.match for trial in advice.trials if trial.name == "mirrored")


def test_pixels_of_another_size_are_told(xray, subject):
    claimed = DRR(subject, sdd=1020.0, height=SIDE, delx=2.2, renderer="joseph")
    result = registered(xray, claimed)
    assert result.status == (Status.NO_MATCH,)
    advice = result.advice[0]
    assert "as large" in advice.helps.name
    assert float(advice.helps.hint.split()[2]) == pytest.approx(4.0, rel=0.06)


class TestNothingHelps:
    @pytest.fixture
    def noise(self):
        return torch.rand(SIDE, SIDE, generator=torch.Generator().manual_seed(0))

    @pytest.fixture
    def result(self, noise, drr):
        starts = RigidTransform(torch.cat([START.matrix, TRUTH.matrix]))
        return registered(noise, drr, starts, candidates=2, **QUICK)

    def test_it_says_so_and_what_was_tried(self, result, noise, drr):
        advice = result.advice[result.best]
        assert advice.helps is None
        assert "another patient" in advice.summary()
        names = [trial.name for trial in advice.trials]
        assert names[:3] == ["logarithm", "inverted", "mirrored"]
        assert names[-1] == "another start"
        assert len(names) == 10
        assert advice.outcome()["helps"] is None

        # The best start is advised alone.
        assert [advice is not None for advice in result.advice] == [n == result.best for n in range(2)]
        assert result.only(1 - result.best).advice == (None,)
        assert "tried" not in result.summary(1 - result.best)

        # The answer is as it is without advice.
        starts = RigidTransform(torch.cat([START.matrix, TRUTH.matrix]))
        seen = []
        plain = registered(noise, drr, starts, candidates=2, advise=False, callback=seen.append, **QUICK)
        assert plain.advice == ()
        assert torch.equal(plain.pose.matrix, result.pose.matrix)
        assert plain.status == result.status
        assert len(plain.trace) == len(result.trace) == len(seen)

    def test_a_search_advises_too_unless_told_not_to(self, noise, drr):
        ranges = SearchRanges(degrees=5.0, mm=10.0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RegistrationWarning)
            found = search(noise, drr, ranges, START, poses=16, keep=1, **QUICK)
            assert found.advice[0] is not None
            assert search(noise, drr, ranges, START, poses=16, keep=1, advise=False, **QUICK).advice == ()
            assert registered(noise, drr, START, ranges=ranges, advise=False, **QUICK).advice == ()


def test_what_matches_gets_no_advice(xray, drr):
    result = registered(xray, drr)
    assert result.converged.all()
    assert result.advice == ()
    assert "tried" not in result.summary()
