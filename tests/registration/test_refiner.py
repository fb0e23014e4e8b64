"""X-rays and CT that are prepared once: what is found from them is what `register` finds, in a fraction of the time."""

import pytest
import torch

from raygrad.data import load_example_ct
from raygrad.drr import DRR
from raygrad.metrics import mean_target_registration_error
from raygrad.pose import RigidTransform, convert
from raygrad.registration import (
    GlobalCorrelation,
    LevenbergMarquardt,
    LocalCorrelation,
    Refiner,
    Stage,
    Status,
    few_steps,
    register,
)

pytestmark = pytest.mark.usefixtures("one_thread")

TARGETS = 100 * (2 * torch.rand(1, 50, 3, generator=torch.Generator().manual_seed(0)).double() - 1)
STAGES = (
    Stage(25, GlobalCorrelation(), iterations=6, tolerance=1.0, keep=2),
    Stage(50, LocalCorrelation(9), iterations=5, tolerance=0.3),
)


def pose(*numbers):
    rotation, translation = (torch.tensor([part], dtype=torch.float64) for part in (numbers[:3], numbers[3:]))
    return convert(rotation, translation, parameterization="euler_angles", convention="ZXY", degrees=True)


TRUTHS = [pose(0, 0, 0, 0, 850, 0), pose(90, 0, 0, 0, 850, 0)]
OFF = pose(4, -3, 3, 10, 860, -8).compose(TRUTHS[0].inverse())
STARTS = [RigidTransform(one.matrix @ OFF.matrix) for one in TRUTHS]
NEARER = [RigidTransform(one.matrix @ pose(1, 0, 1, 2, 3, 1).matrix) for one in TRUTHS]


@pytest.fixture(scope="module")
def seen():
    subject = load_example_ct(shape=(128, 128, 67))
    drr = DRR(subject, sdd=1020.0, height=100, delx=4.0, renderer="joseph")
    return [drr(RigidTransform(at.matrix.float())).detach() for at in TRUTHS], [drr, drr]


def error(poses):
    return mean_target_registration_error(poses[0], TRUTHS[0], TARGETS).max().item()


def same(one, other):
    assert one.status == other.status
    for mine, theirs in zip(one.poses, other.poses, strict=True):
        assert torch.equal(mine.matrix, theirs.matrix)
    assert torch.equal(one.uncertainty.covariance, other.uncertainty.covariance)


def test_registers_as_register_does_again_and_again(seen):
    method = LevenbergMarquardt(stages=STAGES, candidates=2, advise=False)
    refiner = Refiner(*seen, STARTS, method=method)
    for start in (NEARER, STARTS):
        same(refiner.register(start), register(*seen, start, method=method))


def test_a_few_steps_are_those_of_register_and_lower_the_error(seen):
    refiner = Refiner(*seen, STARTS)
    found = refiner.refine(STARTS)
    alone = register(*seen, STARTS, stages=few_steps(), candidates=1, response="log", advise=False)
    for mine, theirs in zip(found.poses, alone.poses, strict=True):
        assert torch.equal(mine.matrix, theirs.matrix)
    assert error(found.poses) < 0.2 * error(STARTS)
    assert error(refiner.refine(found.poses).poses) < 1.0  # with the form of the CT that was found


def test_nothing_is_made_again(seen, monkeypatch):
    refiner = Refiner(*seen, STARTS)
    refiner.refine(STARTS)
    monkeypatch.setattr("raygrad.registration._refiner.prepare_xrays", None)
    monkeypatch.setattr("raygrad.scene._pyramid.reduce_body", None)
    monkeypatch.setattr("raygrad.registration._coarse_to_fine.CoarseToFine.choose_ct", None)
    refiner.refine(NEARER)


def test_the_callback_ends_it(seen):
    calls = []
    found = Refiner(*seen, STARTS).refine(STARTS, callback=lambda iteration: calls.append(iteration) or len(calls) == 3)
    assert len(calls) == 3
    assert found.status == (Status.STOPPED,)


def test_refuses_other_numbers_of_views(seen):
    refiner = Refiner(*seen, STARTS)
    with pytest.raises(ValueError, match="poses of 2 view"):
        refiner.refine(STARTS[0])
    with pytest.raises(ValueError, match="at least one stage"):
        refiner.refine(STARTS, ())
    away = [RigidTransform(one.matrix @ pose(0, 0, 0, 9000, 0, 0).matrix) for one in STARTS]
    with pytest.raises(ValueError, match="beam meets the CT"):
        refiner.refine(away)
