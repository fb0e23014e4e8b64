"""Stacks of X-ray images from files and to them: the images of a sweep as line integrals (view, height, width)."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool
from torch import Tensor

from raygrad._errors import InputError
from raygrad._files import folder_written_whole, suffix_of
from raygrad.formats._frames import flat
from raygrad.formats._geometry import Frames
from raygrad.formats._images import IMAGES, Pixels, check_parent, writable_suffixes, write_image, writer_of
from raygrad.formats._line_integrals import Air, Images, choose_values, of_many_images
from raygrad.formats._xrays import read_xray

Mask = Bool[Tensor, "view height width"]


@dataclass(frozen=True)
class Stack:
    """The images of a sweep, and what their files say of them.

    Attributes:
        images: line integrals, float32 (view, height, width).
        frames: size, pixel spacing and origin, as far as the files say.
        names: of the files, or that of the file with the number of each view.
        values: one of `VALUES` if the files say what their numbers are, else None.
        full_scale: the greatest number that the files could hold, None for floating-point numbers.
        bone_is_low: of grey levels that show bone white, that these are the low ones.
        mask: False (view, height, width) where a file hides a pixel (by a shutter, a collimator, transparency), as
            `raygrad.reconstruct` takes it; None if they hide none.
    """

    images: Images
    frames: Frames
    names: tuple[str, ...]
    values: str | None = None
    full_scale: float | None = None
    bone_is_low: bool = False
    mask: Mask | None = None


def read_stack(
    path: str | os.PathLike[str],
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
        values: what the numbers are, see `line_integrals`; by default what the files say, else "line-integrals".
        air: I0, the intensity without a patient, one for all views or one for each. By default estimated, one for all
            (`estimate_air`).
        n_views: how many views the geometry has, if that is known.

    Raises:
        FileNotFoundError: there is no such file or folder.
        InputError: images of several sizes or not `n_views` of them, numbers that are not finite, intensities that are
            negative or zero throughout, an unknown kind of values; which view is wrong is said.
        ImportError: SimpleITK is not installed.
    """
    path = Path(path).expanduser()
    pixels, names = _read_folder(path) if path.is_dir() else _read_file(path)
    if n_views is not None and len(names) != n_views:
        raise InputError(f"Expected an image for each of {n_views} views. Got {len(names)} in '{path}'.")
    for name, image in zip(names, pixels.images, strict=True):
        if not image.isfinite().all():
            raise InputError(f"Expected finite pixels. Got NaN or infinity in {name}.")
    kind = choose_values(values, pixels.values)
    images = of_many_images(pixels.images, kind, pixels.bone_is_low, pixels.full_scale, air, names)
    frames = Frames((images.shape[1], images.shape[2]), pixels.spacing, pixels.origin, pixels.directions)
    mask = None if pixels.mask is None else pixels.mask > 0
    return Stack(images, frames, names, pixels.values, pixels.full_scale, pixels.bone_is_low, mask)


def read_stack_mask(path: str | os.PathLike[str], shape: tuple[int, int, int]) -> Mask:
    """Read which pixels of a stack count: those above 0.

    Args:
        path: a stack, as for `read_stack`, or one image for all views.
        shape: views, rows and columns of the stack.

    Raises:
        FileNotFoundError, ImportError: as for `read_stack`.
        InputError: as for `read_stack`, or images of another size or number.
    """
    path = Path(path).expanduser()
    images = (_read_folder(path) if path.is_dir() else _read_file(path))[0].images
    if tuple(images.shape[1:]) != shape[1:] or len(images) not in (1, shape[0]):
        sizes = [f"{columns} x {rows} pixels" for _, rows, columns in (shape, images.shape)]
        raise InputError(
            f"Expected a mask of {sizes[0]}, one for all views or one for each of {shape[0]}. Got '{path}', with "
            f"{len(images)} of {sizes[1]}."
        )
    return (images > 0).expand(shape)


def check_stack_path(path: str | os.PathLike[str]) -> Path:
    """The path, if `write_stack` can write there: to be called before a long computation.

    Raises:
        InputError: a suffix of no format that holds a stack, or a folder that is not empty.
        FileNotFoundError: there is no such folder.
    """
    path = Path(path).expanduser()
    if path.is_dir():
        if any(path.iterdir()):
            raise InputError(
                f"Expected a new or empty folder, or the name of a file such as views.nii.gz. Got '{path}', which is "
                "not empty."
            )
    elif path.suffix and writer_of(path, stack=True) is None:
        known = ", ".join(writable_suffixes(stack=True))
        raise InputError(f"Expected a file name that ends in {known}, or in nothing for a folder. Got '{path}'.")
    check_parent(path)
    return path


def write_stack(path: str | os.PathLike[str], images: Images, spacing: tuple[float | int, float | int]) -> None:
    """Write line integrals, whole or not at all, to what `read_stack` reads back.

    The middle of the images is at (0, 0) mm, which is how RTK reads NIfTI, NRRD and MetaImage files.

    Args:
        path: of one file with all views (.nii.gz, .nii, .nrrd, .mha, .tif, .npy), or without a suffix that of a folder,
            new or empty, for a TIFF of each.
        images: (view, height, width).
        spacing: width and height of a pixel on the detector in mm.

    Raises:
        InputError: the suffix is that of no format that holds a stack, or the folder is not empty.
        OSError: the files cannot be written.
    """
    path = check_stack_path(path)
    delx, dely = map(float, spacing)
    writer = writer_of(path, stack=True)
    if path.is_dir() or writer is None:
        digits = len(str(len(images)))
        with folder_written_whole(path) as unfinished:
            for number, image in enumerate(images, start=1):
                write_image(unfinished / f"view{number:0{digits}d}.tif", image, (delx, dely))
        return
    array = np.ascontiguousarray(images.detach().cpu().numpy(), dtype=np.float32)
    rows, columns = array.shape[1:]
    write, _ = writer
    write(path, array, (delx, dely), (-(columns - 1) / 2 * delx, -(rows - 1) / 2 * dely))


def _read_folder(folder: Path) -> tuple[Pixels, tuple[str, ...]]:
    paths = sorted((path for path in folder.iterdir() if _kind(path) is not None), key=_natural_order)
    kinds = sorted({_kind(path) or "no suffix" for path in paths})
    if not paths:
        raise InputError(f"Expected a folder of X-rays. There are no images in '{folder}'.")
    if len(kinds) > 1:
        raise InputError(
            f"Expected images of one kind. Got several kinds ({', '.join(kinds)}) in '{folder}': which are the views?"
        )
    first = read_xray(paths[0])
    images = first.pixels.new_empty(len(paths), *first.pixels.shape)
    masks: list[Tensor | None] = []
    for number, (path, image) in enumerate(zip(paths, images, strict=True), start=1):
        xray = first if number == 1 else read_xray(path)
        if xray.pixels.shape != first.pixels.shape:
            sizes = [f"{columns} x {rows}" for rows, columns in (first.pixels.shape, xray.pixels.shape)]
            raise InputError(f"Expected the first view's {sizes[0]} pixels. Got {sizes[1]} in view {number}, '{path}'.")
        for attribute in ("spacing", "values", "bone_is_low", "full_scale"):
            found, expected = getattr(xray, attribute), getattr(first, attribute)
            if found != expected:
                raise InputError(
                    f"Expected the first view's {attribute} {expected}. Got {found} in view {number}, '{path}'."
                )
        image.copy_(xray.pixels)
        masks.append(xray.mask)
    of_all = Pixels(
        images,
        first.spacing,
        values=first.values,
        bone_is_low=first.bone_is_low,
        full_scale=first.full_scale,
        mask=_stacked(masks, first.pixels),
    )
    return of_all, tuple(path.name for path in paths)


def _stacked(masks: list[Tensor | None], like: Tensor) -> Tensor | None:
    if all(mask is None for mask in masks):
        return None
    return torch.stack([torch.ones_like(like) if mask is None else mask for mask in masks])


def _read_file(path: Path) -> tuple[Pixels, tuple[str, ...]]:
    found = flat(IMAGES.of(path).read(path), path)
    count = len(found.images)
    names = tuple(f"{path.name}, view {number}," for number in range(1, count + 1)) if count > 1 else (path.name,)
    return found, names


def _kind(path: Path) -> str | None:
    """The suffix of an image; "" for files without one, as DICOM often has it, and None for what is no image."""
    name = path.name.lower()
    if not path.is_file() or name.startswith(".") or name == "dicomdir":
        return None
    suffix = suffix_of(path, [suffix for kind in IMAGES if kind.one_by_one for suffix in kind.suffixes])
    return "" if suffix is None and not path.suffix.strip(".0123456789") else suffix


def _natural_order(path: Path) -> list[tuple[int, int | str]]:
    """Numbers in a name count as numbers: view2.png comes before view10.png."""
    return list(_words(path.name.lower()))


def _words(name: str) -> Iterator[tuple[int, int | str]]:
    for word in re.split(r"(\d+)", name):
        yield (0, int(word)) if word.isdigit() else (1, word)
