"""The list of parts, and what all of them use."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch
from torch import Tensor

from same_bits_parts.names import Names

Results = Iterator[tuple[str, Any]]
PARTS: dict[str, Callable[[Names], Results]] = {}
RENDERERS = ("siddon", "joseph", "trilinear")
DTYPES = {"float64": torch.float64, "float32": torch.float32}
DOUBLE = torch.float64


def part(name: str) -> Callable[[Callable[[Names], Results]], Callable[[Names], Results]]:
    """Put a function among the parts."""

    def put(function: Callable[[Names], Results]) -> Callable[[Names], Results]:
        PARTS[name] = function
        return function

    return put


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def random_like(tensor: Tensor, seed: int = 7) -> Tensor:
    """Numbers from -0.5 to 0.5, the same for every dtype but for rounding."""
    return (torch.rand(tensor.shape, generator=seeded(seed), dtype=DOUBLE) - 0.5).to(tensor.dtype)


def with_gradients(function: Callable[..., Tensor], **leaves: Tensor) -> dict[str, Tensor]:
    """What a function returns, and the gradients of a random sum of it by each argument."""
    copies = {name: leaf.detach().clone().requires_grad_() for name, leaf in leaves.items()}
    value = function(**copies)
    found = torch.autograd.grad(value, list(copies.values()), random_like(value), materialize_grads=True)
    return {"value": value, **{f"by {name}": gradient for name, gradient in zip(copies, found, strict=True)}}


@contextmanager
def one_thread() -> Iterator[None]:
    """For inputs: torch's exponentials, and its products of matrices, have other last digits with other threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def euler(rg: Names, degrees: Any, xyz: Any, dtype: torch.dtype = DOUBLE) -> Any:
    """Poses by Euler angles ZXY in degrees and xyz in mm, of one or more rows."""
    rotation, translation = (torch.tensor(values, dtype=dtype).reshape(-1, 3) for values in (degrees, xyz))
    return rg.convert(torch.deg2rad(rotation), translation, parameterization="euler_angles", convention="ZXY")


@cache
def thorax(rg: Names) -> Any:
    """The example CT at a low resolution."""
    with one_thread():
        return rg.load_example_ct(shape=(64, 64, 33))
