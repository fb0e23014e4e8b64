"""Gain: pixels of a detector differ in what they make of the same signal; some make nothing of it.

Offset, gain and defects are what detectors are corrected for: J. A. Seibert, J. M. Boone and K. K. Lindfors,
"Flat-field correction technique for digital detectors", Proc. SPIE 3336 (1998) 348. What the correction leaves is a
gain of small spread.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool
from torch import Tensor
from torch.nn import functional

from raygrad.physics._noise import Seed, generator_of
from raygrad.physics._numbers import Number, Signal, check_images, check_number, tensor_of


@dataclass(frozen=True, eq=False)
class Gain:
    """What each pixel makes of its signal: gain x signal + offset; dead ones read their offset.

    Attributes:
        gain: a positive number, or one for each pixel (height, width). May carry gradients, as `offset`.
        offset: a number in the signal's unit, or one for each pixel (height, width).
        dead: the pixels (height, width) that are dead; None for none.

    Raises:
        ValueError: a gain that is not positive, numbers that are not finite, or another shape.
    """

    gain: Number = 1.0
    offset: Number = 0.0
    dead: Bool[Tensor, "height width"] | None = None

    def __post_init__(self) -> None:
        _check_map("gain", self.gain, positive=True)
        _check_map("offset", self.offset, positive=False)
        if self.dead is not None and (self.dead.dtype != torch.bool or self.dead.ndim != 2):
            raise ValueError(
                f"Expected dead as booleans (height, width). Got {tuple(self.dead.shape)}, {self.dead.dtype}."
            )

    @classmethod
    def drawn(
        cls,
        size: tuple[int, int],
        *,
        spread: float | int = 0.002,
        dead: float | int = 0.0,
        offset: float | int = 0.0,
        seed: Seed = 0,
    ) -> "Gain":
        """A detector drawn by lot.

        Args:
            size: height and width.
            spread: standard deviation of the gains' logarithms: 0.002 after flat-field correction, 0.05 before.
            dead: the share of pixels that are dead.
            offset: standard deviation of offsets, in the signal's unit.
            seed: a number or a generator.

        Raises:
            ValueError: a negative spread or offset, or a share that is none.
        """
        check_number("spread", spread, least=0)
        check_number("dead", dead, least=0, below=1)
        check_number("offset", offset, least=0)
        device = seed.device if isinstance(seed, torch.Generator) else torch.device("cpu")
        generator = generator_of(seed, device)
        drawn = [torch.randn(size, generator=generator, dtype=torch.float64, device=device) for _ in range(2)]
        lots = torch.rand(size, generator=generator, dtype=torch.float64, device=device)
        return cls(torch.exp(spread * drawn[0]), offset * drawn[1], lots < dead if dead > 0 else None)

    def __call__(self, images: Signal) -> Signal:
        """What the pixels read.

        Args:
            images: (view, channel, height, width), any signal.

        Raises:
            TypeError, ValueError: images that are none, or of another size than the detector.
        """
        gain, offset, alive = self._for(images)
        return gain * alive * images + offset

    def corrected(self, images: Signal) -> Signal:
        """What a correction that knows the detector makes of its readings; dead pixels get their neighbours' mean.

        Args:
            images: (view, channel, height, width), as read.

        Raises:
            TypeError, ValueError: images that are none, or of another size than the detector.
        """
        gain, offset, alive = self._for(images)
        signal = alive * (images - offset) / gain
        if self.dead is None:
            return signal
        living = alive.expand(1, 1, *images.shape[-2:])
        # Where all neighbours are dead, too, nothing is known and 0 is left.
        mean = _around(signal) / _around(living).clamp_min(1)
        return torch.where(alive > 0, signal, mean)

    def _for(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        check_images(images)
        size = images.shape[-2:]
        maps = {"gain": self.gain, "offset": self.offset, "dead": self.dead}
        for name, pixels in maps.items():
            if isinstance(pixels, Tensor) and (pixels.numel() > 1 or name == "dead") and pixels.shape != size:
                raise ValueError(f"Expected images of the size {tuple(pixels.shape)} of {name}. Got {tuple(size)}.")
        gain, offset = (_map(value, images) for value in (self.gain, self.offset))
        alive = torch.ones((), device=images.device) if self.dead is None else (~self.dead).to(images.device)
        return gain, offset, alive.to(images.dtype)


def _around(images: Tensor) -> Tensor:
    """The sum over the 3 x 3 pixels about each, with nothing around the image."""
    return 9 * functional.avg_pool2d(functional.pad(images, [1] * 4), 3, stride=1)


def _map(value: Number, images: Tensor) -> Tensor:
    if isinstance(value, Tensor) and value.numel() > 1:
        return value.to(device=images.device, dtype=images.dtype)
    return tensor_of(value, images).to(images.dtype)


def _check_map(name: str, value: Number, positive: bool) -> None:
    if not isinstance(value, Tensor) or value.numel() == 1:
        check_number(name, value, above=0 if positive else None)
        return
    if value.ndim != 2 or not value.is_floating_point():
        raise ValueError(f"Expected {name} as a number or (height, width). Got {tuple(value.shape)}, {value.dtype}.")
    finite = value.detach().isfinite()
    if not bool((finite & (value.detach() > 0) if positive else finite).all()):
        raise ValueError(f"Expected {name} of {'positive' if positive else 'finite'} numbers. Got others among them.")
