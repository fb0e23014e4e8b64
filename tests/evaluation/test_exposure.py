"""Simulated exposures: quanta, noise, scatter, collimator, wires and gamma do what they are said to do."""

import math

import pytest
import torch

from raygrad.evaluation import count_photons
from raygrad.evaluation._exposure import LEAF_TRANSMISSION, WIRE_DEPTH, Exposure, aperture_mask, expose
from raygrad.evaluation._starts import make_generator

EXACT = Exposure(photons=1e12, readout=0.0, oversampling=1)


def flat(value, size=64):
    """An image of one value, but for one pixel in a corner that fixes the scale."""
    image = torch.full((size, size), float(value), dtype=torch.float64)
    image[0, 0] = 5.5
    return image


def test_without_faults_an_exposure_gives_the_line_integrals_in_nepers():
    image = torch.rand(20, 30, generator=make_generator(0), dtype=torch.float64) * 80
    taken = expose(image, 2.0, EXACT, make_generator(0))
    torch.testing.assert_close(taken, image * 5.5 / image.max(), atol=2e-4, rtol=0)


def test_noise_is_that_of_the_photons_counted():
    taken = expose(flat(3.0, 256), 1.0, Exposure(photons=1e4, readout=20.0, oversampling=2), make_generator(0))
    counted = 1e4 * math.exp(-3.0)
    expected = math.sqrt(counted + 4 * 20.0**2) / counted
    assert taken.shape == (128, 128)
    assert taken[1:].mean().item() == pytest.approx(3.0, abs=0.005)
    assert taken[1:].std().item() == pytest.approx(expected, rel=0.03)


def test_pixels_average_intensities_not_line_integrals():
    image = torch.zeros(16, 16, dtype=torch.float64)
    image[:, ::2] = 4.0
    taken = expose(image, 1.0, Exposure(photons=1e12, readout=0.0, densest=4.0), make_generator(0))
    expected = -math.log((1 + math.exp(-4.0)) / 2)
    torch.testing.assert_close(taken, torch.full((8, 8), expected, dtype=torch.float64), atol=1e-4, rtol=0)


def test_scatter_is_a_tenth_of_what_comes_through_dense_tissue():
    taken = expose(
        flat(4.0, 400), 1.0, Exposure(photons=1e12, readout=0.0, oversampling=1, scatter=0.1), make_generator(0)
    )
    primary = math.exp(-4.0)
    assert taken[200, 200].item() == pytest.approx(-math.log(primary * (1 + 0.1 * (1 - primary))), abs=1e-3)
    assert taken[200, 0].item() > taken[200, 200].item()  # nothing scatters in from beyond the field


def test_collimator_blocks_what_the_mask_leaves_out():
    image = torch.zeros(100, 100, dtype=torch.float64)
    image[50, 50] = 5.5
    taken = expose(image, 2.0, Exposure(photons=1e12, readout=0.0, oversampling=1, aperture=120.0), make_generator(0))
    mask = aperture_mask((100, 100), 2.0, 120.0) > 0
    assert mask[50, 50]
    assert mask.sum().item() * 4 == pytest.approx(math.pi * 58**2, rel=0.02)
    assert taken[mask].sum().item() == pytest.approx(5.5, abs=1e-2)
    assert taken[0, 0].item() == pytest.approx(-math.log(LEAF_TRANSMISSION), abs=1e-3)


def test_gamma_bends_the_line_integrals():
    taken = expose(flat(2.0), 1.0, Exposure(photons=1e12, readout=0.0, oversampling=1, gamma=0.8), make_generator(0))
    assert taken[5, 5].item() == pytest.approx(5.5 * (2.0 / 5.5) ** 0.8, abs=1e-4)
    assert taken[0, 0].item() == pytest.approx(5.5, abs=1e-3)


def test_wires_are_thin_and_dense_and_the_seed_says_where():
    wired = Exposure(photons=1e12, readout=0.0, oversampling=1, wires=3)
    taken, again, other = (expose(flat(1.0, 120), 1.0, wired, make_generator(seed)) for seed in (0, 0, 1))
    extra = taken[1:] - 1.0
    assert extra.max().item() == pytest.approx(WIRE_DEPTH, abs=0.1)
    assert 0.01 < (extra > 0.1).double().mean().item() < 0.1
    assert torch.equal(taken, again)
    assert not torch.equal(taken, other)


def test_exposures_need_an_image():
    with pytest.raises(ValueError, match="beam misses"):
        expose(torch.zeros(4, 4), 1.0, EXACT, make_generator(0))
    with pytest.raises(ValueError, match="2 divides"):
        expose(torch.ones(5, 4), 1.0, Exposure(), make_generator(0))


def test_counted_photons_have_the_noise_of_their_number():
    clean = torch.linspace(0, 3, 4)[:, None, None].expand(4, 60, 60).contiguous()
    noisy, again = (count_photons(clean, 2000, torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(noisy, again)
    deviation = (noisy - clean).flatten(1).std(dim=1) / (2000 * torch.exp(-clean[:, 0, 0])) ** -0.5
    torch.testing.assert_close(deviation, torch.ones(4), atol=0.06, rtol=0)
    dark = count_photons(torch.full((1, 3, 3), 50.0), 2000, torch.Generator())
    torch.testing.assert_close(dark, torch.full((1, 3, 3), math.log(4000)))
    with pytest.raises(ValueError, match=r"positive number of photons\. Got 0"):
        count_photons(clean, 0, torch.Generator())
