"""Which files a cockpit has open, and which it may open and write: those that were named when it was started.

A page can say names only. X-rays are opened from one folder, files are written to another, and both are given on the
command line; without, nothing is opened or written, and what is made is offered by the page as a download.
"""

import os
import re
import stat
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING, Any

from raygrad._cockpit._placement import CT
from raygrad._cockpit._xray import OpenXRay
from raygrad._dicom import is_dicom, read_dataset
from raygrad._errors import InputError
from raygrad._files import suffix_of
from raygrad.formats import IMAGES
from raygrad.pose import RigidTransform
from raygrad.registration import SearchRanges, ViewRanges

if TYPE_CHECKING:
    from raygrad._cockpit._session import Session

Read = Callable[[Path, int | None, Mapping[str, float]], list[OpenXRay]]
"""Reads the X-rays of a file: of the frame with this number, counted from 1, where it has several.

The mapping has what was typed of "sdd" and "delx", in mm, which come before what the file says.
"""
MOST, DEEPEST = 500, 4
"""So many files are listed, and so many folders deep."""
PROJECTIONS = ("CR", "DX", "XA", "RF", "RTIMAGE", "MG", "IO", "PX", "OT", "SC")
"""Modalities of DICOM files that hold projections; slices of a CT are not listed."""
_NAME = re.compile(r"\w[\w .,()+=-]{0,120}")


@dataclass(frozen=True)
class Opened:
    """What was named when the cockpit was started.

    Attributes:
        ct: the CT, as it was named: "example", a file, a folder.
        labelmap: its structures.
        series_uid: which series of the CT's folder.
        folder: X-rays may be opened from it.
        out: files may be written to it.
        read: reads an X-ray.
        options: what else was said, of JSON: kept with a saved session.
        ranges: how far Search looks, of "search" among the options.
    """

    ct: str = ""
    labelmap: Path | None = None
    series_uid: str | None = None
    folder: Path | None = None
    out: Path | None = None
    read: Read | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    ranges: SearchRanges | ViewRanges | None = None


class Files:
    """What the page lists, opens and writes.

    Attributes:
        opened: what was named.
        keepers: what else of the session is saved: functions that say it as JSON and that take it back, by name.
    """

    def __init__(self, session: "Session", opened: Opened) -> None:
        self._session, self.opened = session, opened
        self.keepers: dict[str, tuple[Callable[[], Any], Callable[[Any], None]]] = {}
        session.parts["files"] = self.described

    def described(self) -> dict[str, Any]:
        """For the page."""
        folder, out = self.opened.folder, self.opened.out
        return {
            "folder": None if folder is None else folder.name or str(folder),
            "out": None if out is None else str(out),
            "readable": self.opened.read is not None,
        }

    def listed(self) -> list[dict[str, Any]]:
        """The X-rays in the folder, by their names from there, as it is now."""
        folder = self.opened.folder
        if folder is None:
            return []
        found: list[dict[str, Any]] = []
        for parent, folders, names in os.walk(folder):
            depth = len(Path(parent).relative_to(folder).parts)
            folders[:] = sorted(name for name in folders if not name.startswith(".")) if depth < DEEPEST else []
            for name in sorted(names):
                relative = (Path(parent) / name).relative_to(folder).as_posix()
                if len(found) < MOST and (kind := self._kind(relative)) is not None:
                    found.append({"name": relative, **kind})
        return found

    def path_of(self, name: str) -> Path:
        """The file of that name in the folder, which is there and is nowhere else.

        Raises:
            InputError: no folder was given, there is no such file, or it lies outside.
        """
        folder = self.opened.folder
        if folder is None:
            raise InputError("No folder was given to open X-rays from: start the cockpit with --folder.")
        parts = PurePosixPath(name).parts
        windows = PureWindowsPath(name)
        plain = bool(parts) and "\\" not in name and "\0" not in name and not windows.drive
        if not plain or PurePosixPath(name).is_absolute() or ".." in parts:
            raise InputError(f"Expected the name of a file in the folder of X-rays. Got {name!r}.")
        try:
            real = (folder / name).resolve(strict=True)
            inside = real.is_relative_to(folder.resolve(strict=True))
            regular = inside and stat.S_ISREG(real.stat().st_mode)
        except (OSError, RuntimeError):
            raise InputError(f"There is no file {name!r} in the folder of X-rays.") from None
        if not regular:
            raise InputError(f"Expected a file that lies in the folder of X-rays. Got {name!r}, which does not.")
        return real

    def target(self, name: str) -> Path:
        """Where a file of that name is written.

        Raises:
            InputError: no folder was given, or it is no plain name.
        """
        if self.opened.out is None:
            raise InputError("No folder was given to write to: start the cockpit with --out, or download the file.")
        return self.opened.out / checked_name(name)

    def read(self, name: str, frame: int | None, typed: Mapping[str, float]) -> list[OpenXRay]:
        """The X-rays of a file of the folder; see `Read`.

        Raises:
            InputError: see `path_of`, or it is no X-ray.
        """
        path = self.path_of(name)
        if self.opened.read is None:
            raise InputError("This cockpit opens no further files.")
        try:
            found = self.opened.read(path, frame, typed)
        except InputError as error:  # in the words of the page, which has fields for these
            said = re.sub(r"give --(sdd|delx) in mm", "type it beside Open", str(error)).replace(f"'{path}'", name)
            raise InputError(said.replace("(frame, --frame)", "below")) from error
        return [replace(xray, path=path) for xray in found]

    def _kind(self, relative: str) -> dict[str, Any] | None:
        """What the page says of a file; None if it is no X-ray by its name and header."""
        try:
            path = self.path_of(relative)
            size = path.stat().st_size
            if is_dicom(path):
                header = read_dataset(path)
                if header.get("Modality", "OT") not in PROJECTIONS or "Rows" not in header:
                    return None
                frames = int(header.get("NumberOfFrames") or 1)
                about = " ".join(str(header.get(name) or "") for name in ("Modality", "SeriesDescription")).strip()
                return {"kind": about, "size": size, "frames": frames}
            if suffix_of(path, IMAGES.suffixes) is None:
                return None
            return {"kind": IMAGES.of(path).name, "size": size, "frames": None}
        except (InputError, OSError, ValueError):
            return None


def checked_name(name: str) -> str:
    """A plain name of a file.

    Raises:
        InputError: it has a folder in it, or characters that names of files had better not have.
    """
    if not _NAME.fullmatch(name) or name != name.strip():
        raise InputError(f"Expected a plain name of a file, without folders. Got {name!r}.")
    return name


def add_views(session: "Session", xrays: Sequence[OpenXRay], instead: int | None = None) -> int:
    """Open further X-rays, after those that are open or in the place of one. The view of the first.

    Raises:
        InputError: their poses begin with another orientation than the CT's.
    """
    for xray in xrays:
        if xray.view.orientation != session.subject.orientation:
            raise InputError(
                f"Expected an X-ray of the CT's orientation {session.subject.orientation}. Got {xray.name}, of "
                f"{xray.view.orientation}."
            )
    to_world = session.placement.bodies[CT]
    cameras = [RigidTransform(xray.view.pose.matrix.double()).compose(to_world) for xray in xrays]
    intrinsics = [xray.view.intrinsics for xray in xrays]
    there = list(range(session.n_views))
    first = len(there) if instead is None else instead
    new = range(len(there), len(there) + len(xrays))
    order = [*there[:first], *new, *there[first + (instead is not None) :]]
    together = (*session.xrays, *xrays)
    session.change_views(
        [together[view] for view in order],
        lambda placement: placement.with_views(cameras, intrinsics).of_views(order),
    )
    return first


def remove_view(session: "Session", view: int) -> None:
    """Close an X-ray. All else stays where it is, also in what undo goes back to."""
    others = [number for number in range(session.n_views) if number != view]
    session.change_views([session.xrays[number] for number in others], lambda placement: placement.of_views(others))
