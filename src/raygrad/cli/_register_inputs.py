"""What was typed for `raygrad register`, as X-rays, cameras and starts that are ready to be registered."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from raygrad._errors import InputError
from raygrad.cli._parsing import facing, parse_numbers, parse_orientation, parse_pose
from raygrad.cli._register_headers import centre_of, read_header, refuse_moving, start_of
from raygrad.formats import (
    FRAMES,
    Hidden,
    View,
    XRay,
    XRayGeometry,
    choose_values,
    find_hidden,
    line_integrals,
    read_mask,
    read_poses,
    read_xray,
    read_xrays,
)
from raygrad.geometry import INTRINSICS, Intrinsics, UnknownGeometry
from raygrad.pose import RigidTransform
from raygrad.registration import LevenbergMarquardt, SearchRanges, ViewRanges

CAMERA_OPTIONS = ("sdd", "height", "width", "delx", "dely", "x0", "y0")

USUAL = ("poses", *INTRINSICS)
"""What --calibrate knows by name, known as well as it usually is."""
DEVIATIONS = tuple(field.name for field in fields(UnknownGeometry))
"""Of what --calibrate takes standard deviations."""


LARGEST_LABEL = 65535
"""That --structure takes: more would be listed for ever."""


@dataclass(frozen=True)
class Starts:
    """What was typed of where the X-rays were taken from, each once for every X-ray.

    Attributes:
        rotation, translation, pose: as `parse_pose` takes them; a single translation serves all X-rays.
        parameterization, convention: of these.
        init: pose files, which hold as many views as there are X-rays together.
        relative: a pose file whose views keep their geometry while only the first one's pose is given.
    """

    rotation: Sequence[str] = ()
    translation: Sequence[str] = ()
    pose: Sequence[str] = ()
    parameterization: str = "euler_angles"
    convention: str = "ZXY"
    init: Sequence[Path] = ()
    relative: Path | None = None

    @property
    def say_rotation(self) -> bool:
        """Whether they say more than a translation, which comes on top of what a header says."""
        return bool(self.rotation or self.pose or self.init or self.relative)


@dataclass(frozen=True)
class Task:
    """One X-ray, ready to be registered, from the pose in `view` on.

    Attributes:
        image: line integrals.
        mask: weights of its pixels, None if all count.
        view: where it was taken from, roughly.
        taken_for: one of `raygrad.formats.VALUES` that its numbers were taken to be, where nobody said so.
        header: what the start was taken from, if that was the X-ray's header.
        hidden: what of it does not count by itself, None if nobody looked.
    """

    image: Float[Tensor, "1 1 height width"]
    mask: Float[Tensor, "height width"] | None
    view: View
    taken_for: str | None = None
    header: XRayGeometry | None = None
    hidden: Hidden | None = None


def prepare(
    paths: Sequence[Path],
    starts: Starts,
    camera: dict[str, float | int | None],
    orientation: str | None = None,
    values: str | None = None,
    masks: Sequence[Path] = (),
    frames: Sequence[str] = (),
    auto_mask: bool = True,
    parallel: bool = False,
) -> list[Task]:
    """Read everything but the CT, so that mistakes are found before that is read, which may take a while.

    Args:
        paths: the X-rays.
        starts: where they were taken from, roughly.
        camera: the `CAMERA_OPTIONS` that were typed, the others None. They come before a pose file's, and these before
            those of the X-ray's header. Pixel sizes are the file's; other `height` and `width` resample the X-ray.
        orientation: "AP", "PA", "none", or None for a pose file's or else AP.
        values: what the X-rays' numbers are, see `line_integrals`.
        masks: weights, none or one for every X-ray or one for all.
        frames: of files with several, see `parse_frames`; none or one for every file or one for all.
        auto_mask: leave out what the X-rays' headers and `find_hidden` say does not count.
        parallel: the beams are, whatever a pose file says; where that says so they are, too.

    Raises:
        InputError: options that exclude each other, that are missing, or that do not fit the X-rays.
        FileNotFoundError, ValueError: a pose file that is not there or damaged.
    """
    frame_of = _for_each("--frame", frames, len(paths), shared=True)
    with warnings.catch_warnings():
        if camera["delx"] is not None:
            warnings.filterwarnings("ignore", ".*: give .*delx")
        xrays = [xray for path, text in zip(paths, frame_of, strict=True) for xray in _read(path, text, values)]
    headers = [read_header(xray.path, xray.frame) for xray in xrays]
    views = None if starts.say_rotation else _views_of(headers, orientation)
    for xray in xrays if views is not None else ():
        refuse_moving(xray.path, xray.frame)
    poses, saved = _starting_poses(xrays, starts, views, camera["sdd"], orientation)
    mask_of = _for_each("--mask", masks, len(xrays), shared=True)
    tasks = []
    for number, (xray, pose, known, mask_path) in enumerate(zip(xrays, poses, saved, mask_of, strict=True)):
        intrinsics = _choose_intrinsics(xray, camera, known, headers[number], views is not None)
        intrinsics = intrinsics.replaced(parallel=parallel or (known is not None and known.intrinsics.parallel))
        image = line_integrals(xray, values)
        rows, columns = image.shape
        hidden = find_hidden(xray, values) if auto_mask else None
        size = (intrinsics.height, intrinsics.width)
        mask = None if mask_path is None else _resampled(read_mask(mask_path, (rows, columns)), size)[0, 0].clamp(0, 1)
        for weights in _weights_of_file(xray, hidden):
            # A pixel that covers a hidden one would have a part of it.
            whole = (_resampled(weights, size)[0, 0] > 0.999).to(weights)
            mask = whole if mask is None else mask * whole
        if mask is not None and not mask.any():
            raise InputError(f"Nothing of '{xray.path}' is left to be compared; see --mask and --no-auto-mask.")
        taken_for = choose_values(xray.values) if values is None else None
        view = View(pose, intrinsics, _view_name(orientation, known), xray.name)
        header = views[number] if views else None
        tasks.append(Task(_resampled(image, size), mask, view, taken_for, header, hidden))
    if len({task.view.orientation for task in tasks}) > 1:
        raise InputError("The pose files are of different orientations (AP, PA); make them anew with one.")
    return tasks


def parse_frames(text: str) -> int | str | range:
    """What --frame names: a number from 1, N:M with both ends, "all", "mean" or "least-dense"."""
    if text in ("all", *FRAMES):
        return text
    ends = text.split(":")
    if len(ends) > 2 or not all(end.isdecimal() and int(end) > 0 for end in ends) or int(ends[0]) > int(ends[-1]):
        raise InputError(f"--frame takes a number from 1, N:M, all, {' or '.join(FRAMES)}; not '{text}'.")
    return int(text) if len(ends) == 1 else range(int(ends[0]), int(ends[1]) + 1)


def _read(path: Path, frame: str | None, values: str | None) -> list[XRay]:
    """The X-rays that one file was named for."""
    wanted = None if frame is None else parse_frames(frame)
    if isinstance(wanted, range) or wanted == "all":
        return read_xrays(path, wanted, values)
    return [read_xray(path, wanted, values)]


def check_response(response: str, method: str) -> None:
    """Refuse a response that there is not, or that the method has not."""
    if method != "lm" and response != "auto":
        raise InputError(f"--response {response} goes with --method lm, not '{method}'.")
    try:
        LevenbergMarquardt(response=response)
    except ValueError as error:
        raise InputError(f"--response: {error}") from error


def parse_search(text: str | None) -> SearchRanges | ViewRanges | None:
    """The ranges of a text such as "60,100" (degrees, mm), "45/45/15,150,450-1000" (and depth), "view" or "sphere"."""
    if text is None:
        return None
    known = {"view": ViewRanges(), "sphere": ViewRanges.sphere()}
    if text in known:
        return known[text]
    words = text.replace(",", " ").split()
    try:
        if len(words) == 2 and min(map(float, words)) > 0:
            return SearchRanges(degrees=float(words[0]), mm=float(words[1]))
        if len(words) == 3:
            degrees, depth = (
                tuple(float(end) for end in word.split(mark)) for word, mark in zip(words[::2], "/-", strict=True)
            )
            return ViewRanges(degrees if len(degrees) > 1 else degrees[0], float(words[1]), depth)
    except ValueError as error:
        if str(error).startswith("Expected"):
            raise InputError(f"--search: {error}") from error
    raise InputError(
        "--search takes how far the pose may be off, in degrees and in mm: 60,100; with depths by the image's axes: "
        f"45/45/15,150,450-1000; or view (that) or sphere; not '{text}'."
    )


def parse_structures(texts: Sequence[str] | None) -> dict[str, list[int]]:
    """Names and labels of texts such as "spine=34-36,46-61"."""
    structures = {}
    for text in texts or ():
        name, _, labels = text.partition("=")
        try:
            ends = [[int(end) for end in part.split("-")] for part in labels.replace(",", " ").split()]
            if max((end[-1] for end in ends), default=0) > LARGEST_LABEL:
                raise InputError(f"--structure has labels up to {LARGEST_LABEL}; not '{text}'.")
            structures[name] = [label for end in ends for label in range(end[0], end[-1] + 1)]
        except InputError:
            raise
        except ValueError:
            ends = []
        if not name or not ends or not structures[name] or max(map(len, ends)) > 2:
            raise InputError(f"--structure takes a name and its labels, such as spine=34-36,46-61; not '{text}'.")
    return structures


def parse_rigid(text: str | None) -> list[str | int] | None:
    """Parts, structures and labels of a text such as "spine,sacrum,25"."""
    if text is None:
        return None
    if not (named := [part.strip() for part in text.split(",") if part.strip()]):
        raise InputError(f"--rigid takes spine, pelvis, skull, names of structures or labels; not '{text}'.")
    return [int(part) if part.isdecimal() else part for part in named]


def parse_unknowns(text: str | None) -> UnknownGeometry | None:
    """What is not known exactly, of a text such as "poses,sdd" or "sdd_mm=10,pose_deg=1,pose_mm=2"."""
    if text is None:
        return None
    names, deviations = [], {}
    for word in text.replace(",", " ").split():
        name, equals, value = word.partition("=")
        name = name.replace("-", "_")
        known = DEVIATIONS if equals else USUAL
        if name not in known:
            raise InputError(
                f"--calibrate takes {', '.join(USUAL)}, or standard deviations {'=..., '.join(DEVIATIONS)}=..., joined "
                f"by commas; not '{word}'."
            )
        if equals:
            (deviations[name],) = parse_numbers(value, f"--calibrate {name}")[:1] or [0.0]
        else:
            names.append(name)
    try:
        return replace(UnknownGeometry.of(names) if names else UnknownGeometry(), **deviations)
    except ValueError as error:
        raise InputError(f"--calibrate: {error}") from None


def _views_of(headers: Sequence[XRayGeometry | None], orientation: str | None) -> list[XRayGeometry] | None:
    """The headers, if all of them say from which side the X-rays were taken, and none in another orientation."""
    found = [header for header in headers if header is not None and header.has_view]
    if orientation is not None and any(header.orientation != orientation.upper() for header in found):
        return None
    return found if len(found) == len(headers) else None


def _starting_poses(
    xrays: Sequence[XRay],
    starts: Starts,
    views: Sequence[XRayGeometry] | None,
    sdd: float | int | None,
    orientation: str | None,
) -> tuple[list[RigidTransform], list[View | None]]:
    """The start for every X-ray, and the saved view that belongs to it, if any; `views` are those of headers."""
    if views is not None:
        translations = _for_each("--translation", starts.translation, len(xrays), shared=True)
        poses = [start_of(view, text, sdd) for view, text in zip(views, translations, strict=True)]
        return poses, [None] * len(xrays)
    typed = [*starts.pose, *starts.rotation, *starts.translation]
    if starts.init and (typed or starts.relative):
        raise InputError(
            "--init already says where every X-ray was taken from; leave out the other options of the pose."
        )
    if starts.init:
        saved = [view for path in starts.init for view in read_poses(path)]
        if len(saved) != len(xrays):
            raise InputError(f"--init has {len(saved)} pose(s) for {len(xrays)} X-ray(s).")
        return [view.pose for view in saved], list(saved)
    if starts.relative is not None:
        related = read_poses(starts.relative)
        if len(related) != len(xrays):
            raise InputError(f"--relative has {len(related)} view(s) for {len(xrays)} X-ray(s).")
        (first,) = _typed_poses(xrays[:1], starts, _view_name(orientation, related[0]))
        to_first = related[0].pose.inverse()
        return [view.pose.compose(to_first).compose(first) for view in related], list(related)
    if len(xrays) > 1 and len(xrays) not in (len(starts.pose), len(starts.rotation)):
        raise InputError(
            f"{len(xrays)} X-rays need as many --rotation, --pose or --init, in the same order, or --relative: a pose "
            "file with their geometry relative to each other."
        )
    return _typed_poses(xrays, starts, _view_name(orientation, None)), [None] * len(xrays)


def _typed_poses(xrays: Sequence[XRay], starts: Starts, orientation: str | None) -> list[RigidTransform]:
    count = len(xrays)
    rotations = _for_each("--rotation", starts.rotation, count)
    translations = _for_each("--translation", starts.translation, count, shared=True)
    whole = _for_each("--pose", starts.pose, count)
    poses = []
    for xray, rotation, translation, pose in zip(xrays, rotations, translations, whole, strict=True):
        if pose is translation is None and xray.source_to_patient and starts.parameterization != "se3_log_map":
            translation = ",".join(map(repr, facing(orientation, xray.source_to_patient)))
        poses.append(parse_pose(rotation, translation, pose, starts.parameterization, starts.convention, orientation))
    return poses


def _for_each(option: str, given: Sequence[Any], count: int, shared: bool = False) -> list[Any]:
    """As many as X-rays; None for each where the option was not given."""
    if not given:
        return [None] * count
    if shared and len(given) == 1:
        return list(given) * count
    if len(given) != count:
        raise InputError(f"{option} was given {len(given)} time(s) for {count} X-ray(s).")
    return list(given)


def _view_name(orientation: str | None, saved: View | None) -> str | None:
    if orientation is None:
        return "AP" if saved is None else saved.orientation
    name = parse_orientation(orientation)
    if saved is not None and saved.orientation != name:
        raise InputError(f"--orientation {orientation}, but the pose file is for {saved.orientation}.")
    return name


def _choose_intrinsics(
    xray: XRay,
    typed: dict[str, float | int | None],
    saved: View | None,
    header: XRayGeometry | None,
    from_header: bool,
) -> Intrinsics:
    """What was typed, or else what the pose file says, or else what the X-ray's header says.

    Args:
        header: of DICOM.
        from_header: whether the pose is the header's, and with it which way columns run.
    """
    rows, columns = xray.pixels.shape
    reverse = saved.intrinsics.reverse_x_axis if saved is not None else True
    said: dict[str, Any] = {"sdd": xray.sdd, "delx": None, "dely": None, "x0": 0.0, "y0": 0.0}
    if xray.spacing is not None:
        said |= {"delx": xray.spacing[0], "dely": xray.spacing[1]}
    if header is not None:
        own = header.intrinsics
        reverse = own.reverse_x_axis if from_header else reverse
        said |= {"sdd": own.sdd} if header.has_sdd else {}
        said |= {"delx": own.delx, "dely": own.dely} if header.has_pixel_size else {}
    known = None if saved is None else saved.intrinsics

    def first(*values: Any) -> Any:
        return next((value for value in values if value is not None), None)

    sdd = first(typed["sdd"], known and known.sdd, said["sdd"])
    if sdd is None:
        raise InputError(f"'{xray.path}' does not say how far its detector is from the source; give --sdd in mm.")
    delx = first(typed["delx"], known and known.delx * known.width / columns, said["delx"])
    dely = first(typed["dely"], typed["delx"], known and known.dely * known.height / rows, said["dely"])
    if delx is None or dely is None:
        raise InputError(f"'{xray.path}' does not say how large its pixels are on the detector; give --delx in mm.")
    if header is not None:
        said["x0"], said["y0"] = centre_of(header, delx, dely, reverse)
    for name, value in {"sdd": sdd, "delx": delx, "dely": dely, **typed}.items():
        if name not in ("x0", "y0") and value is not None and not value > 0:
            raise InputError(f"--{name} is positive, not {value:g}.")
    height = typed["height"] or (round(rows * typed["width"] / columns) if typed["width"] else rows)
    width = typed["width"] or (round(columns * height / rows) if typed["height"] else columns)
    return Intrinsics(
        sdd=float(sdd),
        height=max(1, int(height)),
        width=max(1, int(width)),
        delx=delx * columns / width,
        dely=dely * rows / height,
        x0=first(typed["x0"], known and known.x0, said["x0"]),
        y0=first(typed["y0"], known and known.y0, said["y0"]),
        reverse_x_axis=reverse,
    )


def _weights_of_file(xray: XRay, hidden: Hidden | None) -> list[Float[Tensor, "height width"]]:
    """Of an X-ray's pixels, by its header and by the picture; none if all count, or nobody looked."""
    if hidden is None:
        return []
    return [weights for weights in (xray.mask, None if hidden.nothing else hidden.weights) if weights is not None]


def _resampled(image: Float[Tensor, "rows columns"], size: tuple[int, int]) -> Float[Tensor, "1 1 height width"]:
    """The same area with other pixels; each the mean of those that it covers where it is larger."""
    if tuple(image.shape) == size:
        return image[None, None]
    return functional.interpolate(image[None, None], size=size, mode="bilinear", antialias=True)
