"""Dual energy: the mm of two materials from the same rays at two spectra."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from raygrad._attenuation import material_named
from raygrad.physics._beam import Beam, attenuation_at, check_line_integrals, without_channel

LEAST_ANGLE_DEG = 0.1
"""Between what the two beams see of two materials: below it, decomposition multiplies noise by a thousand and more."""
AT_ONCE = 1 << 16  # rays
MERGED, NEAR, FEW_ITERATIONS = 8, 1e-3, 10
"""Energies that are taken as one for a start, how near that has to come, and iterations for it."""
FARTHEST_MM = 1e4  # of a start

Paths = Float[Tensor, "view material height width"]
ViewImages = Float[Tensor, "view height width"]


@dataclass(frozen=True, eq=False)
class Decomposition:
    """The mm of two materials on each ray.

    Attributes:
        path_lengths: (view, material, height, width) mm at the materials' nominal densities; below 0 where noise says
            so. Differentiable in the images that they were made of.
        materials: their names.
        converged: (view, height, width), where both beams' line integrals are explained to the tolerance.
        iterations: how many were made.
    """

    path_lengths: Paths
    materials: tuple[str, str]
    converged: Bool[Tensor, "view height width"]
    iterations: int

    def of(self, material: str) -> ViewImages:
        """The mm of one material.

        Raises:
            ValueError: there is none of this name.
        """
        return self.path_lengths[:, self._number(material)]

    def virtual_monochromatic(self, energy_kev: float | int, *, without: str | Sequence[str] = ()) -> ViewImages:
        """Line integrals as a beam of a single energy would measure them.

        Args:
            energy_kev: in keV.
            without: materials to leave out: `without="cortical bone"` shows soft tissue alone.

        Raises:
            ValueError: an energy beyond the tables, or a material that there is none of.
        """
        left_out = {self._number(name) for name in ([without] if isinstance(without, str) else without)}
        mu = [attenuation_at(material, float(energy_kev)) for material in self.materials]
        kept = [0.0 if number in left_out else value for number, value in enumerate(mu)]
        return torch.einsum("vmhw,m->vhw", self.path_lengths, self.path_lengths.new_tensor(kept))

    def _number(self, material: str) -> int:
        name = material_named(material)
        if name not in self.materials:
            raise ValueError(f"Expected one of {', '.join(self.materials)}. Got {material!r}.")
        return self.materials.index(name)

    def __repr__(self) -> str:
        """Of what, and how well."""
        share = float(self.converged.double().mean())
        return f"Decomposition({' and '.join(self.materials)}, {share:.4%} converged, {self.iterations} iterations)"


def decompose(
    low: Tensor,
    high: Tensor,
    physics: Any,
    *,
    materials: Sequence[str] = ("water", "cortical bone"),
    tolerance: float | int = 1e-10,
    iterations: int = 50,
) -> Decomposition:
    """The mm of two materials that explain line integrals at two spectra, ray by ray.

    R. E. Alvarez and A. Macovski, Phys. Med. Biol. 21:733 (1976), solved by Newton's method, whose steps are halved
    where they lead away, in float64. The derivative is that of the implicit function theorem: exact, in both images.
    Nothing is kept from falling below 0: noise does, and a mean over it is right only so.

    Args:
        low: (view, height, width) line integrals -log(signal / open signal), float32 or float64; with a channel of 1,
            as `render` makes them, too.
        high: the same rays with the other spectrum.
        physics: what `low` and `high` were taken with: of each a `Physics`, or a pair of `Spectrum` and `Sensor`.
        materials: names of two.
        tolerance: of the line integrals, to count as converged; images in float32 are no better than 1e-7.
        iterations: at most so many.

    Raises:
        TypeError: arguments of another type.
        ValueError: images of different shapes, or not finite; the same material twice, or beams that do not tell the
            materials apart.
    """
    for images, name in ((low, "line integrals of low energy"), (high, "line integrals of high energy")):
        check_line_integrals(images, name)
    low, high = without_channel(low), without_channel(high)
    if low.ndim != 3 or low.shape != high.shape or low.dtype != high.dtype:
        raise ValueError(
            "Expected two stacks of line integrals of one shape (view, height, width) and dtype. "
            f"Got {tuple(low.shape)} of {low.dtype} and {tuple(high.shape)} of {high.dtype}."
        )
    if not isinstance(physics, Sequence) or len(physics) != 2:
        raise TypeError(f"Expected what each of the two was taken with, (low, high). Got {type(physics).__name__}.")
    if not 0 < tolerance < math.inf or iterations < 1:
        raise ValueError(f"Expected a positive tolerance and an iteration. Got {tolerance} and {iterations}.")
    names = tuple(material_named(material) for material in materials)
    if len(names) != 2 or names[0] == names[1]:
        raise ValueError(f"Expected two materials. Got {', '.join(map(str, materials))}.")
    beams = Beam.of(physics[0]), Beam.of(physics[1])
    for beam in beams:
        beam.check_constant()
    pair = _Pair.of(beams, names)
    pair.check()
    measured = torch.stack([low, high]).flatten(1)
    path_lengths, converged, made = _Decomposed.apply(measured, pair, tolerance, iterations)
    path_lengths = path_lengths.unflatten(1, low.shape).movedim(0, 1)
    return Decomposition(path_lengths, names, converged.view(low.shape), made)


@dataclass(frozen=True, eq=False)
class _Pair:
    """Two beams and two materials."""

    beams: tuple[Beam, Beam]
    mu: tuple[Tensor, Tensor]
    materials: tuple[str, str]

    @classmethod
    def of(cls, beams: tuple[Beam, Beam], materials: tuple[str, str]) -> "_Pair":
        return cls(beams, (beams[0].attenuation(materials), beams[1].attenuation(materials)), materials)

    def of_few_energies(self) -> "_Pair":
        """Neighbouring energies as one: nearly the same line integrals, for a fraction of the work."""
        merged = [_merged(beam, mu) for beam, mu in zip(self.beams, self.mu, strict=True)]
        return _Pair((merged[0][0], merged[1][0]), (merged[0][1], merged[1][1]), self.materials)

    def line_integrals(self, path_lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Of both beams (beam, ray), and their derivatives (beam, material, ray)."""
        both = [beam.line_integrals(path_lengths, mu) for beam, mu in zip(self.beams, self.mu, strict=True)]
        return torch.stack([values for values, _ in both]), torch.stack([slopes for _, slopes in both])

    def slopes(self, path_lengths: Tensor) -> Tensor:
        """The derivatives (beam, material, ray) alone, themselves differentiable."""
        both = zip(self.beams, self.mu, strict=True)
        return torch.stack([beam.mean_attenuation(path_lengths, mu) for beam, mu in both])

    def check(self) -> None:
        """See that the beams tell the materials apart, behind nothing and behind 200 mm of the first.

        Raises:
            ValueError: they do not.
        """
        behind = torch.tensor([[0.0, 200.0], [0.0, 0.0]], dtype=torch.float64)
        _, slopes = self.line_integrals(behind)
        unit = slopes / slopes.norm(dim=1, keepdim=True)
        angle = math.degrees(math.asin(min(1.0, float(_determinant(unit).abs().min()))))
        if angle < LEAST_ANGLE_DEG:
            means = " and ".join(f"{beam.mean_energy():.1f}" for beam in self.beams)
            raise ValueError(
                f"Expected two spectra that tell {' from '.join(self.materials)}. Got signals of mean energies {means} "
                f"keV, to which both lie {angle:.2g} degrees apart: take spectra that differ more, such as 80 and 140 "
                "kV with another filter, or other materials."
            )


def _merged(beam: Beam, mu: Tensor) -> tuple[Beam, Tensor]:
    parts = list(zip(*(each.split(MERGED, dim=-1) for each in (beam.energies_kev, beam.weights, mu)), strict=True))
    weights = torch.stack([weight.sum() for _, weight, _ in parts])
    energies = torch.stack([energy @ weight / weight.sum() for energy, weight, _ in parts])
    return Beam(energies, weights), torch.stack([of @ weight / weight.sum() for _, weight, of in parts], dim=1)


def _determinant(matrix: Float[Tensor, "2 2 ray"]) -> Float[Tensor, " ray"]:
    return matrix[0, 0] * matrix[1, 1] - matrix[0, 1] * matrix[1, 0]


def _solve(matrix: Float[Tensor, "2 2 ray"], right: Float[Tensor, "2 ray"]) -> Float[Tensor, "2 ray"]:
    """matrix^-1 right, ray by ray."""
    first = matrix[1, 1] * right[0] - matrix[0, 1] * right[1]
    second = matrix[0, 0] * right[1] - matrix[1, 0] * right[0]
    return torch.stack([first, second]) / _determinant(matrix)


def _newton(
    measured: Float[Tensor, "2 ray"],
    pair: _Pair,
    tolerance: float | int,
    iterations: int,
    start: Float[Tensor, "2 ray"] | None = None,
) -> tuple[Float[Tensor, "2 ray"], Bool[Tensor, " ray"], int]:
    """Path lengths, where they are the answer, and how many iterations were made.

    Only rays that are not there yet are looked at again.
    """
    path = torch.zeros_like(measured) if start is None else start
    found, slopes = pair.line_integrals(path)
    error = (measured - found).abs().amax(0)
    factor = torch.ones_like(error)
    step = _solve(slopes, measured - found)
    left = (error > tolerance).nonzero()[:, 0]
    made = 0
    while len(left) and made < iterations:
        made += 1
        tried = path[:, left] + factor[left] * step[:, left]
        new_found, new_slopes = pair.line_integrals(tried)
        missing = measured[:, left] - new_found
        new_error = missing.abs().amax(0)
        better = new_error < error[left]  # of NaN, not
        at = left[better]
        path[:, at], error[at] = tried[:, better], new_error[better]
        step[:, at] = _solve(new_slopes[:, :, better], missing[:, better])
        factor[at] = 1.0
        factor[left[~better]] /= 2
        left = left[(error[left] > tolerance) & (factor[left] > 1e-6)]
    return path, error <= tolerance, made


class _Decomposed(torch.autograd.Function):
    """Path lengths by Newton's method, and their derivatives by the implicit function theorem.

    The derivative is made of the path lengths that came out, by operations with a graph: it has derivatives itself.
    """

    @staticmethod
    def forward(measured, pair, tolerance, iterations):
        parts = []
        coarse = pair.of_few_energies()
        for some in measured.detach().double().cpu().split(AT_ONCE, dim=1):
            start, *_ = _newton(some, coarse, NEAR, FEW_ITERATIONS)
            start = torch.where(start.abs().amax(0) < FARTHEST_MM, start, 0.0)
            parts.append(_newton(some, pair, tolerance, iterations, start))
        path = torch.cat([part[0] for part in parts], dim=1).to(measured)
        converged = torch.cat([part[1] for part in parts]).to(measured.device)
        return path, converged, max(part[2] for part in parts)

    @staticmethod
    def setup_context(ctx, inputs, output):
        path, converged, _ = output
        ctx.pair = inputs[1]
        ctx.save_for_backward(path)
        ctx.save_for_forward(path)
        ctx.mark_non_differentiable(converged)

    @staticmethod
    def backward(ctx, cotangent, *_):
        (path,) = ctx.saved_tensors
        slopes = ctx.pair.slopes(path.double().cpu())
        return _solve(slopes.transpose(0, 1), cotangent.double().cpu()).to(cotangent), None, None, None

    @staticmethod
    def jvp(ctx, moved, *_):
        (path,) = ctx.saved_tensors
        slopes = ctx.pair.slopes(path.double().cpu())
        return _solve(slopes, moved.double().cpu()).to(moved), None, None
