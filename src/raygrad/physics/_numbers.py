"""Numbers that a user gives, which may carry gradients, and images: what is checked of them, and how."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

Number = float | int | Tensor
"""A number, or a tensor of one, to which gradients flow."""
Pixel = tuple[Number, Number]
"""Height and width of a pixel on the detector in mm: (dely, delx)."""
Signal = Float[Tensor, "view channel height width"]
"""What a detector measures: images of one view after another; of one channel, or of one for each kind of signal."""


def check_number(
    name: str,
    value: Number,
    *,
    least: float | int | None = None,
    above: float | int | None = None,
    most: float | int | None = None,
    below: float | int | None = None,
    unit: str = "",
) -> None:
    """See that a parameter is one finite number within its bounds.

    Args:
        name: of the parameter, as a user knows it.
        value: a number, or a tensor of one.
        least, above: what it must reach, or exceed.
        most, below: what it must not exceed, or reach.
        unit: for the message.

    Raises:
        TypeError: it is no number.
        ValueError: it is several numbers, is not finite, or is beyond its bounds.
    """
    if isinstance(value, Tensor):
        if value.numel() != 1 or value.is_complex() or value.dtype == torch.bool:
            raise ValueError(f"Expected {name} as one number. Got {tuple(value.shape)}, {value.dtype}.")
        number = float(value.detach())
    elif isinstance(value, bool) or not isinstance(value, (float, int)):
        raise TypeError(f"Expected {name} as a number or a tensor of one. Got {type(value).__name__}.")
    else:
        number = float(value)
    wrong = (
        not math.isfinite(number)
        or (least is not None and number < least)
        or (above is not None and number <= above)
        or (most is not None and number > most)
        or (below is not None and number >= below)
    )
    if wrong:
        bounds = ((f"of at least {least}", least), (f"above {above}", above), (f"up to {most}", most))
        said = " and ".join(words for words, bound in (*bounds, (f"below {below}", below)) if bound is not None)
        unit = f" in {unit}" if unit else ""
        raise ValueError(f"Expected {name}{unit}, a finite number {said}".rstrip() + f". Got {number:g}.")


def check_choice(name: str, value: object, choices: tuple[str, ...]) -> None:
    """See that a parameter is one of a few words.

    Raises:
        ValueError: it is not; the message lists them.
    """
    if value not in choices:
        raise ValueError(f"Expected {name} as one of {', '.join(map(repr, choices))}. Got {value!r}.")


def check_images(images: Tensor) -> None:
    """See that something is a stack of images in float32 or float64.

    Raises:
        TypeError: another type.
        ValueError: another shape.
    """
    if not isinstance(images, Tensor) or images.dtype not in (torch.float32, torch.float64):
        got = f"a tensor of {images.dtype}" if isinstance(images, Tensor) else type(images).__name__
        raise TypeError(f"Expected images in float32 or float64. Got {got}.")
    if images.ndim != 4 or 0 in images.shape:
        raise ValueError(f"Expected images of shape (view, channel, height, width). Got {tuple(images.shape)}.")


def pixel_of(pixel_mm: Pixel, like: Tensor) -> tuple[Tensor, Tensor]:
    """Height and width of a pixel as tensors.

    Raises:
        ValueError: not two positive numbers.
    """
    if len(pixel_mm) != 2:
        raise ValueError(f"Expected pixel_mm as (dely, delx). Got {len(pixel_mm)} numbers.")
    for name, side in zip(("dely", "delx"), pixel_mm, strict=True):
        check_number(f"{name} of pixel_mm", side, above=0, unit="mm")
    return tensor_of(pixel_mm[0], like), tensor_of(pixel_mm[1], like)


def tensor_of(value: Number, like: Tensor) -> Tensor:
    """A number as a tensor () in double precision, where `like` lies; gradients flow."""
    if isinstance(value, Tensor):
        return value.reshape(()).to(device=like.device, dtype=torch.float64)
    return torch.tensor(float(value), dtype=torch.float64, device=like.device)


def differentiated(*tensors: Tensor) -> bool:
    """Whether anyone asks for derivatives by one of these, backwards or forwards."""
    backwards = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors)
    return backwards or any(_has_tangent(tensor) for tensor in tensors)


def _has_tangent(tensor: Tensor) -> bool:
    from torch.autograd import forward_ad

    try:
        return forward_ad.unpack_dual(tensor).tangent is not None
    except RuntimeError:  # nobody differentiates forwards
        return False
