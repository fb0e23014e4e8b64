"""Beam hardening of water undone: from what a polychromatic beam shows to what one energy would."""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from raygrad.physics._beam import Beam, attenuation_at, check_line_integrals, reference_energy

STEP = 0.01
"""Between the table's line integrals. The cubics between its entries are off by less than 1e-7 mm."""
BEYOND = ("error", "linear")
AT_ONCE = 1 << 22  # pixels, where no graph is kept

Images = Float[Tensor, "*any"]


@dataclass(frozen=True, eq=False)
class WaterCorrection:
    """Line integrals of a polychromatic beam as those of one energy, exact behind water.

    Low energies are lost first, so that -log(I / I0) grows less than the path does: a reconstruction of it shows
    cylinders hollow (cupping) and streaks. Behind water alone it is a monotone function of the path, which is inverted
    here and multiplied with water's attenuation at the reference energy (Herman, Phys. Med. Biol. 24, 1979): from
    then on images and volumes are of this energy. Bone hardens more; see `BoneCorrection`.

    Called with line integrals, it is differentiable in them, and keeps shape, dtype and device. A table with exact
    slopes is interpolated by cubics: errors are below 1e-7 mm. Line integrals below 0, as noise makes them in air,
    follow the line with the slope at 0.

    Attributes:
        beam: the spectrum as the sensor sees it.
        reference_kev: the energy that the images are of after it.
        up_to_mm: water that the table reaches to.
        beyond: what happens to line integrals beyond: "error", or "linear" to go on with the table's last slope.
        material: what is corrected for.
        table: (entry) mm of the material for line integrals 0, step, 2 step, ...
        slopes: (entry) mm by the line integral.
        step: between the table's line integrals.

    Raises:
        ValueError: an unknown `beyond`, or a length that is not positive; when called, images that are not finite, or
            beyond the table.
        TypeError: when called, images of another dtype.
    """

    beam: Beam
    reference_kev: float
    up_to_mm: float
    beyond: str
    material: str
    table: Float[Tensor, " entry"]
    slopes: Float[Tensor, " entry"]
    step: float

    @classmethod
    def of(
        cls,
        spectrum: Any,
        sensor: Any,
        *,
        reference_kev: float | int | None = None,
        up_to_mm: float | int = 600.0,
        beyond: str = "error",
        material: str = "water",
    ) -> "WaterCorrection":
        """The correction for a tube and a detector.

        Args:
            spectrum: a `Spectrum`.
            sensor: a `Sensor`.
            reference_kev: the energy that images are of after it; by default the signal's mean, so that of a
                single energy nothing changes.
            up_to_mm: water that it is made for.
            beyond: what to do with line integrals beyond: "error", or "linear" to go on with the last slope.
            material: what is corrected for, of the names that `Spectrum.filtered` knows.

        Raises:
            TypeError, ValueError: an argument that is not as described.
        """
        return cls.of_beam(
            Beam.of((spectrum, sensor)),
            reference_kev=reference_kev,
            up_to_mm=up_to_mm,
            beyond=beyond,
            material=material,
        )

    @classmethod
    def of_beam(
        cls,
        beam: Beam,
        *,
        reference_kev: float | int | None = None,
        up_to_mm: float | int = 600.0,
        beyond: str = "error",
        material: str = "water",
    ) -> "WaterCorrection":
        """The correction for a beam: see `of`.

        Raises:
            ValueError: an argument that is not as described.
        """
        beam.check_constant()
        if beyond not in BEYOND:
            raise ValueError(f"Expected beyond to be one of {', '.join(BEYOND)}. Got {beyond!r}.")
        if not 0 < up_to_mm < float("inf"):
            raise ValueError(f"Expected up_to_mm as a positive length. Got {up_to_mm}.")
        reference = reference_energy(beam, reference_kev)
        attenuation_at(material, reference)  # which may be beyond the tables of attenuation
        mu = beam.attenuation([material])
        last, _ = beam.line_integrals(torch.tensor([[float(up_to_mm)]], dtype=torch.float64), mu)
        entries = torch.linspace(0.0, float(last), max(3, int(float(last) / STEP) + 2), dtype=torch.float64)
        table, slopes = path_behind(beam, entries, mu[:0], entries.new_zeros(0, len(entries)), mu)
        return cls(beam, reference, float(up_to_mm), beyond, material, table, slopes, float(entries[1]))

    @property
    def reference_attenuation(self) -> float:
        """The material's attenuation at the reference energy, in 1/mm."""
        return attenuation_at(self.material, self.reference_kev)

    @property
    def highest(self) -> float:
        """The line integral where the table ends."""
        return self.step * (len(self.table) - 1)

    def __call__(self, line_integrals: Tensor) -> Images:
        """Line integrals of the reference energy, from those that were measured: -log(signal / open signal).

        Raises:
            TypeError, ValueError: images of another dtype, not finite, or beyond the table.
        """
        return self.path_mm(line_integrals) * self.reference_attenuation

    def path_mm(self, line_integrals: Tensor) -> Images:
        """The mm of water that line integrals say.

        Raises:
            TypeError, ValueError: images of another dtype, not finite, or beyond the table.
        """
        check_line_integrals(line_integrals)
        if self.beyond == "error" and line_integrals.numel():
            most = float(line_integrals.detach().max())
            if most > self.highest * (1 + 1e-6):
                raise ValueError(
                    f"Expected line integrals up to {self.highest:.4g}, as {self.up_to_mm:.4g} mm of {self.material} "
                    f"give. Got {most:.4g}: say a larger up_to_mm, or beyond='linear' to go on with the last slope."
                )
        table, slopes = (values.to(line_integrals) for values in (self.table, self.slopes))
        if torch.is_grad_enabled() and line_integrals.requires_grad:
            return _between(line_integrals, self.step, table, slopes)
        result = torch.empty_like(line_integrals, memory_format=torch.contiguous_format)
        flat = line_integrals.reshape(-1)
        for part, out in zip(flat.split(AT_ONCE), result.view(-1).split(AT_ONCE), strict=True):
            out.copy_(_between(part, self.step, table, slopes))
        return result

    def __repr__(self) -> str:
        """What for, and how far."""
        return f"WaterCorrection({self.material}, {self.reference_kev:.4g} keV, up to {self.up_to_mm:.4g} mm)"


def path_behind(
    beam: Beam,
    line_integrals: Float[Tensor, " ray"],
    others_mu: Float[Tensor, "other energy"],
    others_mm: Float[Tensor, "other ray"],
    mu: Float[Tensor, "1 energy"],
    iterations: int = 100,
) -> tuple[Float[Tensor, " ray"], Float[Tensor, " ray"]]:
    """The mm of one material that explain line integrals behind known mm of others, and its derivative by them.

    Newton's method. Line integrals are concave in the path and grow: its first step leads to the left of the root
    wherever it begins, and from there every step nearer to it.
    """
    both = torch.cat([mu, others_mu])
    path = line_integrals.new_zeros(line_integrals.shape)
    slope = torch.ones_like(path)
    for _ in range(iterations):
        found, slopes = beam.line_integrals(torch.cat([path[None], others_mm]), both)
        slope = slopes[0]
        change = (line_integrals - found) / slope
        path = path + change
        if float(change.abs().max()) < 1e-11 * max(1.0, float(path.abs().max())):
            break
    return path, 1 / slope


def _between(values: Tensor, step: float, table: Tensor, slopes: Tensor) -> Tensor:
    """Hermite's cubics through a table's entries with their slopes, and straight lines beyond its ends."""
    last = len(table) - 1
    inside = values.clamp(0.0, step * last)
    cell = (inside.detach() / step).long().clamp_(max=last - 1)
    t = inside / step - cell
    left, right = table[cell], table[cell + 1]
    left_slope, right_slope = slopes[cell] * step, slopes[cell + 1] * step
    rise = right - left
    curve = (3 * rise - 2 * left_slope - right_slope) + t * (left_slope + right_slope - 2 * rise)
    within = left + t * (left_slope + t * curve)
    return within + (values - inside) * torch.where(values < 0, slopes[0], slopes[-1])
