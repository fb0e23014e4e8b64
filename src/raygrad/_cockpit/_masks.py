"""What of an X-ray counts, as a person painted it."""

import base64
import binascii
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from raygrad._cockpit._frame import Frame
from raygrad._errors import InputError

if TYPE_CHECKING:
    from raygrad._cockpit._session import Session


def set_mask(session: "Session", view: int, bits: str | None) -> None:
    """Let these pixels of a view count, and no others, for likeness and registration.

    Args:
        session: of the X-ray.
        view: its number.
        bits: a bit a pixel of the view's own grid, row by row, 1 for what counts, in base64; None for all of them.

    Raises:
        InputError: as many bits as there are not pixels, or nothing that counts.
    """
    xray = session.xrays[view]
    height, width = xray.image.shape[-2:]
    mask = None if bits is None else _unpacked(bits, height, width)
    with session.lock:
        session.exchange(view, replace(xray, mask=mask))
    show_mask(session, view)


def show_mask(session: "Session", view: int) -> None:
    """Send what counts to the pages: 255 where a pixel does."""
    xray = session.xrays[view]
    whole = torch.ones(xray.image.shape[-2:]) if xray.mask is None else xray.mask
    session.show(Frame(f"mask {view}", (whole.clamp(0, 1) * 255).to(torch.uint8).numpy(), {"view": view}))


def _unpacked(bits: str, height: int, width: int) -> torch.Tensor:
    try:
        packed = np.frombuffer(base64.b64decode(bits, validate=True), np.uint8)
    except (binascii.Error, ValueError):
        packed = np.zeros(0, np.uint8)
    if len(packed) != (height * width + 7) // 8:
        raise InputError(f"Expected a bit for each of {width} x {height} pixels. Got {len(packed)} bytes.")
    mask = torch.from_numpy(np.unpackbits(packed)[: height * width].reshape(height, width).astype(np.float32))
    if not mask.any():
        raise InputError("Expected some pixels that count. Got a mask that hides all of them.")
    return mask
