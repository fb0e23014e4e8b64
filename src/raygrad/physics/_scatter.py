"""Scatter: photons that the patient turns aside, as a superposition of kernels about every ray; and grids against them.

B. Ohnesorge, T. Flohr and K. Klingenbeck-Regn, "Efficient object scatter correction algorithm for third and fourth
generation CT scanners", European Radiology 9 (1999) 563: a ray scatters in proportion to I ln(I0 / I), its primary
intensity times how often it is turned aside. M. Sun and J. M. Star-Lack, "Improved scatter correction using adaptive
scatter kernel superposition", Physics in Medicine and Biology 55 (2010) 6695: times (I / I0)^alpha, the logarithm to
the power of beta, spread by a narrow and a wide Gaussian. Grids: IEC 60627:2013.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from raygrad.physics._filters import alone
from raygrad.physics._numbers import Number, Pixel, Signal, check_images, check_number, pixel_of, tensor_of

PATIENT_FROM = 0.25
"""The line integral at which a pixel counts half as behind the patient; with its fourth power."""


@dataclass(frozen=True)
class AntiScatterGrid:
    """Lamellae in front of the detector that let the primary through rather than scatter.

    Attributes:
        primary: the share of primary radiation that passes, above 0 and up to 1; 0.7 for a usual moving grid.
        scatter: the share of scatter that passes, from 0 to 1; 0.1 for one of ratio 10.

    Raises:
        ValueError: a share that is not one.
    """

    primary: Number = 0.7
    scatter: Number = 0.1

    def __post_init__(self) -> None:
        check_number("primary", self.primary, above=0, most=1)
        check_number("scatter", self.scatter, least=0, most=1)

    @property
    def selectivity(self) -> Number:
        """How many times more of the primary passes than of scatter."""
        return self.primary / self.scatter

    def total_transmission(self, ratio: Number) -> Number:
        """The share of all radiation that passes.

        Args:
            ratio: of scatter to primary before the grid.
        """
        check_number("ratio", ratio, least=0)
        return (self.primary + self.scatter * ratio) / (1 + ratio)

    def bucky_factor(self, ratio: Number) -> Number:
        """How many times more dose it takes for the same signal: one over the total transmission.

        Args:
            ratio: of scatter to primary before the grid.
        """
        return 1 / self.total_transmission(ratio)

    def contrast_improvement(self, ratio: Number) -> Number:
        """How many times more contrast there is: the primary's transmission over the total one.

        Args:
            ratio: of scatter to primary before the grid.
        """
        return self.primary / self.total_transmission(ratio)


@dataclass(frozen=True)
class Scatter:
    """Scatter as a sum of two Gaussians about each ray, of amplitude I (I / I0)^alpha ln(I0 / I)^beta.

    Nothing scatters where nothing is in the way, or where no primary is left. What comes from outside the image is
    missing, and what falls outside is lost: at its edges scatter is weaker, as at a collimator's.

    Attributes:
        ratio: of scatter to primary behind the patient, before a grid: 0 and up; 0.2 for a hand, 1 for a chest
            without a grid, 2 to 5 for an abdomen. See `reference`.
        alpha: the exponent of the share that is transmitted, above -1: 0 after Ohnesorge; below 0 dense parts scatter
            more.
        beta: the exponent of the line integral, 0 and up: 1 after Ohnesorge, single scatter.
        narrow_mm, wide_mm: standard deviations of the Gaussians on the detector; they grow with the air gap.
        wide_share: the share of the wide one, 0 to 1.
        reference: None: `ratio` is reached in every view, as all scatter over all primary behind the patient, which is
            where line integrals are above about 0.25. Behind its dense parts the ratio is higher, at its rim lower. A
            line integral: `ratio` is what a wide slab of that line integral scatters, so that thick patients and
            lateral views scatter more.

    All numbers may be tensors with a gradient.

    Raises:
        ValueError: a number beyond these bounds.
    """

    ratio: Number = 1.0
    alpha: Number = 0.0
    beta: Number = 1.0
    narrow_mm: Number = 30.0
    wide_mm: Number = 100.0
    wide_share: Number = 0.5
    reference: Number | None = None

    def __post_init__(self) -> None:
        check_number("ratio", self.ratio, least=0)
        check_number("alpha", self.alpha, above=-1)
        check_number("beta", self.beta, least=0)
        check_number("narrow_mm", self.narrow_mm, above=0, unit="mm")
        check_number("wide_mm", self.wide_mm, above=0, unit="mm")
        check_number("wide_share", self.wide_share, least=0, most=1)
        if self.reference is not None:
            check_number("reference", self.reference, above=0, unit="nepers")

    def __call__(
        self, primary: Signal, open_field: Number, *, pixel_mm: Pixel, grid: AntiScatterGrid | None = None
    ) -> Signal:
        """All that arrives at the detector: the primary and its scatter.

        Args:
            primary: (view, channel, height, width), what is transmitted without being turned aside, in any unit.
            open_field: what would arrive with nothing in the way, in the same unit: a number, or a tensor that fits
                `primary`, such as (1, channel, 1, 1) or an image of the heel effect.
            pixel_mm: height and width of a pixel on the detector: (dely, delx).
            grid: that both pass.

        Raises:
            TypeError, ValueError: images, pixels or an open field that are none.
        """
        scattered = self.scattered(primary, open_field, pixel_mm=pixel_mm)
        if grid is None:
            return primary + scattered
        passed, leaked = (tensor_of(share, primary).to(primary.dtype) for share in (grid.primary, grid.scatter))
        return passed * primary + leaked * scattered

    def scattered(self, primary: Signal, open_field: Number, *, pixel_mm: Pixel) -> Signal:
        """The scatter alone, before a grid.

        Args:
            primary, open_field, pixel_mm: as for a call.

        Raises:
            TypeError, ValueError: images, pixels or an open field that are none.
        """
        check_images(primary)
        numbers = (self.ratio, self.alpha, self.beta, self.narrow_mm, self.wide_mm, self.wide_share)
        ratio, alpha, beta, narrow, wide, share = (tensor_of(number, primary) for number in numbers)
        sides = torch.stack(pixel_of(pixel_mm, primary))
        transmitted = primary.double() / _open_field(open_field, primary)
        absorbing = (transmitted > torch.finfo(primary.dtype).tiny) & (transmitted < 1)
        # Elsewhere nothing scatters; any number there keeps powers and logarithms, and their derivatives, finite.
        safe = torch.where(absorbing, transmitted, 0.5)
        nepers = -torch.log(safe)
        amplitude = torch.where(absorbing, primary * safe**alpha * nepers**beta, 0.0)
        variances = torch.stack([narrow, wide])[:, None] ** 2 / sides**2
        spread = alone(amplitude, torch.stack([1 - share, share]), variances)
        if self.reference is None:
            behind = torch.where(absorbing, nepers**4 / (nepers**4 + PATIENT_FROM**4), (transmitted < 1).double())
            wanted, found = ((behind * image).sum((-2, -1), keepdim=True) for image in (primary, spread))
            patient = found > 0
            scale = torch.where(patient, wanted / torch.where(patient, found, 1.0), 0.0)
        else:
            slab = tensor_of(self.reference, primary)
            scale = torch.exp(alpha * slab) / slab**beta
        return (ratio * scale * spread).to(primary.dtype)


def _open_field(open_field: Number, primary: Signal) -> Tensor:
    """The open field as a tensor that `primary` can be divided by."""
    if not isinstance(open_field, Tensor):
        check_number("open_field", open_field, above=0)
        return tensor_of(open_field, primary)
    try:
        fits = torch.broadcast_shapes(open_field.shape, primary.shape) == primary.shape
    except RuntimeError:
        fits = False
    if not fits:
        raise ValueError(f"Expected an open field that fits {tuple(primary.shape)}. Got {tuple(open_field.shape)}.")
    if open_field.device.type == "cpu" and not math.inf > float(open_field.detach().min()) > 0:
        raise ValueError(f"Expected a positive open field. Got {float(open_field.detach().min()):g} in it.")
    return open_field.to(device=primary.device, dtype=torch.float64)
