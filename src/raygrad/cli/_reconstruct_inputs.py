"""What `raygrad reconstruct` is given, read and checked before anything is computed."""

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from raygrad._errors import InputError
from raygrad.cli._method_options import flag_of, flags_of
from raygrad.cli._parsing import parse_numbers
from raygrad.data import Volume, VolumeGeometry, check_right_angles, check_writable, read_volume, resample
from raygrad.formats import Stack, has_centred_world, read_geometry, read_stack, read_stack_mask
from raygrad.geometry import INTRINSICS, ConeViews, blind_views, choose_grid
from raygrad.reconstruction import METHODS

CALIBRATED = ("poses", *INTRINSICS)
CONTROL = ("iterations", "tolerance", "residual", "start")
"""Options of all methods that iterate."""


@dataclass(frozen=True)
class Problem:
    """Images, where they were taken from, and where the voxels shall lie.

    Attributes:
        images: line integrals (view, height, width) of all views.
        views: of all images.
        names: of the images.
        used, held_out: positions of the views that are reconstructed from, and that are kept to compare with.
        grid: of the volume, in the views' world.
        grid_is: what the grid was taken from, for people.
        world_to_file: moves the volume to the world of the file that its grid is from.
        support, start, truth: on that grid.
        mask: False for pixels (view, height, width) that do not count.
    """

    images: Float[Tensor, "view height width"]
    views: ConeViews
    names: tuple[str, ...]
    used: list[int]
    held_out: list[int]
    grid: VolumeGeometry
    grid_is: str
    world_to_file: Float[np.ndarray, "4 4"]
    support: Bool[Tensor, "x y z"] | None = None
    start: Float[Tensor, "x y z"] | None = None
    truth: Float[Tensor, "x y z"] | None = None
    mask: Bool[Tensor, "view height width"] | None = None


@dataclass(frozen=True)
class Grid:
    """The grid as it was asked for: like a volume's, or of a shape, spacing and centre."""

    like: Path | None = None
    shape: str | None = None
    spacing: str | None = None
    centre: str | None = None


def read_problem(
    images: Path,
    geometry: Path,
    *,
    values: str | None = None,
    air: str | None = None,
    mask: Path | None = None,
    can_mask: bool = True,
    grid: Grid = Grid(),
    support: Path | None = None,
    start: Path | None = None,
    truth: Path | None = None,
    held_out: int | None = None,
) -> Problem:
    """Read the images, their geometry, and volumes on the grid.

    Pose files put the origin of the world at the CT's centre. So volumes are moved there: by the centre of `like`, else
    `truth` by its own. Geometry of another kind is in the world of the volumes' files, which stay where they are.

    Args:
        images, values, air: see `raygrad.formats.read_stack`; `air` as it was typed.
        mask: see `raygrad.formats.read_stack_mask`; it is joined with what the images' files hide.
        can_mask: whether pixels can be left out at all.
        geometry: see `raygrad.formats.read_geometry`.
        grid: where the voxels shall lie.
        support, start, truth: volumes that are brought to that grid.
        held_out: keep every so many-th view.

    Raises:
        ValueError, OSError: something is missing, damaged or does not fit the rest.

    Warns:
        UserWarning: the images' files hide pixels that cannot be left out.
    """
    for path in (images, geometry, mask, grid.like, support, start, truth):
        if path is not None and not path.exists():
            raise InputError(f"There is no file or folder '{path}'.")
    level = None if air is None else parse_numbers(air, "--air")
    stack = read_stack(images, values, level[0] if level is not None and len(level) == 1 else level)
    views = read_geometry(geometry, stack.frames)
    _check_pair(images, stack, geometry, views)
    counts = _which_count(stack, images, mask, can_mask)
    used, kept = _split(len(views), held_out)

    like = None if grid.like is None else read_volume(grid.like)
    if like is None:
        chosen = _chosen_grid(views, grid)
        grid_is = "as asked for" if grid.shape is not None else "the box about what all views see"
    elif (grid.shape, grid.spacing, grid.centre) == (None, None, None):
        check_right_angles(like.affine)  # now, not when the volume is there and cannot be written
        chosen, grid_is = VolumeGeometry.of(like), f"the grid of '{grid.like}'"
    else:
        raise InputError("--like already is a grid; leave out --shape, --spacing and --centre, or --like.")
    centred = has_centred_world(geometry)
    file_to_world = _to_centre(like) if like is not None and centred else np.eye(4)
    chosen = VolumeGeometry(chosen.shape, file_to_world @ chosen.voxel_to_world.numpy())
    if blind := blind_views(views, chosen):
        some = f"{', '.join(map(str, blind[:10]))}{', ...' if len(blind) > 10 else ''}"
        raise InputError(
            f"{len(blind)} of {len(views)} views see nothing of the volume: {some}. Do '{geometry}' and the grid agree "
            "on where the volume is?"
        )

    def on_grid(path: Path | None, own_centre: bool = False, nearest: bool = False) -> Tensor | None:
        if path is None:
            return None
        volume = read_volume(path)
        volume = volume.moved(_to_centre(volume) if own_centre and centred and like is None else file_to_world)
        if not volume.has_grid_of(chosen.to_volume(torch.zeros(1, 1, 1).expand(chosen.shape))):
            volume = resample(volume, chosen.shape, chosen.voxel_to_world.numpy(), nearest)
        if not volume.voxels.any():
            raise InputError(f"'{path}' is 0 everywhere on the grid of the reconstruction.")
        return volume.voxels.float()

    within = on_grid(support, nearest=True)
    return Problem(
        stack.images,
        views,
        stack.names,
        used,
        kept,
        chosen,
        grid_is,
        np.linalg.inv(file_to_world),
        None if within is None else within > 0,
        on_grid(start),
        on_grid(truth, own_centre=True),
        counts,
    )


def plan(method: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """The options that were given (not None), as arguments of `raygrad.reconstruct`; not the start, a file's name.

    Raises:
        InputError: there is no such method, or it has no such option.
    """
    if method not in METHODS:
        raise InputError(f"--method is one of {', '.join(METHODS)}, not '{method}'.")
    kind = METHODS[method]
    known = [*flags_of(kind), *(() if kind.default_iterations is None else CONTROL)]
    options = {option: value for option, value in given.items() if value is not None}
    if unknown := [flag_of(option) for option in options if option not in known]:
        flags = ", ".join(map(flag_of, known))
        raise InputError(f"{unknown[0]} is nothing that --method {method} knows: it has {flags}.")
    options.pop("start", None)
    return options


def parse_unknowns(text: str | None) -> tuple[str, ...] | None:
    """What is to be calibrated, of a text such as "poses,sdd"."""
    if text is None:
        return None
    names = tuple(text.replace(",", " ").split())
    if not names or not set(names) <= set(CALIBRATED):
        raise InputError(f"--calibrate takes some of {', '.join(CALIBRATED)}, not '{text}'.")
    return names


def check_outputs(
    volume: Path, *, history: Path | None = None, preview: Path | None = None, checkpoint: Path | None = None
) -> None:
    """See that files can be written under these names.

    Raises:
        ValueError: another suffix, or a folder.
        OSError: there is no such folder.
    """
    check_writable(volume)
    for path, suffix in ((volume, None), (history, ".csv"), (preview, ".png"), (checkpoint, None)):
        if path is None:
            continue
        if path.is_dir():
            raise InputError(f"'{path}' is a folder; give the name of a file.")
        if suffix is not None and path.suffix.lower() != suffix:
            raise InputError(f"The name must end in {suffix}; got '{path}'.")
        if not path.absolute().parent.is_dir():
            raise InputError(f"There is no folder '{path.parent}' to write '{path.name}' into.")


def _check_pair(images: Path, stack: Stack, geometry: Path, views: ConeViews) -> None:
    if len(stack.images) != len(views):
        raise InputError(f"'{images}' has {len(stack.images)} image(s), but '{geometry}' {len(views)} view(s).")
    if views.image_shape != stack.frames.image_shape:
        sizes = [f"{columns} x {rows}" for rows, columns in (stack.frames.image_shape, views.image_shape)]
        raise InputError(f"'{images}' has images of {sizes[0]} pixels, but '{geometry}' is of {sizes[1]}.")
    empty = [name for name, image in zip(stack.names, stack.images, strict=True) if not image.any()]
    if len(empty) == len(stack.images):
        raise InputError(f"'{images}' shows nothing: all line integrals are 0.")


def _which_count(stack: Stack, images: Path, mask: Path | None, can_mask: bool) -> Bool[Tensor, "view h w"] | None:
    """The pixels that neither the images' files nor a mask hide."""
    if not can_mask:
        if mask is not None:
            raise InputError("--mask is for methods that iterate, and without --calibrate: the others need all pixels.")
        if stack.mask is not None:
            warnings.warn(
                f"'{images.name}' says that some pixels do not count (a shutter, a collimator, transparency). FDK and "
                "--calibrate take them as they are: crop the images, or take a method that iterates.",
                stacklevel=2,
            )
        return None
    views, rows, columns = stack.images.shape
    given = None if mask is None else read_stack_mask(mask, (views, rows, columns))
    if stack.mask is None or given is None:
        return stack.mask if given is None else given
    return stack.mask & given


def _split(count: int, held_out: int | None) -> tuple[list[int], list[int]]:
    if held_out is None:
        return list(range(count)), []
    if not 2 <= held_out <= count:
        raise InputError(f"--held-out keeps every so many-th view: 2 to {count}, not {held_out}.")
    kept = list(range(held_out - 1, count, held_out))
    return sorted(set(range(count)) - set(kept)), kept


def _to_centre(volume: Volume) -> Float[np.ndarray, "4 4"]:
    shift = np.eye(4)
    shift[:3, 3] = -np.array(volume.get_center())
    return shift


def select(images: Tensor, positions: list[int]) -> Tensor:
    """Those images; all of them without a copy."""
    return images if len(positions) == len(images) else images[torch.tensor(positions)]


def _chosen_grid(views: ConeViews, grid: Grid) -> VolumeGeometry:
    """The grid of the texts that were typed."""
    shape = None if grid.shape is None else _three(grid.shape, "--shape", "256,256,200 voxels", whole=True)
    spacing = None if grid.spacing is None else _three(grid.spacing, "--spacing", "0.5 or 0.5,0.5,1 mm")
    centre = None if grid.centre is None else parse_numbers(grid.centre, "--centre")
    if centre is not None and (len(centre) != 3 or not all(map(math.isfinite, centre))):
        raise InputError(f"--centre takes x,y,z in mm, such as 0,0,-20; not '{grid.centre}'.")
    return choose_grid(views, shape, spacing, centre)


def _three(text: str, option: str, example: str, whole: bool = False) -> Sequence[float]:
    """Three positive numbers, or one for all."""
    numbers = parse_numbers(text, option)
    numbers = numbers * 3 if len(numbers) == 1 else numbers
    if len(numbers) != 3 or not all(0 < n < math.inf and (not whole or n == int(n)) for n in numbers):
        raise InputError(f"{option} takes positive numbers, such as {example}; not '{text}'.")
    return numbers
