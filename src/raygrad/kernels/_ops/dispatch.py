"""What every operator needs: its backends, and a guard for derivatives that it does not have."""

import importlib
from functools import cache
from typing import Any

import torch
from torch import Tensor

from raygrad.kernels._backends import BACKENDS

DEVICES = tuple(device for backend in BACKENDS.values() for device in backend.devices)
"""What the operators are implemented for."""


def implement(operator: str) -> None:
    """Hand raygrad::`operator` to the function of that name in the module of its last argument, the backend."""

    def call(*arguments):
        *inputs, backend = arguments
        return getattr(_load(backend), operator)(*inputs)

    torch.library.impl(f"raygrad::{operator}", DEVICES, call)


@cache
def _load(backend: str) -> Any:
    """The module of a backend, imported when it is first needed: Triton takes its time."""
    return importlib.import_module(BACKENDS[backend].module)


class _FirstDerivativesOnly(torch.autograd.Function):
    """Identity on first derivatives that fails, rather than lies, when they are differentiated again.

    Takes the derivative and every tensor that it depends on, so that autograd comes here for any second derivative.
    """

    @staticmethod
    def forward(ctx, derivative, *dependencies):
        return derivative.view_as(derivative)

    @staticmethod
    def backward(ctx, *cotangents):
        raise RuntimeError(
            "The compiled kernels give first derivatives only. For second derivatives (double backward) render with "
            "backend='reference', which is differentiable any number of times."
        )


def first_only(derivative: Tensor | None, *dependencies: Tensor) -> Tensor | None:
    """The derivative, guarded against being differentiated again."""
    if derivative is None or not torch.is_grad_enabled():
        return derivative
    return _FirstDerivativesOnly.apply(derivative, *dependencies)


def refuse_jacobian_cotangent(cotangent: Tensor | None) -> None:
    """Say that the Jacobian of a march is not differentiable, if someone differentiates it."""
    if cotangent is not None:
        raise RuntimeError(
            "The compiled kernels' Jacobian is not differentiable: use project_with_jacobian(..., backend='reference')."
        )
