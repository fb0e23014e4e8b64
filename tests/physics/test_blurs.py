"""Detector blur, glare and focal spot: laws of blurs, closed forms, and scipy's filters."""

import math

import numpy as np
import pytest
import torch
from physics_laws import check_adjoint, check_derivatives, images, number, point, second_moments
from scipy import ndimage
from torch.testing import assert_close

from raygrad.physics import DetectorBlur, FocalSpot, Glare, Scatter
from raygrad.physics._filters import mirrored
from raygrad.physics._gaussians import SAMPLED_FROM, transfer_functions, weights

PIXEL = (0.3, 0.5)
SPOT = {"magnification": 1.6}
BLURS = {
    "gaussian": lambda image, pixel_mm=PIXEL: DetectorBlur(0.7)(image, pixel_mm=pixel_mm),
    "narrow": lambda image, pixel_mm=PIXEL: DetectorBlur(0.1)(image, pixel_mm=pixel_mm),
    "lorentzian": lambda image, pixel_mm=PIXEL: DetectorBlur(0.7, "lorentzian")(image, pixel_mm=pixel_mm),
    "glare": lambda image, pixel_mm=PIXEL: Glare(0.3, 4.0)(image, pixel_mm=pixel_mm),
    "spot": lambda image, pixel_mm=PIXEL: FocalSpot(1.2, 2.0)(image, pixel_mm=pixel_mm, **SPOT),
    "uniform spot": lambda image, pixel_mm=PIXEL: FocalSpot(1.2, 2.0, "uniform")(image, pixel_mm=pixel_mm, **SPOT),
}
every_blur = pytest.mark.parametrize("blur", BLURS.values(), ids=BLURS)
SIZES = [(1, 1), (1, 6), (5, 1), (2, 3), (7, 4), (16, 16)]


# --- laws of all


@every_blur
@pytest.mark.parametrize("size", SIZES)
def test_sums_are_kept_and_open_fields_stay_flat(blur, size):
    image = images(2, 1, *size)
    assert_close(blur(image).sum((-2, -1)), image.sum((-2, -1)), rtol=1e-13, atol=0)
    assert_close(blur(torch.full_like(image, 3.0)), torch.full_like(image, 3.0), rtol=1e-13, atol=0)


@every_blur
def test_blurs_are_linear_and_their_own_adjoint(blur):
    check_adjoint(blur, (2, 1, 6, 9))
    x, y = images(1, 1, 6, 9, seed=1), images(1, 1, 6, 9, seed=2)
    assert_close((blur(x) * y).sum(), (x * blur(y)).sum(), rtol=1e-13, atol=0)


@every_blur
@pytest.mark.parametrize("pixel", [(0.05, 0.05), (0.3, 0.5), (2.0, 1.0), (50.0, 9.0)])
def test_nothing_becomes_negative(blur, pixel):
    assert blur(point(15, 12), pixel_mm=pixel).min() > -1e-16


@pytest.mark.parametrize("name", ["gaussian", "narrow", "spot", "uniform spot"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_what_is_left_behind_much_metal_is_not_lost_in_rounding(name, dtype):
    image = torch.ones(1, 1, 50, 50, dtype=dtype)
    image[..., 10:40, 10:40] = math.exp(-60)
    blurred = BLURS[name](image, pixel_mm=(1.0, 1.0))
    assert (blurred > 0).all()
    assert_close(blurred[0, 0, 25, 25], image[0, 0, 25, 25], rtol=1e-5, atol=0)


@every_blur
def test_views_and_channels_are_images_of_their_own(blur):
    many = images(3, 2, 7, 8)
    each = [[blur(many[view, channel][None, None])[0, 0] for channel in range(2)] for view in range(3)]
    assert_close(blur(many), torch.stack([torch.stack(row) for row in each]), rtol=1e-13, atol=1e-15)


@every_blur
def test_single_precision_is_kept_and_differs_by_its_rounding(blur):
    image = images(1, 1, 12, 11)
    assert blur(image.float()).dtype == torch.float32
    assert_close(blur(image.float()).double(), blur(image), rtol=6e-7, atol=0)


def test_long_sweeps_are_filtered_in_parts(monkeypatch):
    many = images(5, 1, 6, 7)
    whole = [Glare()(many, pixel_mm=PIXEL), Scatter()(many, 1.0, pixel_mm=PIXEL)]
    monkeypatch.setattr("raygrad.physics._filters.PIXELS_AT_ONCE", 2 * 6 * 7)
    for found, expected in zip(
        [Glare()(many, pixel_mm=PIXEL), Scatter()(many, 1.0, pixel_mm=PIXEL)], whole, strict=True
    ):
        assert_close(found, expected, rtol=1e-13, atol=0)


@every_blur
def test_autocast_changes_nothing(blur):
    image = images(1, 1, 12, 11, dtype=torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        found = blur(image)
    assert found.equal(blur(image))


@every_blur
def test_turning_the_image_turns_the_blur(blur):
    image = images(1, 1, 6, 9)
    assert_close(blur(image.flip(-1)), blur(image).flip(-1), rtol=1e-12, atol=0)
    assert_close(blur(image.flip(-2)), blur(image).flip(-2), rtol=1e-12, atol=0)


def test_isotropic_blurs_do_not_know_rows_from_columns():
    image = images(1, 1, 6, 9)
    for name in ("gaussian", "lorentzian", "glare"):
        turned = BLURS[name](image.mT, pixel_mm=PIXEL[::-1]).mT
        assert_close(turned, BLURS[name](image), rtol=1e-12, atol=0)


# --- second moments and transfer functions


@pytest.mark.parametrize("sigma", [0.0, 0.02, 0.1, 0.2, 0.35, 0.6, 0.9])
def test_a_points_second_moment_is_sigma_squared_however_large_pixels_are(sigma):
    for shape, exact in (("gaussian", 1e-10), ("lorentzian", 1e-6)):
        size = (61, 41) if shape == "gaussian" else (301, 201)
        spread = DetectorBlur(sigma, shape)(point(*size), pixel_mm=PIXEL)[0, 0]
        assert_close(second_moments(spread, PIXEL), [sigma**2] * 2, rtol=exact, atol=1e-12)


def test_the_second_moment_of_glare():
    spread = Glare(0.3, 1.0)(point(401, 241), pixel_mm=PIXEL)[0, 0]
    assert_close(second_moments(spread, PIXEL), [0.3 * 1.0**2] * 2, rtol=1e-6, atol=0)


@pytest.mark.parametrize(("shape", "width"), [("gaussian", 2 * math.sqrt(2 * math.log(2))), ("uniform", math.sqrt(12))])
def test_the_second_moment_of_a_focal_spots_penumbra(shape, width):
    spread = FocalSpot(6.0, 9.0, shape)(point(91, 91), pixel_mm=PIXEL, magnification=1.5)[0, 0]
    between = 1 / 6 if shape == "uniform" else 0.0  # what reading between pixels adds at most, in pixels^2
    for found, size, side in zip(second_moments(spread, PIXEL), (9.0, 6.0), PIXEL, strict=True):
        assert (0.5 * size / width) ** 2 - 1e-9 <= found <= (0.5 * size / width) ** 2 + between * side**2 + 1e-9


def waves(height, width, row, column):
    """A cosine that fits the mirrored image, and its frequencies per pixel."""
    down = torch.cos(math.pi * row * (torch.arange(height).double() + 0.5) / height)
    across = torch.cos(math.pi * column * (torch.arange(width).double() + 0.5) / width)
    return (down[:, None] * across)[None, None], (row / (2 * height), column / (2 * width))


@pytest.mark.parametrize("row", [0, 1, 3])
@pytest.mark.parametrize("column", [0, 2, 7])
def test_waves_keep_the_share_that_the_transfer_function_says(row, column):
    wave, per_pixel = waves(32, 40, row, column)
    rho = math.hypot(per_pixel[0] / PIXEL[0], per_pixel[1] / PIXEL[1])
    for shape in ("gaussian", "lorentzian"):
        blur = DetectorBlur(0.9, shape)
        kept = float(blur.mtf(torch.tensor([rho], dtype=torch.float64)))
        # Aliases, and what a Lorentzian has left beyond the highest frequency of the pixels.
        assert_close(blur(wave, pixel_mm=PIXEL), kept * wave, rtol=0, atol=1e-9 if shape == "gaussian" else 0.02)
    glare = 1 - 0.3 + 0.3 / math.sqrt(1 + (2 * math.pi * 4.0 * rho) ** 2)
    assert_close(BLURS["glare"](wave), glare * wave, rtol=0, atol=0.01)


@pytest.mark.parametrize("shape", ["gaussian", "lorentzian"])
def test_fine_pixels_show_the_transfer_function(shape):
    wave, per_pixel = waves(8, 512, 0, 40)
    blur = DetectorBlur(0.2, shape)
    kept = blur.mtf(torch.tensor([per_pixel[1] / 0.02], dtype=torch.float64))
    assert_close(blur(wave, pixel_mm=(0.02, 0.02)), kept * wave, rtol=0, atol=4e-4)


@pytest.mark.parametrize("shape", ["gaussian", "lorentzian"])
def test_a_blur_from_its_transfer_function(shape):
    blur = DetectorBlur.from_mtf(0.4, 1.2, shape)
    assert_close(blur.mtf(torch.tensor([0.0, 1.2])), torch.tensor([1.0, 0.4]))
    assert DetectorBlur.from_mtf(1.0, 1.2, shape).sigma_mm == 0


# --- other programs


@pytest.mark.parametrize(("sigma", "pixel"), [(1.3, (0.3, 0.5)), (3.0, (0.5, 0.5)), (40.0, (1.0, 2.0))])
def test_a_gaussian_is_scipys(sigma, pixel):
    image = images(1, 1, 23, 31)
    per_axis = [sigma / side for side in pixel]
    expected = ndimage.gaussian_filter(image[0, 0].numpy(), per_axis, mode="reflect", truncate=9)
    assert_close(DetectorBlur(sigma)(image, pixel_mm=pixel)[0, 0].numpy(), expected, rtol=2e-6, atol=0)


@pytest.mark.parametrize("width", [0.6, 1.7, 3.7])
def test_a_uniform_spot_averages_linear_interpolation_along_its_width(width):
    image = images(1, 1, 1, 40)
    found = FocalSpot(width, 0.0, "uniform")(image, pixel_mm=(1.0, 1.0), magnification=2.0)[0, 0, 0]  # pixels
    shifts = width * ((np.arange(4000) + 0.5) / 4000 - 0.5)
    mirrored = np.pad(image[0, 0, 0].numpy(), 10, mode="symmetric")
    places = np.arange(40)[:, None] + 10 + shifts
    expected = np.interp(places, np.arange(60), mirrored).mean(1)
    assert_close(found.numpy(), expected, rtol=1e-6, atol=0)


@pytest.mark.parametrize("size", SIZES)
def test_filters_are_those_of_an_image_that_is_mirrored_once(size):
    image, transfer = images(2, 1, *size), images(size[0] + 1, size[1] + 1)
    mirror = torch.cat([image, image.flip(-1)], dim=-1)
    mirror = torch.cat([mirror, mirror.flip(-2)], dim=-2)
    folded = torch.cat([transfer, transfer[1:-1].flip(0)])
    expected = torch.fft.irfft2(torch.fft.rfft2(mirror) * folded, s=mirror.shape[-2:])[..., : size[0], : size[1]]
    assert_close(mirrored(image, transfer), expected, rtol=1e-13, atol=1e-15)


# --- Gaussians on pixels


def test_gaussians_one_after_the_other_are_one():
    image = images(1, 1, 20, 17)
    for first, second in ((1.2, 0.9), (3.0, 4.0), (0.1, 40.0)):
        twice = DetectorBlur(second)(DetectorBlur(first)(image, pixel_mm=(0.5, 0.6)), pixel_mm=(0.5, 0.6))
        once = DetectorBlur(math.hypot(first, second))(image, pixel_mm=(0.5, 0.6))
        assert_close(twice, once, rtol=2e-6 if first < 2 else 1e-12, atol=0)


def test_weights_and_transfer_functions_of_all_widths():
    variances = torch.tensor([0.0, 1e-9, 0.01, 0.3, 1.0, 1.5, 1.6, 20.0], dtype=torch.float64)
    half, places = weights(variances, 60), torch.arange(60, dtype=torch.float64)
    assert (half >= 0).all()
    assert_close(half[:, 0] + 2 * half[:, 1:].sum(-1), torch.ones_like(variances), rtol=1e-12, atol=0)
    assert_close(2 * (half * places**2).sum(-1), variances, rtol=2e-11, atol=1e-15)
    angles = torch.arange(31, dtype=torch.float64) * (math.pi / 30)
    summed = half[:, :1] + 2 * half[:, 1:] @ torch.cos(places[1:, None] * angles)
    assert_close(transfer_functions(variances, 30), summed, rtol=0, atol=1e-12)


def test_the_two_formulas_meet():
    around = torch.tensor([SAMPLED_FROM, SAMPLED_FROM * (1 + 1e-13)], dtype=torch.float64)
    low, high = transfer_functions(around, 9)
    assert_close(low, high, rtol=0, atol=2e-11)


# --- off, and derivatives


def test_what_is_nothing_changes_nothing():
    image = images(1, 1, 9, 8)
    nothing = (
        DetectorBlur(0.0)(image, pixel_mm=PIXEL),
        DetectorBlur(0, "lorentzian")(image, pixel_mm=PIXEL),
        Glare(0.0)(image, pixel_mm=PIXEL),
        Glare(0.5, 0.0)(image, pixel_mm=PIXEL),
        FocalSpot(0.6)(image, pixel_mm=PIXEL, magnification=1.0),
        FocalSpot(0.0)(image, pixel_mm=PIXEL, magnification=2.0),
        FocalSpot(0.0, shape="uniform")(image, pixel_mm=PIXEL, magnification=2.0),
    )
    for same in nothing:
        assert_close(same, image, rtol=1e-13, atol=0)


@pytest.mark.parametrize("sigma", [0.15, 0.9])
@pytest.mark.parametrize("shape", ["gaussian", "lorentzian"])
def test_derivatives_of_the_detectors_blur(shape, sigma):
    def blur(image, sigma, dely, delx):
        return DetectorBlur(sigma, shape)(image, pixel_mm=(dely, delx))

    check_derivatives(blur, sigma, 0.4, 0.7, second=sigma < 0.5)


def test_derivatives_of_a_transfer_function():
    frequencies = torch.tensor([0.4, 2.0], dtype=torch.float64)
    for shape in ("gaussian", "lorentzian"):
        inputs = (number(0.5), number(1.2))
        assert torch.autograd.gradcheck(lambda m, f, s=shape: DetectorBlur.from_mtf(m, f, s).mtf(frequencies), inputs)


def test_derivatives_of_glare():
    def glare(image, share, reach, dely, delx):
        return Glare(share, reach)(image, pixel_mm=(dely, delx))

    check_derivatives(glare, 0.2, 2.0, 0.4, 0.7)


@pytest.mark.parametrize("magnification", [1.3, 4.0])
@pytest.mark.parametrize("shape", ["gaussian", "uniform"])
def test_derivatives_of_the_focal_spot(shape, magnification):
    def spot(image, width, height, dely, delx, magnification):
        return FocalSpot(width, height, shape)(image, pixel_mm=(dely, delx), magnification=magnification)

    check_derivatives(spot, 0.6, 1.0, 0.4, 0.7, magnification)


def test_a_blur_of_nothing_has_a_derivative_by_the_image():
    check_derivatives(lambda image: DetectorBlur(0.0)(image, pixel_mm=PIXEL))
    sigma = number(0.0)
    DetectorBlur(sigma)(images(1, 1, 4, 5), pixel_mm=PIXEL).square().sum().backward()
    assert sigma.grad == 0  # a blur by -sigma is the same


def test_transforms_of_torch_func():
    image = images(1, 1, 5, 6)
    many = torch.func.vmap(lambda share: DetectorBlur(0.5)(share * image, pixel_mm=PIXEL))(torch.tensor([1.0, 2.0]))
    assert_close(many[1], 2 * DetectorBlur(0.5)(image, pixel_mm=PIXEL), rtol=1e-6, atol=0)
    sigma, one = torch.tensor([0.5, 1.0], dtype=torch.float64)
    _, slope = torch.func.jvp(lambda sigma: DetectorBlur(sigma)(image, pixel_mm=PIXEL), (sigma,), (one,))
    step = 1e-6
    ends = [DetectorBlur(0.5 + sign * step)(image, pixel_mm=PIXEL) for sign in (1, -1)]
    assert_close(slope, (ends[0] - ends[1]) / (2 * step), rtol=1e-6, atol=1e-8)
