"""What X-rays hide by themselves is left out of a registration, and told."""

import numpy as np
import pytest
import torch
from apertures import depth_within, write_text

from raygrad.data import load_example_ct
from raygrad.drr import DRR
from raygrad.metrics import mean_target_registration_error
from raygrad.pose import RigidTransform, convert
from raygrad.registration import SearchRanges, prepare_xrays, register, search
from raygrad.visualization import save_registration

SIZE = 128


def pose_of(angles, place):
    return convert(
        torch.tensor([angles]), torch.tensor([place]), parameterization="euler_angles", convention="ZXY", degrees=True
    )


START, TRUTH = pose_of((0.0, 0.0, 0.0), (0.0, 850.0, 0.0)), pose_of((6.0, -4.0, 5.0), (8.0, 860.0, -10.0))
SIDE = torch.linspace(-100, 100, 5, dtype=torch.float64)
POINTS = torch.cartesian_prod(SIDE, SIDE, SIDE)[None]


@pytest.fixture(scope="module")
def drr():
    return DRR(load_example_ct(shape=(96, 96, 60)), sdd=1020.0, height=SIZE, delx=400.0 / SIZE)


@pytest.fixture(scope="module")
def clean(drr):
    with torch.no_grad():
        return drr(TRUTH)[0, 0]


@pytest.fixture(scope="module")
def spoilt(clean):
    """A round aperture with text in it and two dead rows; and what of it counts."""
    depth = torch.from_numpy(depth_within("round", (SIZE, SIZE), np.random.default_rng(1)))
    low, high = clean.min(), clean.max()
    image = torch.where(depth > 0, clean, high * 1.2)
    _, strokes = write_text(torch.zeros(SIZE // 2, SIZE // 2), 1.0)
    text = torch.zeros_like(clean, dtype=torch.bool)
    text[SIZE // 4 : 3 * SIZE // 4, SIZE // 4 : 3 * SIZE // 4] = strokes
    image = torch.where(text, low - 0.2 * (high - low), image)
    image[[60, 61]] = high * 1.2
    counts = (depth > 2) & ~text
    counts[[60, 61]] = False
    return image, counts.float()


def error(pose, truth=TRUTH):
    return mean_target_registration_error(pose.to(torch.float64), truth.to(torch.float64), POINTS).item()


def test_without_a_mask_the_pose_is_that_with_the_true_one(drr, spoilt):
    image, counts = spoilt
    found = register(image, drr, START)
    told = register(image, drr, START, mask=counts, auto_mask=False)
    assert found.converged.all()
    assert told.converged.all()
    assert in_plane(found.pose, told.pose) < 0.1  # depth is what a field of half the patient tells least
    assert error(found.pose, told.pose) < 0.5
    assert in_plane(found.pose, TRUTH) < 0.2
    (mask,), (text,) = found.masks, found.hidden
    assert mask.shape == image.shape
    assert not mask[counts == 0].mean() > 0.1
    assert mask[counts == 1].mean() > 0.9
    assert "round aperture" in text
    assert "text" in text
    assert "dead" in text
    assert f"left out: {text}" in found.summary()
    assert found.outcome()["left_out"] == [text]
    assert found.only(0).hidden == found.hidden
    torch.testing.assert_close(told.masks[0], counts)
    assert told.hidden == ("",)
    assert "left out" not in told.summary()


def in_plane(pose, truth):
    """The mean distance in mm across the rays."""
    seen, there = (p.to(torch.float64).inverse()(POINTS)[0] for p in (pose, truth))
    ray = there / there.norm(dim=1, keepdim=True)
    apart = seen - there
    return (apart - (apart * ray).sum(1, keepdim=True) * ray).norm(dim=1).mean().item()


@pytest.mark.filterwarnings("ignore:The X-ray looks inverted")  # as it does without the mask
def test_nothing_is_left_out_where_nobody_wants_it(drr, spoilt):
    found = register(spoilt[0], drr, START, auto_mask=False)
    assert found.masks[0].min() == 1
    assert found.hidden == ("",)
    assert not found.converged.all() or error(found.pose) > 2.0


def test_a_clean_xray_is_compared_whole(drr, clean):
    found, alone = (register(clean, drr, START, auto_mask=auto_mask) for auto_mask in (True, False))
    assert found.masks[0].min() == 1
    assert found.hidden == ("",)
    torch.testing.assert_close(found.pose.matrix, alone.pose.matrix, rtol=0, atol=0)


def test_a_mask_and_what_is_found_beside_it_both_count(drr, spoilt):
    image, _ = spoilt
    given = torch.ones(SIZE, SIZE)
    given[:, :50] = 0.0
    (one,) = prepare_xrays(image, drr, START, given)
    (alone,) = prepare_xrays(image, drr, START)
    torch.testing.assert_close(one.weights, given * alone.weights)
    (two,) = prepare_xrays(image, drr, START, given, auto_mask=False)
    torch.testing.assert_close(two.weights, given)


def test_each_view_is_looked_at_once_for_all_starts_and_methods(drr, clean, spoilt, monkeypatch):
    from raygrad.registration import _left_out

    seen = []
    look = _left_out.hidden_in_array
    monkeypatch.setattr(_left_out, "hidden_in_array", lambda image: seen.append(1) or look(image))
    starts = RigidTransform(START.matrix.repeat(3, 1, 1))
    found = register([spoilt[0], clean], [drr, drr], [starts, starts], method="adam", iterations=2)
    assert len(seen) == 2
    assert len(found.masks) == 2
    assert "left out of view 0" in found.summary()
    assert found.hidden[1] == ""
    search_result = search(spoilt[0], drr, SearchRanges(degrees=5.0, mm=10.0), START, poses=64)
    assert len(seen) == 3
    assert "aperture" in search_result.hidden[0]


def test_pictures_show_what_did_not_count(drr, spoilt, tmp_path):
    pytest.importorskip("matplotlib")
    from matplotlib.image import imread

    found = register(spoilt[0], drr, START, auto_mask=True)
    save_registration(tmp_path, spoilt[0][None, None], drr, found, START, animation=False)
    picture = imread(tmp_path / "overlay.png")[..., :3]
    red = (picture[..., 0] > 0.8) & (picture[..., 1:] < 0.3).all(-1)
    assert red.sum() > 100
