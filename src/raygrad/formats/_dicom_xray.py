"""X-ray images in DICOM files: XA, XRF, DX, CR, MG, RT images, their enhanced kinds, and secondary captures."""

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from raygrad._dicom import count_frames, is_dicom, number, numbers, read_dataset, stored_pixels
from raygrad._errors import InputError
from raygrad._optional import require
from raygrad.formats._dicom_frames import layers, places
from raygrad.formats._dicom_shutters import seen_pixels
from raygrad.formats._dicom_spacing import detector_plane, source_to_patient
from raygrad.formats._dicom_values import Meaning, meaning_of
from raygrad.formats._images import IMAGES, ImageFormat, Lengths, Measures, Pixels

# Less than this share of a picture is left by a collimator only if its numbers mean something else than pixels.
_LEAST_SEEN = 0.05


def _sniff(path: Path) -> bool:
    if is_dicom(path):
        return True
    with path.open("rb") as file:
        if file.read(2) not in (b"\x02\x00", b"\x08\x00"):  # the groups that a file without the preamble begins with
            return False
    try:
        read_dataset(path)
    except InputError:
        return False
    return True


def _read(path: Path) -> Pixels:
    return _read_some(path, range)[0]


def _read_some(path: Path, choose: Callable[[int], Sequence[int]]) -> tuple[Pixels, int]:
    with warnings.catch_warnings():
        # Values that break a rule of their VR are common, and those that matter are looked at below.
        warnings.filterwarnings("ignore", module=r"pydicom\b")
        return _read_quietly(path, choose)


def _read_quietly(path: Path, choose: Callable[[int], Sequence[int]]) -> tuple[Pixels, int]:
    dataset = read_dataset(path, pixels=True)
    try:
        meaning = meaning_of(dataset, _rescaling(dataset, 0)[0])
    except InputError as error:
        raise InputError(f"Expected X-rays. Got '{path}', {error}.") from None
    count = count_frames(dataset, path)
    frames = choose(count)
    stored = _grey(stored_pixels(dataset, path, None if len(frames) == count else frames), path)
    if meaning.doubt is not None:
        warnings.warn(
            f"'{path.name}' is made to be looked at, with bone white by its photometric interpretation, but "
            f"{meaning.doubt}. The former is taken for right; say what the values are if it is not.",
            stacklevel=2,
        )
    images, full_scale = _by_modality(dataset, stored, meaning, frames)
    measures, reason = _measures(dataset, frames)
    if reason is not None:
        warnings.warn(f"'{path.name}': {reason}.", stacklevel=2)
    spacing, sdd, to_patient = measures[0] if len(set(measures)) == 1 else (None, None, None)
    found = Pixels(
        torch.from_numpy(images),
        spacing=spacing,
        sdd=sdd,
        source_to_patient=to_patient,
        values=meaning.values,
        bone_is_low=meaning.bone_is_low,
        full_scale=full_scale,
        mask=_mask(dataset, frames, (images.shape[1], images.shape[2]), measures[0][0], path),
        of_frames=None if len(set(measures)) == 1 else measures,
    )
    return found, count


def _grey(stored: np.ndarray, path: Path) -> np.ndarray:
    """One sample a pixel: of grey pictures that were captured in colour, RGB or YBR, the first."""
    if stored.ndim == 3:
        return stored
    first, *others = np.moveaxis(stored, -1, 0)
    if not all((other == first).all() or (other == 128).all() for other in others):
        raise InputError(f"Expected one grey value per pixel. Got '{path}', which is a colour image.")
    return first


def _rescaling(dataset: Any, frame: int) -> tuple[float, float]:
    for place in places(dataset, frame, "PixelValueTransformationSequence"):
        slope, intercept = number(place, "RescaleSlope"), number(place, "RescaleIntercept")
        if slope:
            return slope, intercept or 0.0
    return 1.0, 0.0


def _by_modality(
    dataset: Any, stored: np.ndarray, meaning: Meaning, frames: Sequence[int]
) -> tuple[np.ndarray, float | None]:
    """The images in float32 behind their Modality LUT (PS3.3, C.11.1), and the greatest number that there could be.

    A table leads from what is stored to something else. Where the header says how the former is related to the
    intensity, that is what counts; for XA the table would only undo the logarithm (C.8.7.1.1.2). So of intensities the
    rescaling's offset is left out as well, which would not be in proportion to what was measured.
    """
    if stored.dtype.kind == "f":
        return stored.astype(np.float32), None
    signed = stored.dtype.kind == "i"
    bits = min(int(number(dataset, "BitsStored") or 64), 8 * stored.dtype.itemsize)
    greatest = float(2 ** (bits - signed) - 1)
    if dataset.get("ModalityLUTSequence") and not meaning.of_stored:
        pydicom = require("pydicom.pixels", "reading DICOM")
        descriptor = numbers(dataset.ModalityLUTSequence[0], "LUTDescriptor")
        output_bits = min(descriptor[2], 16) if len(descriptor) == 3 else 16
        return pydicom.apply_modality_lut(stored, dataset).astype(np.float32), float(2**output_bits - 1)
    images = stored.astype(np.float32)
    steps = [_rescaling(dataset, frame) for frame in frames]
    if meaning.of_stored and meaning.values == "intensity" and not signed:
        steps = [(slope, 0.0 if slope > 0 else intercept) for slope, intercept in steps]
    for image, (slope, intercept) in zip(images, steps, strict=True):
        if (slope, intercept) != (1.0, 0.0):
            image *= slope
            image += intercept
    slope, intercept = steps[0]
    least = -greatest - 1 if signed else 0.0
    return images, slope * (greatest if slope > 0 else least) + intercept


def _measures(dataset: Any, frames: Sequence[int]) -> tuple[tuple[Measures, ...], str | None]:
    """Those of every frame, or of all frames at once, and what is wrong with the first one's."""
    found, reasons = [], []
    for frame in frames if dataset.get("PerFrameFunctionalGroupsSequence") else frames[:1]:
        plane = detector_plane(layers(dataset, frame))
        found.append((plane.spacing, plane.sdd, source_to_patient(dataset, frame)))
        reasons.append(plane.doubt)
    return tuple(found), reasons[0]


def _mask(
    dataset: Any, frames: Sequence[int], shape: tuple[int, int], spacing: Lengths | None, path: Path
) -> torch.Tensor | None:
    """1 where a pixel counts (frame, row, column); None if the header hides nothing."""
    aspect = 1.0 if spacing is None else spacing[1] / spacing[0]
    several = dataset.get("PerFrameFunctionalGroupsSequence")
    seen = np.stack([seen_pixels(dataset, frame, shape, aspect) for frame in (frames if several else frames[:1])])
    if seen.all():
        return None
    if (seen.mean(axis=(1, 2)) < _LEAST_SEEN).any():
        warnings.warn(
            f"'{path.name}': its shutter or collimator would hide all but {100 * seen.mean():.2g} % of the picture, so "
            "its edges cannot be pixels of it. They are left out; give a mask if there is something to hide.",
            stacklevel=3,
        )
        return None
    return torch.from_numpy(seen).float().expand(len(frames), *shape)


DICOM = IMAGES.add(ImageFormat("DICOM", (".dcm", ".ima"), _sniff, _read, read_some=_read_some))
