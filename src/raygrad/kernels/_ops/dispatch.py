"""What every operator needs: its backends, and one way in which it is differentiated.

An operator has a schema, a fake for graphs, and rules: the static methods of a `torch.autograd.Function`. From these
`differentiable` makes a call that takes the cheapest way there is. Reading the schema of an operator, as
`register_autograd` of `torch.library` does, or the signature of a function, as a Function with a `setup_context` does,
takes longer than a GPU to make an image. So the first is left to graphs and the second to transforms of `torch.func`,
which need them; and where nobody differentiates nothing of autograd runs.
"""

import importlib
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch._C._functorch import TransformType
from torch._functorch.pyfunctorch import temporarily_clear_interpreter_stack
from torch.autograd import forward_ad

from raygrad.kernels._backends import BACKENDS

DEVICES = tuple(device for backend in BACKENDS.values() for device in backend.devices)
"""What the operators are implemented for."""
FIRST_ONLY = (
    "The compiled kernels give first derivatives only. For second derivatives (double backward, forward over reverse) "
    "render with backend='reference', which is differentiable any number of times."
)
OF_JACOBIAN = (
    "The compiled kernels' Jacobian is not differentiable: use project_with_jacobian(..., backend='reference')."
)
OF_ADJOINT = (
    "The compiled adjoint, which makes the gradients of volumes, is not differentiable by rays or cameras: use "
    "backend='reference', or detach them."
)
OF_MAXIMUM = (
    "The compiled kernels know the derivative of maxima by the volume backwards only, not forwards: use "
    "backend='reference'."
)
IN_GRAPHS = (
    "Within torch.compile torch.func cannot differentiate or map raygrad's kernels: compile what is around them."
)


def implement(operator: str) -> None:
    """Hand raygrad::`operator` to the function of that name in the module of its last argument, the backend."""

    def call(*arguments):
        *inputs, backend = arguments
        return getattr(_load(backend), operator)(*inputs)

    torch.library.impl(f"raygrad::{operator}", DEVICES, call)


@cache
def _load(backend: str) -> Any:
    """The module of a backend, imported when it is first needed: Triton takes its time."""
    module = BACKENDS[backend].module
    assert module is not None, "the reference has no operators"
    return importlib.import_module(module)


def differentiable(operator: str, rules: Any, count: int) -> Callable[..., Any]:
    """A call of raygrad::`operator` with derivatives by its first `count` arguments.

    `rules` has the static methods setup_context, backward, jvp and vmap, which mean what they do to
    `torch.autograd.Function`.
    """
    called = getattr(torch.ops.raygrad, operator).default

    def forward(*arguments):
        with torch._C._AutoDispatchBelowAutograd():
            return called(*arguments)

    def forward_in_context(ctx, *arguments):
        output = forward(*arguments)
        rules.setup_context(ctx, arguments, output)
        return output

    methods = {name: staticmethod(getattr(rules, name)) for name in ("setup_context", "backward", "jvp", "vmap")}
    transformed: Any = type(operator, (torch.autograd.Function,), {"forward": staticmethod(forward), **methods})
    del methods["setup_context"], methods["vmap"]
    plain: Any = type(operator, (torch.autograd.Function,), {"forward": staticmethod(forward_in_context), **methods})
    torch.library.register_autograd(f"raygrad::{operator}", rules.backward, setup_context=rules.setup_context)

    def call(*arguments):
        if torch.compiler.is_compiling():
            if transforms_are_active():
                raise RuntimeError(IN_GRAPHS)
            return called(*arguments)
        if transforms_are_active():
            return transformed.apply(*arguments)
        return (plain.apply if is_differentiated(*arguments[:count]) else forward)(*arguments)

    return call


def is_differentiated(*tensors: Tensor) -> bool:
    """Whether derivatives by one of the tensors are asked for, backwards or forwards."""
    if torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors):
        return True
    return not torch.compiler.is_compiling() and has_tangent(*tensors)


def has_tangent(*tensors: Tensor) -> bool:
    """Whether one of the tensors carries a forward-mode derivative."""
    if forward_ad._current_level < 0:
        return False
    return any(forward_ad.unpack_dual(tensor).tangent is not None for tensor in tensors)


@torch.compiler.assume_constant_result
def transforms_are_active() -> bool:
    """Whether `torch.func` is at work: grad, vjp, jvp or vmap."""
    return torch._C._are_functorch_transforms_active()


def is_mapped() -> bool:
    """Whether `torch.func.vmap` is at work, under which no number can be read."""
    if not transforms_are_active():
        return False
    stack = torch._C._functorch.get_interpreter_stack()
    return any(interpreter.key() == TransformType.Vmap for interpreter in stack)


def outside_of_transforms() -> AbstractContextManager:
    """A context in which no transform of `torch.func` sees what is done, as with memory and values that are there."""
    return temporarily_clear_interpreter_stack() if transforms_are_active() else nullcontext()


def unwrapped(tensor: Tensor) -> Tensor | None:
    """The tensor of which transforms of `torch.func` made this one; None where vmap did, whose tensors hold many."""
    wrapped: Tensor | None = tensor
    while wrapped is not None and torch._C._functorch.is_functorch_wrapped_tensor(wrapped):
        is_batch = torch._C._functorch.is_batchedtensor(wrapped)
        wrapped = None if is_batch else torch._C._functorch.get_unwrapped(wrapped)
    return wrapped


def primals(*tensors: Tensor) -> list[Tensor]:
    """Tensors without the tangents that they carry."""
    return [forward_ad.unpack_dual(tensor).primal for tensor in tensors]


class _Undifferentiable(torch.autograd.Function):
    """Identity that fails, rather than lies, when it is differentiated by any of the tensors that it depends on."""

    @staticmethod
    def forward(message, value, *dependencies):
        return value.view_as(value)

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.message = inputs[0]

    @staticmethod
    def backward(ctx, *cotangents):
        raise RuntimeError(ctx.message)

    @staticmethod
    def jvp(ctx, *tangents):
        raise RuntimeError(ctx.message)

    @staticmethod
    def vmap(info, in_dims, message, value, *dependencies):
        return _Undifferentiable.apply(message, value, *dependencies), in_dims[1]


def refuse_derivatives(value: Tensor, message: str, *dependencies: Tensor) -> Tensor:
    """The value, guarded against being differentiated by tensors that it depends on."""
    if torch.compiler.is_compiling() or not (transforms_are_active() or is_differentiated(*dependencies)):
        return value
    return _Undifferentiable.apply(message, value, *dependencies)


def refuse_jacobian_cotangent(cotangent: Tensor | None) -> None:
    """Say that the Jacobian of a march is not differentiable, if someone differentiates it."""
    if cotangent is not None:
        raise RuntimeError(OF_JACOBIAN)


def refuse_jacobian_tangent(jacobian: Tensor, *dependencies: Tensor) -> Tensor:
    """The Jacobian of a march, guarded against forward mode and `torch.func`; against backward its rule is."""
    if torch.compiler.is_compiling() or not (transforms_are_active() or has_tangent(*dependencies)):
        return jacobian
    return _Undifferentiable.apply(OF_JACOBIAN, jacobian, *dependencies)


def one_by_one(call: Callable[..., Any], info: Any, in_dims: tuple, *arguments: Any) -> tuple[Any, Any]:
    """The rule for vmap that is always right: one call after the other."""
    outputs = [
        call(*(value if dim is None else value.select(dim, i) for value, dim in zip(arguments, in_dims, strict=True)))
        for i in range(info.batch_size)
    ]
    if isinstance(outputs[0], Tensor):
        return torch.stack(outputs), 0
    stacked = tuple(torch.stack(column) for column in zip(*outputs, strict=True))
    return stacked, (0,) * len(stacked)


def in_one_batch(call: Callable[..., Any], info: Any, in_dims: tuple, folded: int, *arguments: Any) -> tuple[Any, Any]:
    """The rule for vmap of marches: where one volume is for all, `folded` arguments after it make one larger batch."""
    volume, rest = arguments[0], arguments[1 + folded :]
    if len(volume) > 1 or any(dim is not None for dim in (in_dims[0], *in_dims[1 + folded :])):
        return one_by_one(call, info, in_dims, *arguments)
    size = info.batch_size
    many = [
        (value.expand(size, *value.shape) if dim is None else value.movedim(dim, 0)).flatten(0, 1)
        for value, dim in zip(arguments[1 : 1 + folded], in_dims[1 : 1 + folded], strict=True)
    ]
    outputs = call(volume, *many, *rest)
    if isinstance(outputs, Tensor):
        return outputs.unflatten(0, (size, len(outputs) // size)), 0
    unfolded = tuple(output.unflatten(0, (size, len(output) // size)) for output in outputs)
    return unfolded, (0,) * len(unfolded)
