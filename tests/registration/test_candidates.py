"""Candidates: where they are drawn, how far apart they are, and which of them go on."""

import math

import pytest
import torch

from raygrad.geometry import about
from raygrad.metrics import mean_target_registration_error
from raygrad.pose import RigidTransform, random_rigid_transform, so3_log_map
from raygrad.registration._solver.candidates import (
    APART_MM,
    SAME,
    SearchRanges,
    choose_distinct,
    distances,
    leaders,
    moved_by,
    rows_of_starts,
    spread,
)

DOUBLE = torch.float64


def test_candidates_fill_their_ranges_evenly():
    ranges = SearchRanges(degrees=(30.0, 60, 10.0), mm=(100.0, 20.0, 5))
    motions = spread(ranges, 512, seed=3)
    assert torch.equal(motions[0], torch.eye(4, dtype=DOUBLE))
    share = torch.cat([motions[:, :3, 3], so3_log_map(motions[:, :3, :3])], dim=1) / ranges.half_widths()
    assert share.abs().max() <= 1 + 1e-9
    # Of a Sobol sequence's points every half of a range has as many, and so has every quarter of two together.
    assert ((share > 0).sum(0) - 256).abs().max() <= 1
    quarters = (share[:, :, None] > 0) & (share[:, None] > 0)
    assert ((quarters.sum(0) - 128 - 128 * torch.eye(6)).abs() <= 2).all()
    assert (share.amax(0) > 0.98).all()
    assert (share.amin(0) < -0.98).all()


def test_candidates_are_the_same_for_the_same_seed():
    one, same, other = (spread(SearchRanges(), 20, seed) for seed in (0, 0, 1))
    assert torch.equal(one, same)
    assert not torch.allclose(one[1:], other[1:])
    assert torch.equal(one[:1], other[:1])


def test_drawing_candidates_leaves_the_global_generator_alone():
    before = torch.get_rng_state()
    spread(SearchRanges(), 5, 0)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    "ranges",
    [
        SearchRanges(degrees=-1),
        SearchRanges(mm=(1.0, 2.0, math.nan)),
        SearchRanges(degrees=(10.0, 20.0, 181.0)),
        SearchRanges(mm=math.inf),
    ],
    ids=str,
)
def test_ranges_that_are_none_are_refused(ranges):
    with pytest.raises(ValueError, match="ranges of one or three numbers"):
        spread(ranges, 4, 0)


def test_no_candidates_are_refused():
    with pytest.raises(ValueError, match="at least one candidate"):
        spread(SearchRanges(), 0, 0)


def test_motions_about_a_point_leave_it_where_their_translation_does():
    point = torch.tensor([10.0, -50.0, 300.0], dtype=DOUBLE)
    motions = spread(SearchRanges(30, 40), 10, 0)
    moved = about(point, motions)
    torch.testing.assert_close((moved[:, :3, :3] @ point) + moved[:, :3, 3], point + motions[:, :3, 3])
    assert torch.equal(moved[:, :3, :3], motions[:, :3, :3])


def make_poses(count, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return random_rigid_transform(count, generator=generator).matrix.double()


def test_distances_are_registration_errors_of_points_around():
    one, other = make_poses(4), make_poses(3, seed=1)
    centre, radius = torch.tensor([10.0, 20.0, -30.0], dtype=DOUBLE), 100.0
    apart = distances(one, other, centre, radius)
    assert apart.shape == (4, 3)
    torch.testing.assert_close(distances(other, one, centre, radius), apart.T)
    axes = torch.cat([torch.eye(3), -torch.eye(3)]).double()
    for row in range(4):
        for column in range(3):
            poses = RigidTransform(one[row]), RigidTransform(other[column])
            error = mean_target_registration_error(*poses, (centre + radius * axes)[None])
            torch.testing.assert_close(apart[row, column], error[0], rtol=1e-6, atol=0)
    torch.testing.assert_close(moved_by(one[:3], other, centre, radius), apart[:3].diagonal())
    own = distances(one, one, centre, radius)
    assert own.diagonal().abs().max() < 1e-9
    assert torch.equal(own, own.T)


def best_apart(start, score, apart, keep, margin):
    """What `choose_distinct` does, word by word, without sorting."""
    chosen = []
    for number in sorted(set(start)):
        mine = [c for c, owner in enumerate(start) if owner == number]
        best = max(score[c] for c in mine)
        taken = []
        while mine and len(taken) < keep:
            leader = max(mine, key=lambda c: (score[c], -c))
            mine.remove(leader)
            if score[leader] >= best - max((margin - 1) * (1 - best), SAME) and all(
                apart[leader][c] >= APART_MM for c in taken
            ):
                taken.append(leader)
        chosen += taken
    return chosen


@pytest.mark.parametrize(("keep", "margin"), [(1, 3.0), (3, 1.2), (4, 10.0), (100, math.inf)])
def test_the_best_that_are_apart_are_kept(keep, margin):
    generator = torch.Generator().manual_seed(keep)
    start = torch.arange(3).repeat_interleave(15)
    score = 1 - torch.rand(45, generator=generator, dtype=DOUBLE)
    place = 20 * torch.rand(45, 2, generator=generator, dtype=DOUBLE)
    apart = torch.cdist(place, place)
    kept = choose_distinct(start, score, apart, keep, margin)
    assert kept.tolist() == best_apart(start.tolist(), score.tolist(), apart.tolist(), keep, margin)
    assert set(start[kept].tolist()) == {0, 1, 2}


def test_a_perfect_score_leaves_room_for_another():
    score = torch.tensor([1.0, 1 - 0.9 * SAME, 1 - 1.1 * SAME])
    kept = choose_distinct(torch.zeros(3, dtype=torch.long), score, 100 * (1 - torch.eye(3)), 3, 2.0)
    assert kept.tolist() == [0, 1]
    all_of_them = choose_distinct(torch.zeros(3, dtype=torch.long), score, 100 * (1 - torch.eye(3)), 3, math.inf)
    assert all_of_them.tolist() == [0, 1, 2]


def test_leaders_are_the_best_of_every_start():
    start = torch.tensor([0, 0, 1, 1, 1, 2, 4])
    score = torch.tensor([0.1, 0.3, 0.9, 0.9, 0.2, -0.5, 0.4])
    assert leaders(rows_of_starts(start), score).tolist() == [1, 2, 5, 6]
    generator = torch.Generator().manual_seed(0)
    start = torch.randint(5, (200,), generator=generator)
    score = torch.rand(200, generator=generator)
    expected = [max(torch.nonzero(start == n)[:, 0].tolist(), key=lambda c: score[c]) for n in range(5)]
    assert leaders(rows_of_starts(start), score).tolist() == expected
