"""One image out of a file that holds several: a frame by its number, the mean of all, or the least dense."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from raygrad._errors import InputError
from raygrad.formats._images import Pixels
from raygrad.formats._line_integrals import bone_has_low_levels, choose_values

Frame = int | str

FRAMES = ("mean", "least-dense")
"""What can be made of all frames of a file: their mean, or the one that the X-rays lost least in."""


def flat(found: Pixels, path: Path) -> Pixels:
    """The same images along one axis.

    Raises:
        InputError: they are fewer or more than two axes of pixels and one of frames.
    """
    shape = tuple(found.images.shape)
    if len(shape) < 2 or sum(length > 1 for length in shape[:-2]) > 1:
        size = " x ".join(map(str, reversed(shape)))
        raise InputError(f"Expected images along one axis. Got '{path}', which has {size} pixels.")
    mask = None if found.mask is None else found.mask.expand(shape).reshape(-1, *shape[-2:])
    return replace(found, images=found.images.reshape(-1, *shape[-2:]), mask=mask)


def frames_of(frame: Frame | None, count: int, path: Path) -> list[int]:
    """Those that an image is made of, of so many: the one with a number, counted from 1, or all for one of `FRAMES`.

    Raises:
        InputError: there are several and none was asked for, there is no such frame, or something else was given.
    """
    if frame is None:
        if count != 1:
            raise InputError(
                f"Expected one image. Got '{path}', which has {count} frames. Say which: a number from 1 to {count}, "
                f"several or all of them as views, {' or '.join(FRAMES)} (frame, --frame)."
            )
        frame = 1
    return list(range(1, count + 1)) if frame in FRAMES else [_checked(frame, count, path)]


def merged(found: Pixels, frame: Frame | None) -> Pixels:
    """A single image (row, column) of those that `frames_of` names."""
    if frame == "mean":
        mask = None if found.mask is None else found.mask.amin(dim=0)
        return replace(found, images=found.images.mean(dim=0), mask=mask)
    return at(found, _least_dense(found) if frame == "least-dense" else 0)


def at(found: Pixels, index: int) -> Pixels:
    """One of several images (row, column)."""
    single = replace(found, images=found.images[index], mask=None if found.mask is None else found.mask[index])
    if found.of_frames is None:
        return single
    spacing, sdd, source_to_patient = found.of_frames[index]
    return replace(single, spacing=spacing, sdd=sdd, source_to_patient=source_to_patient, of_frames=None)


def frame_numbers(frames: Sequence[int] | str, count: int, path: Path) -> list[int]:
    """The numbers of "all" frames, or those given, counted from 1."""
    if isinstance(frames, str):
        if frames != "all":
            raise InputError(f"Expected numbers of frames or 'all'. Got {frames!r}.")
        return list(range(1, count + 1))
    numbers = [_checked(number, count, path) for number in frames]
    if not numbers:
        raise InputError(f"Expected numbers of frames of '{path}'. Got none.")
    return numbers


def _checked(frame: Frame, count: int, path: Path) -> int:
    if isinstance(frame, bool) or not isinstance(frame, int):
        raise InputError(f"Expected as frame a number, counted from 1, or {' or '.join(FRAMES)}. Got {frame!r}.")
    if not 1 <= frame <= count:
        raise InputError(f"Expected a frame from 1 to {count} of '{path}'. Got {frame}.")
    return frame


def _least_dense(found: Pixels) -> int:
    weights = torch.ones_like(found.images) if found.mask is None else found.mask
    means = (found.images * weights).sum(dim=(1, 2), dtype=torch.float64) / weights.sum(dim=(1, 2), dtype=torch.float64)
    kind = choose_values(found.values)
    displayed = kind in ("display", "inverted-display")
    bright_is_thin = bone_has_low_levels(kind, found.bone_is_low) if displayed else kind == "intensity"
    return int(means.argmax() if bright_is_thin else means.argmin())
