"""A session as a file: a pose file, which `raygrad register --init` starts from, with a part more for the cockpit.

That part names the files that were open, with size and SHA-256, and says where everything was. Images are not copied.
"""

import base64
import hashlib
import math
import threading
import time
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from raygrad._cockpit._placement import CT, Placement
from raygrad._errors import InputError
from raygrad.data import Subject
from raygrad.formats import View, content_of_poses, read_content, read_poses, write_content
from raygrad.geometry import Intrinsics
from raygrad.pose import RigidTransform
from raygrad.scene import Body, Mesh, Placed

if TYPE_CHECKING:
    from raygrad._cockpit._session import Session

VERSION = 1
"""Of the cockpit's part."""
EVERY_S = 3.0
"""At most so often a session is kept by itself."""
_INTRINSICS = ("sdd", "height", "width", "delx", "dely", "x0", "y0", "reverse_x_axis", "parallel")


@dataclass(frozen=True, eq=False)
class Saved:
    """What a file says of a session.

    Attributes:
        path: of the file.
        views: as `raygrad.read_poses` reads them.
        part: the cockpit's part.
    """

    path: Path
    views: tuple[View, ...]
    part: Mapping[str, Any]

    def files(self) -> dict[str, list[Path]]:
        """The files that were open, which are there and are the same: "ct", "labelmap", "xrays".

        Raises:
            InputError: one is missing, or another than it was.
        """
        return {kind: [self._found(one) for one in self.part["files"][kind]] for kind in ("ct", "labelmap", "xrays")}

    def bodies(self, subject: Subject) -> list[Placed]:
        """The bodies that moved by themselves beside the CT.

        Raises:
            InputError: a mesh's file is missing or another than it was, or the session is damaged.
        """
        made: list[Placed] = []
        try:
            for said in self.part.get("bodies", ()):
                name = str(said["name"])
                if said["kind"] == "structure":
                    made.append(Body(subject, tuple(int(label) for label in said["labels"]), name=name))
                else:
                    path, material = self._found(said["file"]), said["material"]
                    one = Mesh(path, material=material, unit=said["unit"], repair=said["repair"], name=name)
                    made.append(one)
        except (KeyError, TypeError, ValueError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f"'{self.path}' is damaged: of its bodies it says {error}.") from error
        return made

    def _found(self, said: Mapping[str, Any]) -> Path:
        beside = self.path.parent / said["relative"] if said.get("relative") else None
        path = next((one for one in (beside, Path(said["path"])) if one is not None and one.exists()), None)
        if path is None:
            raise InputError(f"'{self.path}' has '{said['path']}' open, which is not there any more.")
        if said["sha256"] is not None and fingerprint(path)["sha256"] != said["sha256"]:
            raise InputError(f"'{path}' is another file than when '{self.path}' was saved: its checksum differs.")
        return path


def read_saved(path: Path) -> Saved:
    """Read a session's file.

    Raises:
        FileNotFoundError: there is no such file.
        InputError: it is none, or of a later version.
    """
    content = read_content(path)
    part = content.get("cockpit")
    if not isinstance(part, dict):
        raise InputError(f"'{path}' is a pose file without a cockpit's session: give it with --init.")
    if part.get("version") != VERSION:
        raise InputError(f"'{path}' is a session of version {part.get('version')!r}; this raygrad reads {VERSION}.")
    views = read_poses(path) if content.get("views") else ()
    return Saved(path, views, part)


def save(session: "Session", path: Path) -> None:
    """Write a session, whole or not at all.

    Raises:
        OSError: the file cannot be written.
    """
    views = [
        replace(xray.view, pose=session.placement.pose(number), intrinsics=session.placement.intrinsics[number])
        for number, xray in enumerate(session.xrays)
    ]
    content = content_of_poses(views, session.placement.outcome(), session.subject.file_to_world)
    write_content(path, {**content, "cockpit": described(session, path.absolute().parent)})


def described(session: "Session", folder: Path) -> dict[str, Any]:
    """The cockpit's part, of JSON."""
    opened = session.files.opened
    ct = Path(opened.ct) if opened.ct else None
    return {
        "version": VERSION,
        "name": session.name,
        "ct": opened.ct,
        "series": opened.series_uid,
        "orientation": session.subject.orientation,
        "options": dict(opened.options),
        "files": {
            "ct": [] if ct is None or opened.ct in ("example", "chest") else [_file(ct, folder)],
            "labelmap": [] if opened.labelmap is None else [_file(opened.labelmap, folder)],
            "xrays": [_file(xray.path, folder) for xray in session.xrays if xray.path is not None],
        },
        "xrays": [
            {
                "name": xray.name,
                "from_file": xray.path is not None,
                "frame": xray.frame,
                "values": xray.values,
                "made": None if xray.made is None else _made(*xray.made),
                "mask": None if xray.mask is None else _packed(xray.mask),
            }
            for xray in session.xrays
        ],
        "bodies": [_body(body, folder) for body in session.bodies],
        "free": sorted(session.bodies.free),
        "placement": _placement(session.placement),
        "start": _placement(session.start),
        "selected": session.selected,
        "locked": sorted(session.locked),
        "snapshots": [{"name": one.name, "placement": _placement(one.placement)} for one in session.snapshots],
        "more": {name: say() for name, (say, _) in session.files.keepers.items()},
    }


def restore(session: "Session", saved: Saved) -> None:
    """Put everything where it was when the session was saved; its X-rays are open already.

    Raises:
        InputError: the file is damaged.
    """
    part = saved.part
    try:
        for name, (_, take) in session.files.keepers.items():
            if name in part["more"]:
                take(part["more"][name])
        xrays = [
            xray if said["mask"] is None else replace(xray, mask=_unpacked(said["mask"]))
            for xray, said in zip(session.xrays, part["xrays"], strict=True)
        ]
        placement, start = _placed(part["placement"]), _placed(part["start"])
        taken = [(one["name"], _placed(one["placement"])) for one in part["snapshots"]]
        if len(placement.cameras) != session.n_views:
            raise ValueError(f"it places {len(placement.cameras)} views")
        for one in (placement, start, *(one for _, one in taken)):
            if one.bodies.keys() != session.placement.bodies.keys():
                raise ValueError(f"it places {', '.join(one.bodies)}")
        session.locked = frozenset(part["locked"])
        if part["selected"] in placement.bodies:
            session.selected = part["selected"]
    except (KeyError, TypeError, ValueError, AttributeError, zlib.error) as error:
        raise InputError(f"'{saved.path}' is damaged: {error}.") from error
    session.xrays, session.start = tuple(xrays), start
    session.place(placement)
    if free := session.placement.bodies.keys() & set(part.get("free", ())):
        session.bodies.let_move(free)
    for name, one in taken:
        session.snapshots.take(name, one)
    session.tell_state()


class Saving:
    """Keeps a session in a file of the folder that was given for it, soon after something changed."""

    def __init__(self, session: "Session") -> None:
        self._session = session
        self.path: Path | None = None
        self.trouble: str | None = None
        self.at: float | None = None
        self._kept: tuple[Any, ...] | None = None
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        session.parts["saving"] = self.said

    def start(self) -> None:
        """Begin, where there is a folder; what is there by now needs no file."""
        if (out := self._session.files.opened.out) is None or self._thread is not None:
            return
        stem = f"autosave-{time.strftime('%Y%m%d-%H%M%S')}"
        names = (f"{stem}{'' if number == 0 else f'-{number}'}.json" for number in range(100))
        self.path = next(out / name for name in names if not (out / name).exists())
        self._kept = self._now()
        self._thread = threading.Thread(target=self._run, name="raygrad cockpit: saving", daemon=True)
        self._thread.start()

    def keep(self) -> None:
        """Write what is not kept yet; a failure is told to the pages once."""
        now = self._now()
        if self.path is None or _same(now, self._kept):
            return
        try:
            save(self._session, self.path)
            self._kept, self.trouble, self.at = now, None, time.time()
        except Exception as error:  # a full disk ends no session
            said = f"The session could not be kept: {error}"
            if said != self.trouble:
                self.trouble = said
                self._session.tell({"type": "trouble", "about": "Saving", "message": said})

    def close(self) -> None:
        """Keep the last of it."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join(EVERY_S)
            self.keep()

    def said(self) -> dict[str, Any]:
        """For the page."""
        return {"path": None if self.path is None else str(self.path), "at": self.at}

    def _run(self) -> None:
        while not self._ended.wait(EVERY_S):
            self.keep()

    def _now(self) -> tuple[Any, ...]:
        session = self._session
        with session.lock:
            free = session.bodies.free
            return (session.placement, session.xrays, session.locked, session.selected, free, *session.snapshots)


def fingerprint(path: Path) -> dict[str, Any]:
    """Bytes and SHA-256 of a file, or of all files of a folder with their names."""
    files = sorted(one for one in path.rglob("*") if one.is_file()) if path.is_dir() else [path]
    stamp = tuple((str(one), one.stat().st_size, one.stat().st_mtime_ns) for one in files)
    if stamp not in _FINGERPRINTS:
        digest, size = hashlib.sha256(), 0
        for one in files:
            if path.is_dir():
                digest.update(one.relative_to(path).as_posix().encode() + b"\0")
            with one.open("rb") as file:
                while piece := file.read(2**20):
                    digest.update(piece)
                    size += len(piece)
        _FINGERPRINTS[stamp] = {"size": size, "sha256": digest.hexdigest()}
    return dict(_FINGERPRINTS[stamp])


_FINGERPRINTS: dict[tuple[Any, ...], dict[str, Any]] = {}
"""Of files that have been looked at, as long as they have this size and time."""


def _same(now: tuple[Any, ...], kept: tuple[Any, ...] | None) -> bool:
    """Whether these are the very same objects, which never change."""
    return kept is not None and len(now) == len(kept) and all(a is b for a, b in zip(now, kept, strict=True))


def _file(path: Path, folder: Path) -> dict[str, Any]:
    path = path.absolute()
    relative = path.relative_to(folder).as_posix() if path.is_relative_to(folder) else None
    try:
        said = fingerprint(path)
    except OSError:  # it went meanwhile, and what a person did is kept all the same
        said = {"size": None, "sha256": None}
    return {"path": str(path), "relative": relative, **said}


def _body(body: Placed, folder: Path) -> dict[str, Any]:
    """What is needed to have a body again.

    Raises:
        InputError: it was made of triangles in a program, which no session holds.
    """
    if isinstance(body, Body):
        return {"kind": "structure", "name": body.name, "labels": list(body.labels)}
    assert isinstance(body, Mesh)
    if not isinstance(body.triangles, str | Path) or not isinstance(body.material, str | float | int):
        raise InputError(f"The body {body.name!r} is no file: a session of it cannot be kept. Make it of an STL file.")
    one = {"material": body.material, "unit": body.unit, "repair": body.repair}
    return {"kind": "mesh", "name": body.name, "file": _file(Path(body.triangles), folder), **one}


def _made(view: View, seed: int) -> dict[str, Any]:
    return {"seed": seed, **_placement(Placement((view.pose,), (view.intrinsics,), {}))}


def made_of(said: Mapping[str, Any]) -> tuple[RigidTransform, Intrinsics, int]:
    """From where an X-ray was made, with what, and with which seed: what `taken` makes it again of.

    Raises:
        InputError: that is not said as it should be.
    """
    try:
        placed = _placed({**said["made"], "bodies": {CT: torch.eye(4).tolist()}})
        return placed.cameras[0], placed.intrinsics[0], int(said["made"]["seed"])
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise InputError(f"The session is damaged: of X-ray {said.get('name')!r} it says {error}.") from error


def _placement(placement: Placement) -> dict[str, Any]:
    return {
        "cameras": [camera.matrix[0].tolist() for camera in placement.cameras],
        "intrinsics": [{name: getattr(one.detached(), name) for name in _INTRINSICS} for one in placement.intrinsics],
        "bodies": {name: pose.matrix[0].tolist() for name, pose in placement.bodies.items()},
        "unlinked": sorted(placement.unlinked),
    }


def _placed(said: Mapping[str, Any]) -> Placement:
    cameras = tuple(_rigid(matrix) for matrix in said["cameras"])
    intrinsics = tuple(Intrinsics(**{name: one[name] for name in _INTRINSICS}) for one in said["intrinsics"])
    bodies = {str(name): _rigid(matrix) for name, matrix in said["bodies"].items()}
    unlinked = frozenset(int(view) for view in said["unlinked"])
    if len(cameras) != len(intrinsics) or CT not in bodies or unlinked - set(range(len(cameras))):
        raise ValueError("it has no whole placement")
    return Placement(cameras, intrinsics, bodies, unlinked)


def _rigid(numbers: Any) -> RigidTransform:
    matrix = torch.tensor(numbers, dtype=torch.float64)
    if matrix.shape != (4, 4) or not math.isfinite(matrix.sum().item()):
        raise ValueError("a pose is no matrix of 4 x 4")
    rotation = matrix[:3, :3]
    off = (rotation @ rotation.T - torch.eye(3, dtype=torch.float64)).abs().max()
    if off > 1e-4 or rotation.det() < 0 or matrix[3].tolist() != [0, 0, 0, 1]:
        raise ValueError("a pose is not rigid")
    return RigidTransform(matrix[None])


def _packed(mask: torch.Tensor) -> dict[str, Any]:
    levels = (mask.detach().cpu().clamp(0, 1) * 255).round().to(torch.uint8).numpy()
    return {"shape": list(levels.shape), "zlib": base64.b64encode(zlib.compress(levels.tobytes(), 6)).decode()}


def _unpacked(said: Mapping[str, Any]) -> torch.Tensor:
    rows, columns = said["shape"]
    levels = np.frombuffer(zlib.decompress(base64.b64decode(said["zlib"])), np.uint8).reshape(rows, columns)
    return torch.from_numpy(levels.astype(np.float32) / 255)
