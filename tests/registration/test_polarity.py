"""Which way round X-rays are."""

import pytest
import torch

from raygrad.data import load_example_ct
from raygrad.drr import DRR
from raygrad.pose import convert
from raygrad.registration import Polarity, polarity


@pytest.fixture(scope="module")
def camera():
    return DRR(load_example_ct(shape=(64, 64, 40)), sdd=1020.0, height=64, delx=8.0, renderer="joseph")


def image_of(camera, angle=0.0, shift=0.0):
    pose = convert(
        torch.tensor([[angle, 0.0, 0.0]]),
        torch.tensor([[shift, 850.0, 0.0]]),
        parameterization="euler_angles",
        convention="ZXY",
        degrees=True,
    )
    with torch.no_grad():
        return camera(pose)


@pytest.mark.parametrize("angle", [0.0, 90.0])
def test_images_and_their_negatives(camera, angle):
    image, near = image_of(camera, angle), image_of(camera, angle + 10, 25.0)
    for shown, inverted in (
        (image, False),
        (image.clamp_min(0) ** 0.6 + 3, False),
        (image.max() - image, True),
        (torch.exp(-4 * image / image.max()), True),
    ):
        assert polarity(shown, near).inverted is inverted
    found, other = polarity(image, near), polarity(-image, near)
    assert (found.alike, found.opposite) == pytest.approx((other.opposite, other.alike), abs=1e-4)
    assert polarity(image, image).alike == pytest.approx(1.0, abs=1e-3)


def test_the_resolution_of_what_was_rendered_says_nothing(camera):
    image = image_of(camera)
    coarse = torch.nn.functional.adaptive_avg_pool2d(image, 32)
    fine, same = polarity(image, image), polarity(image, coarse)
    assert (fine.alike, fine.opposite) == pytest.approx((same.alike, same.opposite), abs=1e-5)


def test_masks_and_images_that_say_nothing(camera):
    image = image_of(camera)
    mask = torch.ones(64, 64)
    mask[:, :16] = 0
    hidden = image.max() - torch.where(mask > 0, image, 1000.0)
    assert polarity(hidden, image, mask).inverted
    assert polarity(image, torch.zeros_like(image)) == Polarity(0.0, 0.0)  # the CT is not in the beam
    assert polarity(image, image + image.max()) == Polarity(0.0, 0.0)  # no air
    with pytest.raises(ValueError, match="mask that leaves some"):
        polarity(image, image, torch.zeros(64, 64))
