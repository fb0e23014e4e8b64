"""How a check says what was expected, and what came."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


def expect(holds: Any, expected: str, got: Any) -> None:
    """Raise AssertionError("Expected ... Got ...") unless something holds."""
    if not holds:
        raise AssertionError(f"Expected {expected}. Got {got}.")


def expect_shape(value: Any, shape: tuple[int, ...], what: str) -> None:
    """That something is a tensor of this shape."""
    got = f"{what} of shape {tuple(value.shape)}" if isinstance(value, Tensor) else f"a {type(value).__name__}"
    expect(isinstance(value, Tensor) and tuple(value.shape) == shape, f"{what} of shape {shape}", got)


def expect_close(ours: Tensor, theirs: Tensor, what: str, tolerance: float, scale: float = 1.0) -> None:
    """That two tensors are the same but for `tolerance`, relative to `scale` or to the largest entry expected."""
    expect_shape(ours, tuple(theirs.shape), what)
    if ours.numel() == 0:
        return
    ours, theirs = ours.detach().to("cpu", torch.float64), theirs.detach().to("cpu", torch.float64)
    expect(ours.isfinite().all(), f"{what}, all of them finite", f"{int((~ours.isfinite()).sum())} that are not")
    allowed = tolerance * max(scale, float(theirs.abs().max()))
    difference = float((ours - theirs).abs().max())
    expect(difference <= allowed, f"{what} but for {allowed:.2g}", f"a difference of {difference:.3g}")


def expect_refusal(call: Callable[[], Any], what: str) -> None:
    """That a call raises a ValueError or TypeError with a message, before anything else goes wrong."""
    try:
        call()
    except (ValueError, TypeError) as error:
        expect(str(error), f"a message with the refusal of {what}", "none")
    except Exception as error:
        raise AssertionError(f"Expected a ValueError or TypeError for {what}. Got {error!r}.") from error
    else:
        raise AssertionError(f"Expected a ValueError or TypeError for {what}. Got no error at all.")
