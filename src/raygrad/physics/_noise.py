"""Noise: of the number of quanta, and of the electronics that read the detector.

A sensor that counts has Poisson's noise. One that integrates adds up the energies of its quanta, a compound Poisson
variable, whose mean and variance are the sums over the spectrum of quanta times their energy, and times its square: R.
K. Swank, "Absorption and noise in x-ray phosphors", Journal of Applied Physics 44 (1973) 4199; B. R. Whiting, "Signal
statistics in x-ray computed tomography", Proc. SPIE 4682 (2002) 53. Its distribution is taken as Poisson's in steps of
variance / mean, which has that mean and variance, is never negative, and is exact for quanta of one energy.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from raygrad.physics._numbers import Number, Signal, check_choice, check_images, check_number, differentiated, tensor_of

Seed = int | torch.Generator
DISTRIBUTIONS = ("auto", "poisson", "gaussian")


@dataclass(frozen=True)
class Noise:
    """Noise of quanta, drawn before the detector blurs them, and of its electronics, drawn after.

    Attributes:
        quantum: whether quanta have noise.
        electronic: standard deviation of what reading a pixel adds, in the signal's unit: keV, or counts of a sensor
            that counts. May be a tensor with a gradient.
        distribution: of quanta: "poisson"; "gaussian", mean + deviation x a normal number, whose derivatives are
            those of mean and deviation, and which may be negative where there are few quanta; or "auto", Poisson's
            unless someone asks for derivatives.

    Raises:
        ValueError: a deviation that is negative or not finite, or another distribution.
    """

    quantum: bool = True
    electronic: Number = 0.0
    distribution: str = "auto"

    def __post_init__(self) -> None:
        check_number("electronic", self.electronic, least=0, unit="the signal's unit")
        check_choice("distribution", self.distribution, DISTRIBUTIONS)

    def of_quanta(self, mean: Signal, variance: Signal | None = None, *, seed: Seed) -> Signal:
        """Draw what the sensor detects of a mean signal.

        Args:
            mean: (view, channel, height, width), the expected signal: quanta times what each adds to it.
            variance: of the signal: quanta times the square of what each adds; None where each adds 1 (counting).
            seed: a number, or a generator of the images' device, which goes on from where it is.

        Raises:
            TypeError, ValueError: images of another shape, negative ones, or a generator of another device.
            RuntimeError: derivatives are asked for of Poisson's distribution, which has none.
        """
        check_images(mean)
        if variance is not None:
            check_images(variance)
            if variance.shape != mean.shape:
                raise ValueError(f"Expected a variance of shape {tuple(mean.shape)}. Got {tuple(variance.shape)}.")
        if not self.quantum:
            return mean
        variance = mean if variance is None else variance
        if mean.device.type == "cpu" and not (bool((mean >= 0).all()) and bool((variance >= 0).all())):
            raise ValueError(
                "Expected means and variances of at least 0. Got negative ones, or some that are no number."
            )
        generator, smooth = generator_of(seed, mean.device), differentiated(mean, variance)
        if self.distribution == "poisson" and smooth:
            raise RuntimeError(
                "Expected no derivatives of Poisson's distribution, which has none. Use distribution='gaussian' or "
                "'auto', or torch.no_grad()."
            )
        if self.distribution == "gaussian" or smooth:
            # Where nothing is expected there is no noise, and no root that is differentiated at 0.
            positive = variance > 0
            deviation = torch.where(positive, torch.sqrt(torch.where(positive, variance, 1.0)), 0.0)
            return mean + deviation * _normal(mean, generator)
        noisy = (mean > 0) & (variance > 0)
        step = torch.where(noisy, variance / torch.where(noisy, mean, 1.0), 1.0)
        return torch.where(noisy, step * torch.poisson(mean / step, generator=generator), mean)

    def of_electronics(self, images: Signal, *, seed: Seed) -> Signal:
        """Add what reading the detector adds.

        Args:
            images: (view, channel, height, width).
            seed: a number, or a generator of the images' device, which goes on from where it is.

        Raises:
            TypeError, ValueError: images that are none, or a generator of another device.
        """
        check_images(images)
        if not isinstance(self.electronic, Tensor) and self.electronic == 0:
            return images
        deviation = tensor_of(self.electronic, images).to(images.dtype)
        return images + deviation * _normal(images, generator_of(seed, images.device))


def generator_of(seed: Seed, device: torch.device | str) -> torch.Generator:
    """The generator that a seed stands for.

    Args:
        seed: a number, or a generator, which is returned as it is.
        device: where it is to draw.

    Raises:
        TypeError: neither.
        ValueError: a generator of another device.
    """
    device = torch.device(device)
    if isinstance(seed, torch.Generator):
        if seed.device.type != device.type:
            raise ValueError(f"Expected a generator of device {device.type}. Got one of {seed.device.type}.")
        return seed
    if isinstance(seed, bool) or not isinstance(seed, int):
        raise TypeError(f"Expected a seed as a whole number or a torch.Generator. Got {type(seed).__name__}.")
    return torch.Generator(device=device).manual_seed(seed)


def _normal(like: Tensor, generator: torch.Generator) -> Tensor:
    return torch.randn(like.shape, generator=generator, dtype=like.dtype, device=like.device)
