"""What was asked for is compared with the memory that there is, before anything is read or made."""

from raygrad._errors import InputError
from raygrad._memory import available_memory, size_in_words

_OF_PIXEL = 40
"""Bytes of a pixel that is rendered, at its peak: its ray's end, its value in float32 and float64, what is written."""
_OF_VIEW = 500  # bytes: poses and calibrations, while they are made
_OF_POSE = 700  # bytes of a pose of a landscape, likewise


def check_images(height: int, width: int | None = None, images: int = 1, lower: str = "--height and --width") -> None:
    """See that images of so many pixels, which are rendered one by one and kept, fit into memory.

    Raises:
        InputError: they do not; says how much they take, and what to lower.
    """
    width = height if width is None else width
    needed = height * width * (_OF_PIXEL + 4 * (images - 1)) + images * _OF_VIEW
    _check(needed, f"{images} images of {width} x {height} pixels", lower)


def check_poses(count: int, lower: str) -> None:
    """See that so many poses of a landscape fit.

    Raises:
        InputError: as for images.
    """
    _check(count * _OF_POSE, f"{count} poses", lower)


def _check(needed: int, what: str, lower: str) -> None:
    available = available_memory()
    if available is not None and needed > available:
        raise InputError(
            f"{what} would take about {size_in_words(needed)} of memory, and {size_in_words(available)} are free: "
            f"lower {lower}."
        )
