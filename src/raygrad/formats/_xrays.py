"""X-ray images from files: their pixels, and what their headers say of the X-ray system."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from jaxtyping import Float
from torch import Tensor

from raygrad._errors import InputError
from raygrad.formats._frames import Frame, at, flat, frame_numbers, frames_of, merged
from raygrad.formats._images import IMAGES, Pixels
from raygrad.formats._line_integrals import choose_values, of_one_image


@dataclass(frozen=True)
class XRay:
    """One X-ray image as its file has it; None for what the file does not say.

    Attributes:
        path: the file.
        pixels: what the file holds, float32 (row, column), with DICOM's rescaling applied.
        spacing: width and height of a pixel on the detector in mm.
        sdd: source-to-detector distance in mm.
        source_to_patient: distance in mm.
        values: one of `VALUES`: what the numbers are.
        bone_is_low: of grey levels that show bone white, that these are the low ones (DICOM's MONOCHROME1).
        full_scale: the greatest number that the file could hold, None for floating-point numbers.
        mask: weights of the pixels, 0 where the header hides one (a shutter, a collimator); None if it hides none.
        frame: which one of the file's images this is, counted from 1, or how it was made of them; None if it has one.
    """

    path: Path
    pixels: Float[Tensor, "height width"]
    spacing: tuple[float, float] | None = None
    sdd: float | None = None
    source_to_patient: float | None = None
    values: str | None = None
    bone_is_low: bool = False
    full_scale: float | None = None
    mask: Float[Tensor, "height width"] | None = None
    frame: Frame | None = None

    @property
    def name(self) -> str:
        """The file's name, with the frame if it has several."""
        if self.frame is None:
            return self.path.name
        return f"{self.path.name}, " + (f"{self.frame} frame" if isinstance(self.frame, str) else f"frame {self.frame}")


def read_xray(path: str | os.PathLike[str], frame: Frame | None = None, values: str | None = None) -> XRay:
    """Read a file that holds grey images: PNG, TIFF, DICOM, NIfTI, NRRD, MetaImage, NPY, or another in `IMAGES`.

    Args:
        path: the file.
        frame: which image of several: its number, counted from 1 as DICOM counts frames, "mean" of all, or
            "least-dense", the one that the X-rays lost least in: of an angiogram, before the contrast medium came.
        values: what the numbers are, see `line_integrals`; by default what the file says.

    Raises:
        FileNotFoundError: there is no such file.
        InputError: it is damaged, not a grey image, has several and no `frame` was given, no such frame, or numbers
            that are not finite.
        ImportError: SimpleITK, tifffile or pydicom is not installed.
    """
    path = Path(path).expanduser()
    found, count = _read(path, values, lambda count: frames_of(frame, count, path))
    return _as_xray(path, merged(found, frame), frame if count > 1 else None)


def read_xrays(
    path: str | os.PathLike[str], frames: Sequence[int] | str = "all", values: str | None = None
) -> list[XRay]:
    """Read several frames of a file, each an X-ray of its own.

    Args:
        path: as for `read_xray`.
        frames: "all", or their numbers, counted from 1: `range(3, 8)`.
        values: as for `read_xray`.

    Raises:
        FileNotFoundError, InputError, ImportError: as for `read_xray`.
    """
    path = Path(path).expanduser()
    found, count = _read(path, values, lambda count: frame_numbers(frames, count, path))
    numbers = frame_numbers(frames, count, path)
    return [_as_xray(path, at(found, i), number if count > 1 else None) for i, number in enumerate(numbers)]


def _read(path: Path, values: str | None, choose: Callable[[int], list[int]]) -> tuple[Pixels, int]:
    """The frames whose numbers, from 1, are chosen of so many; and how many there are."""
    kind = IMAGES.of(path)
    if kind.read_some is not None:
        found, count = kind.read_some(path, lambda count: [number - 1 for number in choose(count)])
    else:
        found = flat(kind.read(path), path)
        count = len(found.images)
        chosen = [number - 1 for number in choose(count)]
        if chosen != list(range(count)):
            mask = None if found.mask is None else found.mask[chosen]
            found = replace(found, images=found.images[chosen], mask=mask)
    return (found if values is None else replace(found, values=choose_values(values))), count


def _as_xray(path: Path, found: Pixels, frame: Frame | None) -> XRay:
    if not found.images.isfinite().all():
        raise InputError(
            f"Expected finite pixels. Got '{path}' with NaN or infinity: give them a number, and hide them by a mask."
        )
    return XRay(
        path,
        found.images,
        found.spacing,
        found.sdd,
        found.source_to_patient,
        found.values,
        found.bone_is_low,
        found.full_scale,
        found.mask,
        frame,
    )


def read_mask(path: str | os.PathLike[str], shape: tuple[int, int]) -> Float[Tensor, "height width"]:
    """Read the weights of an X-ray's pixels: 0 is left out, the greatest value counts in full.

    Args:
        path: an image file, as for `read_xray`.
        shape: rows and columns of the X-ray.

    Raises:
        FileNotFoundError, ImportError: as for `read_xray`.
        InputError: as for `read_xray`, another size than the X-ray's, a negative weight, or only zeros.
    """
    weights = read_xray(path).pixels
    if tuple(weights.shape) != shape:
        sizes = [f"{columns} x {rows}" for rows, columns in (shape, weights.shape)]
        raise InputError(f"Expected a mask of the X-ray's {sizes[0]} pixels. Got '{path}', of {sizes[1]}.")
    if weights.min() < 0:
        raise InputError(
            f"Expected a mask of 0, which leaves a pixel out, to 1 (or the maximum). Got negative values in '{path}'."
        )
    if weights.max() == 0:
        raise InputError(f"Expected a mask that keeps some pixels. Got '{path}', which is 0 everywhere.")
    return weights / weights.max() if weights.max() > 1 else weights


def line_integrals(xray: XRay, values: str | None = None) -> Float[Tensor, "height width"]:
    """The X-ray as line integrals (up to scale and offset, which registration does not feel): bone is bright.

    Args:
        xray: the image.
        values: what its numbers are:
            "line-integrals", attenuation x mm, as `write_image` writes them to TIFF and NIfTI;
            "intensity", what reaches the detector, so that bone is dark: -log(I / I0) is taken;
            "inverted-intensity", the same turned over, so that bone is bright;
            "display", grey levels made to be looked at, bone shown bright: taken as line integrals;
            "inverted-display", the same with bone shown dark, as fluoroscopy does.
            By default what the file says, else "line-integrals".

    Raises:
        InputError: other values, or an image of one value only.
    """
    kind = choose_values(values, xray.values)
    if xray.pixels.min() == xray.pixels.max():
        raise InputError(
            f"Expected an image of something. Got '{xray.path}', which has {xray.pixels.max():g} everywhere."
        )
    return of_one_image(xray.pixels, kind, xray.bone_is_low, xray.full_scale)
