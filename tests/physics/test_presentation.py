"""Pictures: levels that sum up again, curves that rise, windows about the patient, and gradients of all of it."""

import math

import pytest
import torch
from torch.autograd import gradcheck

from raygrad.physics._multiscale import Multiscale, filled, laplacian_pyramid
from raygrad.physics._presentation import PRESENTATIONS, FilmCurve, PercentileWindow, Presentation

PIXEL = (0.4, 0.4)


def noise(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64)


def share(height: int = 40, width: int = 50) -> torch.Tensor:
    """A body of 1 to 4 line integrals in a beam that is open about it."""
    rows, columns = torch.linspace(-1, 1, height)[:, None], torch.linspace(-1, 1, width)
    body = (rows.square() + columns.square() < 0.7) * (2.5 + 1.5 * columns)
    return torch.exp(-body.double())[None, None]


@pytest.mark.parametrize("shape", [(64, 64), (61, 47), (9, 200), (5, 5)])
def test_levels_sum_up_to_the_image(shape):
    image = noise(2, 1, *shape)
    same = Multiscale(power=1.0, latitude=1.0)(image, pixel_mm=PIXEL)
    torch.testing.assert_close(same, image, rtol=0, atol=1e-12)


def test_a_shift_of_all_values_shifts_the_enhanced_image_alike():
    image, enhance = noise(1, 1, 48, 40), Multiscale(latitude=1.0)
    moved = enhance(image + 3.0, pixel_mm=PIXEL)
    torch.testing.assert_close(moved, enhance(image, pixel_mm=PIXEL) + 3.0, rtol=0, atol=1e-12)


def test_coarse_pixels_lie_in_the_middle_of_fine_ones():
    """A ramp stays one, in place: its levels are 0 but at the edges."""
    ramp = torch.arange(64, dtype=torch.float64).expand(1, 1, 32, 64)
    levels, _ = laplacian_pyramid(ramp)
    assert levels[0][..., 8:-8].abs().max() < 1e-12


def test_small_differences_gain_and_strong_ones_do_not():
    enhance = Multiscale(power=0.6, strong=0.5, noise=0.02)
    x = torch.tensor([[[[1e-4, 0.02, 0.1, 0.5, 2.0]]]], dtype=torch.float64)
    gain = (enhance._amplified(x) / x).flatten()
    assert (gain.diff() < 0).all()
    assert gain[3] == pytest.approx(1.0)
    assert gain[4] < 1
    assert gain[0] == pytest.approx(((0.5**2 + 0.02**2) / 0.02**2) ** 0.2, rel=1e-4)
    assert (enhance._amplified(torch.linspace(-3, 3, 6001, dtype=torch.float64)).diff() > 0).all()


def test_pixels_of_half_the_size_are_enhanced_alike():
    """Of what is large, the same is made however finely it is sampled: the latitude is of mm, not of pixels."""
    fine = torch.linspace(-1, 1, 256, dtype=torch.float64)
    blob = torch.exp(-(fine[:, None].square() + fine.square()) / 0.1)[None, None]
    coarse = torch.nn.functional.avg_pool2d(blob, 2)
    enhance = Multiscale(power=1.0, coarse_mm=20.0, latitude=0.5)
    a = torch.nn.functional.avg_pool2d(enhance(blob, pixel_mm=(0.5, 0.5)), 2)
    b = enhance(coarse, pixel_mm=(1.0, 1.0))
    held_back = (coarse - coarse.mean()).std() / (b - b.mean()).std()
    assert held_back > 1.2
    assert (a - b).std() < 0.03 * coarse.std()


def test_film_curve_rises_from_0_to_1():
    for contrast, middle in ((0.01, 0.5), (3.0, 0.1), (12.0, 0.6), (3.0, -0.4)):
        y = FilmCurve(contrast, middle)(torch.linspace(0, 1, 1001, dtype=torch.float64))
        assert y[0] == pytest.approx(0, abs=1e-12)
        assert y[-1] == pytest.approx(1)
        assert (y.diff() > 0).all()
    straight = FilmCurve(1e-4)(torch.linspace(0, 1, 11, dtype=torch.float64))
    torch.testing.assert_close(straight, torch.linspace(0, 1, 11, dtype=torch.float64), rtol=0, atol=1e-8)


def test_the_window_is_made_for_the_patient_in_the_field():
    image = share()
    field = torch.ones_like(image)
    field[..., :8] = 0
    shown = Presentation(window=PercentileWindow(0, 100))(image, pixel_mm=PIXEL, field=field)
    lines = -image.log()
    inside = (lines > 0.2) & (field > 0)
    low, high = lines[inside].min(), lines[inside].max()
    torch.testing.assert_close(shown[inside], (lines[inside] - low) / (high - low))
    assert (shown[(lines == 0)] == 0).all()
    assert (shown[field == 0] == 0).all()


def test_bone_is_white_or_dark_and_the_surround_what_was_asked_for():
    image, field = share(), torch.ones(1, 1, 40, 50, dtype=torch.float64)
    field[..., :5, :] = 0
    white = Presentation(surround=None)(image, pixel_mm=PIXEL, field=field)
    dark = Presentation(surround=None, bone="dark")(image, pixel_mm=PIXEL, field=field)
    torch.testing.assert_close(white + dark, torch.ones_like(white))
    assert (Presentation(surround=0.3)(image, pixel_mm=PIXEL, field=field)[..., :5, :] == 0.3).all()


def test_a_sequence_has_one_window_and_radiographs_have_their_own():
    thin, thick = share(), share() ** 1.5
    both = torch.cat([thin, thick])
    own = Presentation(window=PercentileWindow())(both, pixel_mm=PIXEL)
    torch.testing.assert_close(own[:1], Presentation()(thin, pixel_mm=PIXEL))
    common = Presentation(window=PercentileWindow(each_view=False))(both, pixel_mm=PIXEL)
    assert common[1].mean() > common[0].mean() + 0.05


def test_what_is_hidden_is_filled_from_what_is_not():
    image = torch.full((1, 1, 40, 40), 2.0, dtype=torch.float64)
    inside = torch.zeros(1, 1, 40, 40, dtype=torch.bool)
    inside[..., 10:30, 5:20] = True
    spoilt = torch.where(inside, image, torch.tensor(50.0, dtype=torch.float64))
    torch.testing.assert_close(filled(spoilt, inside), image)
    ramp = torch.arange(40, dtype=torch.float64).expand(1, 1, 40, 40)
    assert 5 <= filled(ramp, inside).min()
    assert filled(ramp, inside).max() <= 19


@pytest.mark.parametrize(("name", "level"), [("radiography", 0), ("fluoroscopy", 1)])
def test_the_open_beam_is_black_or_white_however_images_are_enhanced(name, level):
    image = share(120, 140)
    assert (PRESENTATIONS[name](image, pixel_mm=(2.0, 2.0))[image == 1] == level).all()


@pytest.mark.parametrize("name", PRESENTATIONS)
def test_pictures_are_from_0_to_1_whatever_comes(name):
    field = torch.ones(1, 1, 40, 50)
    field[..., 30:, :] = 0
    for image in (share(), torch.ones_like(share()), torch.zeros_like(share()), -share(), share(3, 4)):
        for held in (None, field[..., : image.shape[-2], : image.shape[-1]]):
            shown = PRESENTATIONS[name](image, pixel_mm=PIXEL, field=held)
            assert shown.shape == image.shape
            assert shown.min() >= 0
            assert shown.max() <= 1


def test_gradients_by_image_and_numbers():
    # Distinct values within the window, which no percentile changes over.
    image = torch.exp(-1 - 2 * torch.rand(1, 1, 12, 10, dtype=torch.float64)).requires_grad_()
    numbers = [torch.tensor(x, dtype=torch.float64, requires_grad=True) for x in (0.6, 0.5, 0.03, 30.0, 0.7, 3.0, 1.2)]
    curve = [torch.tensor(x, dtype=torch.float64, requires_grad=True) for x in (3.0, 0.3)]

    def shown(image, *numbers):
        presentation = Presentation(Multiscale(*numbers[:7]), PercentileWindow(5, 95), FilmCurve(*numbers[7:]))
        return presentation(image, pixel_mm=(0.5, 0.4))

    assert gradcheck(shown, (image, *numbers, *curve))


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Multiscale(power=0.0), "power, a finite number above 0.* and up to 1.*Got 0"),
        (lambda: Multiscale(latitude=1.2), "latitude, a finite number above 0.* and up to 1.*Got 1.2"),
        (lambda: Multiscale(noise=math.nan), "noise, a finite number above 0.*Got nan"),
        (lambda: FilmCurve(contrast=-1.0), "contrast, a finite number above 0.*Got -1"),
        (lambda: PercentileWindow(50, 40), "0 <= low < high <= 100. Got 50 and 40"),
        (lambda: Presentation(bone="black"), "bone as one of 'white', 'dark'. Got 'black'"),
        (lambda: Presentation(surround=2.0), "surround, a finite number of at least 0.* and up to 1.*Got 2"),
    ],
)
def test_refused(make, said):
    with pytest.raises(ValueError, match=said):
        make()


@pytest.mark.parametrize(
    ("size", "sharp", "latitude", "share"),
    [
        (40.0, 1.0, 0.5, (1 + 0.5) / 2),  # of coarse_mm: half way
        (4e7, 1.0, 0.5, 0.5),
        (2.0, 3.0, 1.0, 3.0),  # of fine_mm
        (4.0, 3.0, 1.0, 1 + 2 * 16 / 25),
    ],
)
def test_what_structures_of_a_size_are_multiplied_by(size, sharp, latitude, share):
    enhancement = Multiscale(coarse_mm=40.0, latitude=latitude, fine_mm=2.0, sharp=sharp)
    image = torch.full((1, 1, 4, 4), 0.7, dtype=torch.float64)  # too small for levels: all of it is one structure
    torch.testing.assert_close(enhancement(image, pixel_mm=(size, size)), share * image, rtol=1e-9, atol=0)


def test_what_is_beside_the_patient_is_darkened_up_to_line_integrals_of_a_fifth():
    lines = torch.linspace(0, 0.1, 64, dtype=torch.float64).reshape(1, 1, 8, 8)
    levels = Presentation(window=PercentileWindow(0, 100), surround=None)(torch.exp(-lines), pixel_mm=(1.0, 1.0))
    torch.testing.assert_close(levels, lines / 0.1 * lines / 0.2)
