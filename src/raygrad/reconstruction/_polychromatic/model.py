"""What a polychromatic beam shows of a volume, with its derivatives."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from raygrad.physics import Beam, Tissues, line_integrals, line_integrals_with_derivatives
from raygrad.projector import Projector

Volumes = Float[Tensor, "x y z"]
ViewImages = Float[Tensor, "view height width"]


LOWEST_KEV = 40.0
"""That bone is told from water at: see `Tissues`."""


def reference_of(beam: Beam) -> float:
    """The energy that volumes are of unless another is asked for."""
    return max(LOWEST_KEV, beam.mean_energy())


def water_and_bone(reference_kev: float | int, bone_from_hu: float | int = 100.0) -> Tissues:
    """Voxels as mixtures of water and cortical bone: up to `bone_from_hu` water of another density, then both.

    Raises:
        ValueError: bone begins above bone, or below air; an energy that no CT has.
    """
    return Tissues((("water", bone_from_hu), ("cortical bone", None)), ct_energy_kev=reference_kev, metal=None)


@dataclass(frozen=True, eq=False)
class PolychromaticProjector:
    """Line integrals as a polychromatic beam shows them: p(x) = -log(sum_E w(E) exp(-sum_m mu_m(E) A V_m(x))).

    x is attenuation at one energy, which says what a voxel is made of: no segmentation is needed (Elbakri & Fessler,
    Phys. Med. Biol. 48:2453, 2003). p is not linear; it is differentiable in the volume, in whatever makes the
    projector's rays, and in spectrum and sensor, such as the tube's voltage. It is for losses and optimisers of one's
    own: `raygrad.reconstruction.Polychromatic` minimises the usual ones. Voxels below 0 are air.

    Attributes:
        projector: the X-ray transform of one material.
        beam: the spectrum as the sensor sees it.
        tissues: what voxels are made of.
    """

    projector: Projector
    beam: Beam
    tissues: Tissues

    @classmethod
    def of(
        cls,
        projector: Projector,
        physics: Any,
        *,
        reference_kev: float | int | None = None,
        tissues: Tissues | None = None,
    ) -> "PolychromaticProjector":
        """The projector of a tube and a detector.

        Args:
            projector: whose views and grid.
            physics: a `Physics`, of which spectrum and sensor are looked at, or a pair of these.
            reference_kev: the energy that volumes are attenuation at, from 40 to 150; by default the signal's mean, or
                40 where that is lower.
            tissues: what voxels are made of at that energy, by their HU; by default water, from 100 HU on mixtures with
                cortical bone. Those of one's own say the energy (`ct_energy_kev`).

        Raises:
            TypeError, ValueError: an argument that is not as described.
        """
        beam = Beam.of(physics)
        if tissues is None:
            tissues = water_and_bone(reference_of(beam) if reference_kev is None else reference_kev)
        elif reference_kev not in (None, tissues.ct_energy_kev):
            raise ValueError(
                f"Expected reference_kev as the tissues have it, {tissues.ct_energy_kev:g}, or not at all. "
                f"Got {reference_kev:g}."
            )
        if tissues.contrast_labels:
            raise ValueError("Expected tissues that HU alone tell apart. Got some with contrast_labels.")
        return cls(projector, beam, tissues)

    @property
    def reference_kev(self) -> float:
        """The energy that volumes are attenuation at."""
        return float(self.tissues.ct_energy_kev)

    def _attenuation(self) -> Float[Tensor, "material energy"]:
        return self.tissues.attenuation(self.beam.energies_kev)

    @cached_property
    def _water(self) -> float:
        return float(self.tissues.attenuation(self.reference_kev, ["water"]))

    def densities(self, volume: Volumes) -> Float[Tensor, "material x y z"]:
        """Of each material, relative to its own, differentiable in the volume's attenuation in 1/mm."""
        return self.tissues.volumes(1000 * (volume / self._water - 1))

    def __call__(self, volume: Volumes) -> ViewImages:
        """Line integrals -log(signal / open signal) of a volume of attenuation at `reference_kev`, in 1/mm.

        Raises:
            ValueError: the volume is on another grid, or holds NaN or infinity where rays pass.
        """
        path_lengths = torch.stack([self.projector(part) for part in self.densities(volume)], dim=1)
        return line_integrals(path_lengths, self._attenuation(), self.beam.weights[None])[:, 0]

    def at(self, volume: Volumes) -> "Linearised":
        """Line integrals of a volume and their derivative there, as an operator."""
        with torch.enable_grad():
            value = volume.detach().requires_grad_()
            parts = self.densities(value)
            slopes = [torch.autograd.grad(part.sum(), value, retain_graph=True)[0] for part in parts]
        path_lengths = torch.stack([self.projector(part) for part in parts.detach()], dim=1)
        mu, weights = self._attenuation().detach(), self.beam.weights.detach()
        values, by_path = line_integrals_with_derivatives(path_lengths, mu, weights)
        return Linearised(self.projector, values, by_path, torch.stack(slopes))

    def in_part(self, projector: Projector) -> "PolychromaticProjector":
        """The same for another projector, such as that of some of the views."""
        return PolychromaticProjector(projector, self.beam, self.tissues)


@dataclass(frozen=True, eq=False)
class Linearised:
    """Line integrals of a volume, and how they change with it.

    Attributes:
        projector: of the views.
        line_integrals: (view, height, width).
        by_path: (view, material, height, width) their derivatives by the mm of each material.
        by_value: (material, x, y, z) derivatives of the materials' densities by the volume.
    """

    projector: Projector
    line_integrals: ViewImages
    by_path: Float[Tensor, "view material height width"]
    by_value: Float[Tensor, "material x y z"]

    def __call__(self, change: Volumes) -> ViewImages:
        """What a change of the volume changes."""
        changed = torch.zeros_like(self.line_integrals)
        for by_path, by_value in zip(self.by_path.unbind(1), self.by_value, strict=True):
            changed.addcmul_(by_path, self.projector(by_value * change))
        return changed

    def adjoint(self, images: ViewImages) -> Volumes:
        """The gradient of a loss by the volume, from that by the line integrals."""
        gradient = torch.zeros_like(self.by_value[0])
        for by_path, by_value in zip(self.by_path.unbind(1), self.by_value, strict=True):
            gradient.addcmul_(by_value, self.projector.T(by_path * images))
        return gradient
