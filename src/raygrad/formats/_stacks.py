"""Stacks of X-ray images from files: the images of a sweep as line integrals (view, height, width)."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from raygrad._errors import UserError
from raygrad._files import written_whole
from raygrad._optional import require
from raygrad.formats._geometry import Frames
from raygrad.formats._xrays import VALUES, XRay, describe_image, open_image, read_xray

_IMAGES = (".png", ".tif", ".tiff", ".dcm", ".ima", ".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd")
_WRITTEN = (".nii", ".nii.gz", ".nrrd", ".mha", ".tif", ".tiff", ".npy")
# Below this share of I0 detectors measure noise: a count of 0 has no logarithm.
_DARKEST = 1e-5

Images = Float[Tensor, "view height width"]
Air = float | int | Sequence[float | int]


@dataclass(frozen=True)
class Stack:
    """The images of a sweep, and what their files say of them.

    Attributes:
        images: float32 (view, height, width), line integrals after `read_stack`.
        frames: size, pixel spacing and origin, as far as the files say.
        names: of the files, or those of the file with the number of each view.
        values: one of `raygrad.formats.VALUES` if the files say what their numbers are, else None.
        full_scale: the greatest number that the files could hold, None for floating-point numbers.
        bone_is_low: of grey levels, that bone has the low ones.
    """

    images: Images
    frames: Frames
    names: tuple[str, ...]
    values: str | None = None
    full_scale: float | None = None
    bone_is_low: bool = False


def read_stack(
    path: Path,
    values: str | None = None,
    air: Air | None = None,
    n_views: int | None = None,
) -> Stack:
    """Read the images of a sweep as line integrals.

    Args:
        path: a folder of PNG, TIFF, DICOM, NIfTI, NRRD or MetaImage files, one a view, in the natural order of their
            names (2 before 10); or one file of these with all of them, views along its third axis (pages of a TIFF,
            frames of a DICOM); or NPY or NPZ with an array `images` (view, height, width) and perhaps a `spacing`,
            a pixel's width and height in mm.
        values: what the numbers are, see `raygrad.formats.as_line_integrals`; by default what the files say, else
            "line-integrals".
        air: I0, the intensity without a patient, one for all views or one for each. By default estimated, one for all
            (`estimate_air`).
        n_views: how many views the geometry has, if that is known.

    Raises:
        UserError: no such file, images of several sizes or not `n_views` of them, numbers that are not finite,
            intensities that are negative or zero throughout, an unknown kind of values; which view is wrong is said.
        ImportError: SimpleITK is not installed.
    """
    if path.is_dir():
        stack = _read_folder(path)
    elif path.suffix.lower() in (".npy", ".npz"):
        stack = _read_numpy(path)
    else:
        stack = _read_file(path)
    if n_views is not None and len(stack.images) != n_views:
        raise UserError(f"'{path}' has {len(stack.images)} image(s), but the geometry {n_views} view(s).")
    for name, image in zip(stack.names, stack.images, strict=True):
        if not image.isfinite().all():
            raise UserError(f"{name} has pixels that are not finite (NaN or infinite).")
    return _as_line_integrals(stack, values, air)


def estimate_air(intensity: Images) -> float:
    """I0 of a stack: the median of all pixels that are at least 0.8 times as bright as its 99.9th percentile.

    That is the level of air, rather than the top of its noise, if the images show air and 600 photons a pixel or more.
    """
    sample = intensity.flatten()[:: max(1, intensity.numel() // 2**22)]
    bright = sample.kthvalue(max(1, round(0.999 * len(sample)))).values
    return float(sample[sample >= 0.8 * bright].median())


def write_stack(path: Path, images: Images, spacing: tuple[float, float]) -> None:
    """Write line integrals (view, height, width) to one file, whole or not at all, which `read_stack` reads back.

    The middle of the images is at (0, 0) mm, which is how RTK reads NIfTI, NRRD and MetaImage files.

    Raises:
        UserError: the suffix is that of no format that holds a stack.
        OSError: the file cannot be written.
    """
    if not path.name.lower().endswith(_WRITTEN):
        raise UserError(f"The name of a stack must end in {', '.join(_WRITTEN)}; got '{path}'.")
    array = np.ascontiguousarray(images.detach().cpu().numpy(), dtype=np.float32)
    with written_whole(path) as unfinished:
        if path.suffix.lower() == ".npy":
            np.save(unfinished, array)
            return
        sitk = require("SimpleITK", "writing images", extra="cli")
        picture = sitk.GetImageFromArray(array)
        picture.SetSpacing([*map(float, spacing), 1.0])
        rows, columns = array.shape[1:]
        picture.SetOrigin([-(columns - 1) / 2 * spacing[0], -(rows - 1) / 2 * spacing[1], 0.0])
        try:
            sitk.WriteImage(picture, str(unfinished))
        except RuntimeError as error:  # SimpleITK's only kind
            raise OSError(f"Could not write '{path}': {str(error).strip().splitlines()[-1]}") from error


def _read_folder(folder: Path) -> Stack:
    paths = sorted((path for path in folder.iterdir() if _kind(path) is not None), key=_natural_order)
    kinds = sorted({_kind(path) or "no suffix" for path in paths})
    if not paths:
        raise UserError(f"There are no images in '{folder}'.")
    if len(kinds) > 1:
        raise UserError(f"'{folder}' has images of several kinds ({', '.join(kinds)}): which are the views?")
    first = read_xray(paths[0])
    images = first.pixels.new_empty(len(paths), *first.pixels.shape)
    for number, (path, image) in enumerate(zip(paths, images, strict=True), start=1):
        xray = first if number == 1 else read_xray(path)
        if xray.pixels.shape != first.pixels.shape:
            sizes = [f"{columns} x {rows}" for rows, columns in (xray.pixels.shape, first.pixels.shape)]
            raise UserError(f"View {number}, '{path}', has {sizes[0]} pixels, but the first one {sizes[1]}.")
        for attribute in ("spacing", "values", "bone_is_low", "full_scale"):
            found, expected = getattr(xray, attribute), getattr(first, attribute)
            if found != expected:
                raise UserError(f"View {number}, '{path}', has {attribute} {found}, but the first one {expected}.")
        image.copy_(xray.pixels)
    return _stack_of(first, images, tuple(path.name for path in paths))


def _read_file(path: Path) -> Stack:
    image, array = open_image(path)
    if image.GetNumberOfComponentsPerPixel() > 1:
        raise UserError(f"'{path}' has colours; X-rays have one grey value per pixel.")
    if sum(length > 1 for length in array.shape[:-2]) > 1:
        raise UserError(f"'{path}' has {' x '.join(map(str, array.shape[::-1]))} pixels: more axes than a stack has.")
    rows, columns = array.shape[-2:]
    pixels = torch.from_numpy(np.ascontiguousarray(array.reshape(-1, columns), dtype=np.float32))
    xray = describe_image(path, pixels, image, array.dtype)
    images = xray.pixels.reshape(-1, rows, columns)
    stack = _stack_of(xray, images, _numbered(path, len(images)))
    direction = np.array(image.GetDirection()).reshape(image.GetDimension(), -1)[:2, :2]
    if stack.frames.spacing is None or not np.allclose(direction, np.eye(2)):
        return stack
    u, v = image.GetOrigin()[:2]
    return replace(stack, frames=stack.frames._replace(origin=(u, v)))


def _read_numpy(path: Path) -> Stack:
    try:
        loaded = np.load(path, allow_pickle=False)
        content = {"images": loaded} if isinstance(loaded, np.ndarray) else dict(loaded)
    except FileNotFoundError as error:
        raise UserError(f"There is no file '{path}'.") from error
    except (ValueError, OSError, EOFError, BadZipFile) as error:
        raise UserError(f"Cannot read '{path}': it is damaged or holds no numbers ({error}).") from error
    array = next(iter(content.values())) if len(content) == 1 else content.get("images")
    if array is None or array.ndim != 3 or array.size == 0 or array.dtype.kind not in "biuf":
        found = {name: f"{value.dtype} {value.shape}" for name, value in content.items()}
        raise UserError(f"'{path}' should hold real numbers (view, height, width) named 'images'; it holds {found}.")
    spacing = None
    if "spacing" in content:
        given = np.asarray(content["spacing"]).ravel()
        if given.shape != (2,) or not (given > 0).all():
            raise UserError(f"'{path}' should have a pixel's width and height in mm as its 'spacing', not {given}.")
        spacing = (float(given[0]), float(given[1]))
    images = torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32))
    full_scale = float(np.iinfo(array.dtype).max) if array.dtype.kind in "iu" else None
    frames = Frames((array.shape[1], array.shape[2]), spacing)
    return Stack(images, frames, _numbered(path, len(images)), full_scale=full_scale)


def _as_line_integrals(stack: Stack, values: str | None, air: Air | None) -> Stack:
    kind = values or stack.values or "line-integrals"
    if kind not in VALUES:
        raise UserError(f"--values is one of {', '.join(VALUES)}, not '{kind}'.")
    images = stack.images
    if kind == "line-integrals" or (kind == "display" and not stack.bone_is_low):
        return stack
    if kind == "display":
        return replace(stack, images=images.max() - images)
    if kind == "inverted-intensity":
        images = (images.max() if stack.full_scale is None else stack.full_scale) - images
    for name, image in zip(stack.names, images, strict=True):
        if image.min() < 0:
            raise UserError(f"{name} has negative intensities, down to {image.min():g}: subtract less dark current.")
        if image.max() == 0:
            raise UserError(f"{name} is 0 everywhere, and 0 has no logarithm.")
    given = [estimate_air(images)] if air is None else [float(level) for level in np.ravel(air)]
    if len(given) not in (1, len(images)) or not min(given) > 0 or not np.isfinite(given).all():
        raise UserError(f"I0 is one positive intensity for all views, or one for each of {len(images)}, not {air}.")
    levels = torch.tensor(given).expand(len(images))
    integrals = torch.empty_like(images)
    for out, image, level in zip(integrals, images, levels, strict=True):
        torch.log((image / level).clamp_min_(_DARKEST), out=out).neg_()
    return replace(stack, images=integrals)


def _stack_of(xray: XRay, images: Images, names: tuple[str, ...]) -> Stack:
    frames = Frames((images.shape[1], images.shape[2]), xray.spacing)
    return Stack(images, frames, names, xray.values, xray.full_scale, xray.bone_is_low)


def _numbered(path: Path, count: int) -> tuple[str, ...]:
    return tuple(f"{path.name}, view {number}," for number in range(1, count + 1)) if count > 1 else (path.name,)


def _kind(path: Path) -> str | None:
    """The suffix of an image; "" for files without one, as DICOM often has it, and None for what is no image."""
    name = path.name.lower()
    if not path.is_file() or name.startswith(".") or name == "dicomdir":
        return None
    suffix = next((suffix for suffix in _IMAGES if name.endswith(suffix)), None)
    return "" if suffix is None and not path.suffix.strip(".0123456789") else suffix


def _natural_order(path: Path) -> list[tuple[int, int | str]]:
    """Numbers in a name count as numbers: view2.png comes before view10.png."""
    return list(_words(path.name.lower()))


def _words(name: str) -> Iterator[tuple[int, int | str]]:
    for word in re.split(r"(\d+)", name):
        yield (0, int(word)) if word.isdigit() else (1, word)
