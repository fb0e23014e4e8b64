"""Multiscale enhancement: small differences gain, large ones are held back, so that lungs and spine share a window.

Radiography has done so since P. Vuylsteke and E. Schoeters, "Multiscale image contrast amplification (MUSICA)", Proc.
SPIE 2167:551 (1994): the image is taken apart into a Laplacian pyramid (P. J. Burt and E. H. Adelson, IEEE Trans.
Commun. 31:532, 1983), each level goes through an odd, monotone curve, and the levels are summed up again.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from raygrad.physics._numbers import Number, Pixel, check_images, check_number, pixel_of, tensor_of
from raygrad.types import Images

_TAPS = (0.125, 0.375, 0.375, 0.125)
"""Burt and Adelson's filter of even length: a coarse pixel's centre is in the middle of four fine ones."""
_COARSEST = 4
"""Pixels along the shorter side of the image that no level is made of any more."""


@dataclass(frozen=True)
class Multiscale:
    """Multiscale enhancement of line integrals.

    A level's pixel x becomes x ((x² + noise²) / (strong² + noise²))^((power - 1) / 2): differences of `strong` stay
    what they are, smaller ones gain, and those below `noise` all gain the same. Differentiable by the image and by
    every number, which may be a tensor.

    Attributes:
        power: above 0 and up to 1, which leaves all as it is.
        strong: the difference in line integrals that neither gains nor loses.
        noise: the difference in line integrals below which there may be nothing but noise.
        coarse_mm: structures larger than this, on the detector, are held back ...
        latitude: ... to this share of their contrast, above 0 and up to 1.
        fine_mm: structures of about this size gain once more ...
        sharp: ... by this factor: edges become crisper, and noise louder.

    Raises:
        ValueError: a number that is not finite or outside its range.
        TypeError: one that is no number.
    """

    power: Number = 0.7
    strong: Number = 0.5
    noise: Number = 0.03
    coarse_mm: Number = 40.0
    latitude: Number = 0.8
    fine_mm: Number = 2.0
    sharp: Number = 1.0

    def __post_init__(self) -> None:
        for name in ("power", "latitude"):
            check_number(name, getattr(self, name), above=0.0, most=1.0)
        for name, unit in (("strong", ""), ("noise", ""), ("coarse_mm", "mm"), ("fine_mm", "mm"), ("sharp", "")):
            check_number(name, getattr(self, name), above=0.0, unit=unit)

    def __call__(self, image: Images, *, pixel_mm: Pixel) -> Images:
        """The image with its levels changed, on a scale of its own.

        Args:
            image: line integrals (view, channel, height, width).
            pixel_mm: height and width of a pixel on the detector.
        """
        check_images(image)
        dely, delx = pixel_of(pixel_mm, image)
        size = (dely * delx).sqrt()
        levels, rest = laplacian_pyramid(image)
        result = rest * self._share(size * 2.0 ** len(levels)).to(image)
        for k in reversed(range(len(levels))):
            share = self._share(size * 2.0**k).to(image)
            result = share * self._amplified(levels[k]) + _expand(result, levels[k])
        return result

    def _amplified(self, level: Tensor) -> Tensor:
        power, strong, noise = (tensor_of(value, level) for value in (self.power, self.strong, self.noise))
        ratio = (level.square() + noise.square().to(level)) / (strong.square() + noise.square()).to(level)
        return level * ratio ** ((power - 1) / 2).to(level)

    def _share(self, size_mm: Tensor) -> Tensor:
        """What structures of a size are multiplied by: large ones by `latitude`, those of `fine_mm` by `sharp`."""
        coarse, fine, latitude, sharp = (
            tensor_of(value, size_mm) for value in (self.coarse_mm, self.fine_mm, self.latitude, self.sharp)
        )
        x, y = (size_mm / fine) ** 2, (size_mm / coarse) ** 2
        return (1 + (sharp - 1) * 4 * x / (1 + x) ** 2) * (1 + latitude * y) / (1 + y)


def laplacian_pyramid(image: Images) -> tuple[list[Tensor], Tensor]:
    """The levels of an image from the finest on, and what is left; each level is what the next coarser one lacks."""
    levels = []
    while min(image.shape[-2:]) >= 2 * _COARSEST:
        coarse = _reduce(image)
        levels.append(image - _expand(coarse, image))
        image = coarse
    return levels, image


def _reduce(image: Images) -> Float[Tensor, "batch channel coarse_height coarse_width"]:
    """Half as many pixels along each side, rounded up; beyond the edges the image goes on as it ends."""
    for axis in (-2, -1):
        size = image.shape[axis]
        lines = image.movedim(axis, -1)
        padded = functional.pad(lines.flatten(0, -2)[:, None], (1, 2 if size % 2 else 1), mode="replicate")
        taps = image.new_tensor(_TAPS)[None, None]
        halved = functional.conv1d(padded, taps, stride=2)[:, 0]
        image = halved.reshape(*lines.shape[:-1], -1).movedim(-1, axis)
    return image


def _expand(coarse: Float[Tensor, "batch channel coarse_height coarse_width"], like: Images) -> Images:
    """Twice as many pixels along each side, linearly between centres, of which those of a finer level are kept."""
    height, width = like.shape[-2:]
    fine = functional.interpolate(coarse, scale_factor=2, mode="bilinear", align_corners=False)
    return fine[..., :height, :width]


def filled(image: Images, inside: Bool[Tensor, "#batch 1 height width"]) -> Images:
    """The image with what is not inside filled from coarser and coarser pixels of what is."""
    weight = inside.expand_as(image).to(image)
    if min(image.shape[-2:]) < 2 * _COARSEST:
        total = weight.sum((-2, -1), keepdim=True)
        mean = (weight * image).sum((-2, -1), keepdim=True) / total.clamp_min(torch.finfo(image.dtype).tiny)
        return torch.where(inside, image, mean)
    covered = _reduce(weight)
    coarse = _reduce(weight * image) / covered.clamp_min(torch.finfo(image.dtype).tiny)
    return torch.where(inside, image, _expand(filled(coarse, covered > 0), image))
