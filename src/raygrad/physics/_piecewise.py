"""Piecewise linear functions of a volume's values: all of them in one pass, with exact derivatives."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from raygrad._memory import memory_order, slabs


@dataclass(frozen=True, eq=False)
class Curves:
    """Several piecewise linear functions, constant up to the first node. At a node the derivative is that on its right.

    Attributes:
        nodes: where slopes change, rising.
        values: the functions at the nodes; float64.
        slopes: from each node to the next, and from the last one on.
    """

    nodes: tuple[float, ...]
    values: Float[Tensor, "node function"]
    slopes: Float[Tensor, "node function"]

    @classmethod
    def constant(cls, values: Float[Tensor, " function"]) -> "Curves":
        """Functions without slopes."""
        return cls((0.0,), values[None], torch.zeros_like(values)[None])

    @classmethod
    def through(
        cls, nodes: Sequence[float], values: Float[Tensor, "node function"], beyond: Float[Tensor, " function"]
    ) -> "Curves":
        """Functions with these values at the nodes, and these slopes beyond the last."""
        steps = torch.tensor(nodes, dtype=torch.float64).diff()
        return cls(tuple(nodes), values, torch.cat([values.diff(dim=0) / steps[:, None], beyond[None]]))

    def combined(self, weights: Float[Tensor, "function other"]) -> "Curves":
        """Sums of the functions."""
        return Curves(self.nodes, self.values @ weights, self.slopes @ weights)

    def __len__(self) -> int:
        return self.values.shape[1]

    def write(self, values: Tensor, outs: Sequence[Tensor]) -> None:
        """The functions of values, each to its own tensor of the dtype that is computed in."""
        values = values.to(outs[0].dtype)
        start = self.values[0].tolist()
        empty = [offset == 0 for offset in start]
        for out, offset in zip(outs, start, strict=True):
            out.fill_(offset)
        for node, end, slopes in zip(self.nodes, (*self.nodes[1:], None), self.slopes.tolist(), strict=True):
            if not any(slopes):
                continue
            passed = values.clamp(node, end).sub_(node)
            for number, (slope, out) in enumerate(zip(slopes, outs, strict=True)):
                if slope != 0 and empty[number]:
                    torch.mul(passed, slope, out=out)
                elif slope != 0:
                    out.add_(passed * slope)
                empty[number] &= slope == 0
        for number, out in enumerate(outs):
            for begin, end in self._vanishes(number):
                out.masked_fill_((values >= begin) & (values <= end), 0.0)  # where slopes add up to rounding errors

    def _vanishes(self, number: int) -> list[tuple[float, float]]:
        """Where a function is 0 again."""
        value, slope = self.values[:, number].tolist(), self.slopes[:, number].tolist()
        first = next((place for place, one in enumerate(slope) if one != 0), len(slope))
        ends = (*self.nodes[1:], math.inf)
        flat = [place for place in range(first, len(slope)) if value[place] == 0 and slope[place] == 0]
        return [(self.nodes[place], ends[place]) for place in flat]

    def slopes_at(self, values: Shaped[Tensor, "*point"], dtype: torch.dtype) -> Float[Tensor, "function *point"]:
        """Their derivatives."""
        nodes = torch.tensor(self.nodes, dtype=torch.float64, device=values.device)
        place = torch.bucketize(values.detach().to(torch.float64), nodes, right=True)
        table = torch.nn.functional.pad(self.slopes, (0, 0, 1, 0)).to(values.device, dtype)
        return table.mT[:, place]


def apply_curves(
    values: Shaped[Tensor, "x y z"],
    curves: Sequence[Curves],
    region: Shaped[Tensor, "x y z"] | None = None,
    dtype: torch.dtype = torch.float32,
) -> Float[Tensor, "function x y z"]:
    """The functions of all values, differentiable by them.

    Args:
        values: of any type and memory order, which each result has, too.
        curves: as many functions each, on each region's voxels.
        region: which of the curves are those of a voxel; the first everywhere if None.
        dtype: of the results.
    """
    ordered, back = memory_order(values)
    if region is not None:
        region = region.permute([back.index(axis) for axis in range(3)])
    result: Tensor = _Applied.apply(ordered, tuple(curves), region, dtype)
    return result.permute(0, *(axis + 1 for axis in back))


class _Applied(torch.autograd.Function):
    """`apply_curves` of values in the order of memory."""

    @staticmethod
    def forward(values: Tensor, curves: tuple[Curves, ...], region: Tensor | None, dtype: torch.dtype) -> Tensor:
        result = torch.empty((len(curves[0]), *values.shape), dtype=dtype, device=values.device)
        for slab, *outs in zip(slabs(values), *(slabs(one) for one in result), strict=True):
            curves[0].write(slab, outs)
        if region is not None:
            for number, own in enumerate(curves[1:], start=1):
                place = (region == number).reshape(-1).nonzero()[:, 0]
                found = torch.empty((len(own), len(place)), dtype=dtype, device=values.device)
                own.write(values.reshape(-1)[place], list(found))
                result.view(len(own), -1)[:, place] = found
        return result

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        values, ctx.curves, ctx.region, ctx.dtype = inputs
        ctx.save_for_backward(values)
        ctx.save_for_forward(values)

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> tuple[Tensor | None, ...]:
        (values,) = ctx.saved_tensors
        return (_slopes(values, ctx) * cotangent).sum(0).to(values.dtype), None, None, None

    @staticmethod
    def jvp(ctx: Any, moved: Tensor, *others: Any) -> Tensor:
        (values,) = ctx.saved_tensors
        return _slopes(values, ctx) * moved.to(ctx.dtype)


def _slopes(values: Tensor, ctx: Any) -> Tensor:
    slopes = ctx.curves[0].slopes_at(values, ctx.dtype)
    for number, own in enumerate(ctx.curves[1:], start=1):
        if ctx.region is not None:
            slopes = torch.where(ctx.region == number, own.slopes_at(values, ctx.dtype), slopes)
    return slopes
