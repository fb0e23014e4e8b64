"""Noise: mean and variance over many draws against theory, a spectrum's quanta drawn one by one, and derivatives."""

import math

import pytest
import torch
from physics_laws import check_derivatives, images
from torch.testing import assert_close

from raygrad.physics import DetectorBlur, Noise

DRAWS = 40_000


def flat(value, draws=DRAWS):
    return torch.full((1, 1, 200, draws // 200), float(value), dtype=torch.float64)


def check_moments(drawn, mean, variance):
    """Within five standard errors; that of the variance is what a nearly normal variable has, with its excess."""
    number = drawn.numel()
    assert abs(float(drawn.mean()) - mean) < 5 * math.sqrt(variance / number)
    fourth = float(((drawn - drawn.mean()) ** 4).mean())
    assert abs(float(drawn.var()) - variance) < 5 * math.sqrt((fourth - variance**2) / number)


@pytest.mark.parametrize("mean", [0.3, 7.0, 900.0, 1e6])
@pytest.mark.parametrize("distribution", ["auto", "gaussian"])
def test_counted_quanta_have_the_variance_of_their_mean(mean, distribution):
    drawn = Noise(distribution=distribution).of_quanta(flat(mean), seed=1)
    check_moments(drawn, mean, mean)
    if distribution == "auto":
        assert (drawn == drawn.round()).all()
        assert (drawn >= 0).all()


def test_counting_is_poissons_distribution():
    drawn = Noise().of_quanta(flat(2.5), seed=2)
    for count in range(8):
        chance = math.exp(-2.5) * 2.5**count / math.factorial(count)
        found = float((drawn == count).double().mean())
        assert abs(found - chance) < 5 * math.sqrt(chance / DRAWS)


@pytest.mark.parametrize(("quanta", "distribution"), [(0.8, "auto"), (60.0, "auto"), (60.0, "gaussian")])
def test_an_integrating_sensor_has_the_moments_of_a_spectrums_quanta_drawn_one_by_one(quanta, distribution):
    energies = torch.tensor([25.0, 40.0, 60.0, 80.0], dtype=torch.float64)
    shares = torch.tensor([0.2, 0.4, 0.3, 0.1], dtype=torch.float64)
    mean, variance = (float(quanta * (shares * energies**power).sum()) for power in (1, 2))
    generator = torch.Generator().manual_seed(3)
    counts = torch.poisson((quanta * shares).expand(DRAWS, 4), generator=generator)
    one_by_one = counts @ energies
    check_moments(one_by_one, mean, variance)
    drawn = Noise(distribution=distribution).of_quanta(flat(mean), flat(variance), seed=4)
    check_moments(drawn, mean, variance)
    if quanta < 1:  # few quanta: nothing at all is about as frequent, and nothing is negative
        assert (drawn >= 0).all()
        nothing = float((one_by_one == 0).double().mean())
        assert float((drawn == 0).double().mean()) == pytest.approx(nothing, abs=0.06)


def test_electronic_noise():
    read = Noise(electronic=3.0).of_electronics(flat(-20.0), seed=5)
    check_moments(read, -20.0, 9.0)
    assert Noise().of_electronics(images(1, 1, 3, 4), seed=5).equal(images(1, 1, 3, 4))


def test_noise_that_is_blurred_is_correlated_and_smaller():
    quanta = Noise().of_quanta(flat(400.0), seed=6)
    blurred = DetectorBlur(2.0)(quanta, pixel_mm=(1.0, 1.0)) - 400
    variance = 400 / (4 * math.pi * 2.0**2)  # of a Gaussian's squared weights
    assert float(blurred.var()) == pytest.approx(variance, rel=0.05)
    neighbours = (blurred[..., 1:] * blurred[..., :-1]).mean() / blurred.square().mean()
    assert float(neighbours) == pytest.approx(math.exp(-1 / (4 * 2.0**2)), abs=0.02)


def test_seeds_and_generators():
    mean = 50 * images(2, 1, 5, 6)
    noise = Noise(electronic=1.0)
    assert noise.of_quanta(mean, seed=7).equal(noise.of_quanta(mean, seed=7))
    assert not noise.of_quanta(mean, seed=7).equal(noise.of_quanta(mean, seed=8))
    generator = torch.Generator().manual_seed(7)
    first = noise.of_quanta(mean, seed=generator)
    assert first.equal(noise.of_quanta(mean, seed=7))
    assert not noise.of_quanta(mean, seed=generator).equal(first)  # it goes on
    before = torch.random.get_rng_state()
    noise.of_electronics(mean, seed=1)
    assert torch.random.get_rng_state().equal(before)


def test_where_nothing_is_expected_there_is_no_noise():
    nothing = torch.zeros(1, 1, 2, 3, dtype=torch.float64)
    assert (Noise().of_quanta(nothing, nothing, seed=0) == 0).all()
    for distribution in ("poisson", "gaussian"):  # nor where there is no variance
        certain = Noise(distribution=distribution).of_quanta(nothing + 5, nothing, seed=0)
        assert (certain == 5).all()
    asked = nothing.clone().requires_grad_()
    Noise().of_quanta(asked, seed=0).sum().backward()
    assert (asked.grad == 1).all()


def test_no_quantum_noise_and_single_precision():
    mean = images(1, 1, 3, 4)
    assert Noise(quantum=False).of_quanta(mean, seed=0) is mean
    for distribution in ("auto", "gaussian"):
        assert Noise(distribution=distribution).of_quanta(mean.float(), seed=0).dtype == torch.float32


# --- derivatives


def test_derivatives_by_mean_variance_and_electronic_noise():
    def noisy(mean, spread, electronic):
        quanta = Noise().of_quanta(100 * mean, 100 * mean * spread, seed=9)
        return Noise(electronic=electronic).of_electronics(quanta, seed=10)

    check_derivatives(noisy, 1.7, 0.4)


def test_derivatives_are_those_of_mean_and_deviation():
    mean = (100 * images(1, 1, 4, 5)).requires_grad_()
    drawn = Noise().of_quanta(mean, seed=11)
    (slope,) = torch.autograd.grad(drawn.sum(), mean)
    normal = (drawn.detach() - mean.detach()) / mean.detach().sqrt()
    assert_close(slope, 1 + normal / (2 * mean.detach().sqrt()), rtol=1e-12, atol=0)
    forwards = torch.func.jvp(lambda m: Noise().of_quanta(m, seed=11), (mean.detach(),), (torch.ones_like(mean),))[1]
    assert_close(forwards, slope, rtol=1e-12, atol=0)
    assert_close(torch.func.grad(lambda m: Noise().of_quanta(m, seed=11).sum())(mean.detach()), slope)


def test_poissons_distribution_has_no_derivatives_and_says_so():
    mean = images(1, 1, 3, 4).requires_grad_()
    noise = Noise(distribution="poisson")
    with pytest.raises(RuntimeError, match="Expected no derivatives of Poisson's distribution"):
        noise.of_quanta(mean, seed=0)
    with pytest.raises(RuntimeError, match="Expected no derivatives"):
        torch.func.jvp(lambda m: noise.of_quanta(m, seed=0), (mean.detach(),), (torch.ones_like(mean),))
    with torch.no_grad():
        noise.of_quanta(mean, seed=0)


def test_what_cannot_be_drawn_is_refused():
    mean = images(1, 1, 3, 4)
    with pytest.raises(ValueError, match="Expected means and variances of at least 0"):
        Noise().of_quanta(-mean, seed=0)
    with pytest.raises(ValueError, match="Expected means and variances of at least 0"):
        Noise().of_quanta(mean * math.nan, seed=0)
