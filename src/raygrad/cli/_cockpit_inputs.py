"""What was typed for `raygrad cockpit`, as a session that is ready to be opened.

X-rays are read at once, so that what is wrong with them is said before the page; the CT is read behind the page.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raygrad._errors import InputError

if TYPE_CHECKING:
    from raygrad._cockpit import Opened, OpenXRay, Read, Session
    from raygrad.cli._register_inputs import Task
    from raygrad.scene import Placed

Say = Callable[[str], None]
Reading = Callable[[Say], "Session"]
Bodies = Callable[[Any], "Sequence[Placed]"]
"""Makes of the CT what moves by itself beside it."""

# Of the example: where its X-rays were taken from, and how far from there the anatomy is at first (degrees, mm).
_TRUTHS = {"front": (4.0, 3.0, -2.0, 8.0, 862.0, -12.0), "side": (86.0, 2.0, 1.0, -10.0, 848.0, -6.0)}
_DEPTH, _OFF = (0.0, 0.0, 0.0, 0.0, 850.0, 0.0), (6.0, -5.0, 7.0, 15.0, 875.0, -14.0)


@dataclass(frozen=True)
class Asked:
    """What was typed; see the options of the command."""

    ct: str | None
    xrays: Sequence[Path] = ()
    session: Path | None = None
    folder: Path | None = None
    out: Path | None = None
    rotation: Sequence[str] = ()
    translation: Sequence[str] = ()
    pose: Sequence[str] = ()
    init: Sequence[Path] = ()
    relative: Path | None = None
    search: str | None = None
    orientation: str | None = None
    values: str | None = None
    frames: Sequence[str] = ()
    masks: Sequence[Path] = ()
    camera: Mapping[str, float | int | None] | None = None
    labelmap: Path | None = None
    series_uid: str | None = None
    structures: Sequence[str] = ()
    meshes: Sequence[str] = ()
    at: Sequence[str] = ()


def plan(asked: Asked) -> Reading:
    """Check all that can be checked before the CT is read; what is returned reads that and makes the session.

    Raises:
        InputError, FileNotFoundError: something is not there, or does not fit.
    """
    from raygrad.cli._loading import EXAMPLES

    if asked.session is not None:
        return _plan_saved(asked, asked.session)
    ct = str(asked.ct)
    if ct not in EXAMPLES and not Path(ct).exists():
        raise InputError(f"There is no file or folder '{ct}' (or write 'example' for the built-in CT).")
    if asked.labelmap is not None and not asked.labelmap.exists():
        raise InputError(f"There is no file or folder '{asked.labelmap}'.")
    if not asked.xrays and (typed := _said_of_xrays(asked)):
        raise InputError(f"{typed} is said of X-rays. Name at least one.")
    if asked.structures and asked.labelmap is None and ct not in EXAMPLES:
        raise InputError("--structure needs --labelmap, the image that says which voxel belongs to which structure.")
    bodies = _bodies(asked)
    opened = _opened(asked, ct)
    if ct == "example" and not asked.xrays:
        return lambda say: _example(opened, bodies, say)
    xrays = _read(asked, asked.xrays) if asked.xrays else []
    orientation = (xrays[0].view.orientation or "none") if xrays else (asked.orientation or "AP")
    return lambda say: _session(opened, xrays, orientation, bodies, say)


def _plan_saved(asked: Asked, path: Path) -> Reading:
    """Of a saved session."""
    from raygrad._cockpit import read_saved, restore

    saved = read_saved(path)
    files, part = saved.files(), saved.part
    labelmap = files["labelmap"][0] if files["labelmap"] else None
    ct = str(files["ct"][0]) if files["ct"] else str(part["ct"])
    said_before = dict(part["options"])
    again = replace(
        asked,
        ct=ct,
        labelmap=labelmap,
        series_uid=part["series"],
        orientation=part["orientation"],
        search=asked.search or said_before.get("search"),
    )
    opened = _opened(again, ct)
    opened = replace(opened, options={**said_before, **opened.options})
    xrays, left = [], list(files["xrays"])
    for said, view in zip(part["xrays"], saved.views, strict=True):
        one = left.pop(0) if said["from_file"] else None
        xrays.append(None if one is None else _read_again(one, said, view, again))

    def read(say: Say) -> "Session":
        from raygrad._cockpit import Session, made_of, taken

        subject = _subject(opened, part["orientation"] or "none", say)
        say("Opening X-rays ...")
        there = []
        for xray, said in zip(xrays, part["xrays"], strict=True):
            if xray is None:
                pose, camera, seed = made_of(said)
                xray = taken(subject, pose, seed, said["name"], camera)
            there.append(xray)
        session = Session(subject, there, part["name"], opened, saved.bodies(subject))
        restore(session, saved)
        session.saving.start()
        return session

    return read


def _read(asked: Asked, paths: Sequence[Path], frames: Sequence[str] | None = None) -> "list[OpenXRay]":
    """The X-rays of files, with starts as they were typed."""
    from raygrad.cli._register_inputs import Starts, prepare

    starts = Starts(asked.rotation, asked.translation, asked.pose, init=asked.init, relative=asked.relative)
    tasks = prepare(
        paths,
        starts,
        dict(asked.camera or _NO_CAMERA),
        asked.orientation,
        asked.values,
        asked.masks,
        asked.frames if frames is None else frames,
    )
    found = [_opened_xray(task, asked.values) for task in tasks]
    by_name = {path.name: path for path in paths}
    return [replace(xray, path=by_name.get(xray.name.rsplit(", ", 1)[0], by_name.get(xray.name))) for xray in found]


def _read_again(path: Path, said: Mapping[str, Any], view: Any, asked: Asked) -> "OpenXRay":
    """An X-ray of a saved session, at the pixels that it had."""
    camera = _NO_CAMERA | {name: getattr(view.intrinsics, name) for name in ("sdd", "delx", "dely")}
    frames = () if said["frame"] is None else (str(said["frame"]),)
    plain = replace(asked, values=said["values"], camera=camera, orientation=view.orientation or "none")
    return replace(_read(plain, [path], frames)[0], name=said["name"])


def _further(asked: Asked, orientation: str | None) -> "Read":
    """Reads an X-ray that is opened later: where its header says, else from the front."""
    camera = dict(_NO_CAMERA) | {name: (asked.camera or {}).get(name) for name in ("sdd", "delx", "dely")}
    plain = Asked(asked.ct, values=asked.values, orientation=orientation)

    def read(path: Path, frame: int | None, typed: Mapping[str, float]) -> "list[OpenXRay]":
        return _read(replace(plain, camera=camera | dict(typed)), [path], () if frame is None else (str(frame),))

    return read


def _opened(asked: Asked, ct: str) -> "Opened":
    from raygrad._cockpit import Opened
    from raygrad.cli._register_inputs import parse_search

    options = {name: value for name, value in (("search", asked.search), ("values", asked.values)) if value is not None}
    further, ranges = _further(asked, asked.orientation), parse_search(asked.search)
    return Opened(ct, asked.labelmap, asked.series_uid, asked.folder, asked.out, further, options, ranges)


def _bodies(asked: Asked) -> Bodies:
    """What was typed of bodies that move by themselves; what is returned makes them of the CT.

    Raises:
        InputError, FileNotFoundError: no such mesh, structure or start.
    """
    from raygrad.cli._register_inputs import parse_structures
    from raygrad.cli._register_scene import bodies_beside, parse_meshes

    structures, meshes = parse_structures(asked.structures), parse_meshes(asked.meshes, asked.at)
    return lambda subject: bodies_beside(subject, structures, meshes)


def _session(opened: "Opened", xrays: "Sequence[OpenXRay]", orientation: str, bodies: Bodies, say: Say) -> "Session":
    from raygrad._cockpit import Session

    subject = _subject(opened, orientation, say)
    say("Opening X-rays ...")
    session = Session(subject, xrays, Path(opened.ct).name, opened, bodies(subject))
    session.saving.start()
    return session


def _example(opened: "Opened", bodies: Bodies, say: Say) -> "Session":
    """The built-in thorax and two X-rays of it, which start away from where they were taken."""
    from raygrad._cockpit import pose_of, taken

    subject = _subject(opened, "AP", say)
    say("Taking two X-rays of it ...")
    off = pose_of(_OFF).inverse().compose(pose_of(_DEPTH))
    xrays = []
    for number, (name, truth) in enumerate(_TRUTHS.items()):
        xray = taken(subject, pose_of(truth), number, name)
        xrays.append(replace(xray, view=replace(xray.view, pose=xray.view.pose.compose(off))))
    from raygrad._cockpit import Session

    session = Session(subject, xrays, "example", opened, bodies(subject))
    session.saving.start()
    return session


def _subject(opened: "Opened", orientation: str, say: Say) -> Any:
    from raygrad.cli._loading import load_subject

    say(f"Reading {Path(opened.ct).name} ...")
    return load_subject(
        opened.ct, orientation, opened.labelmap, series_uid=opened.series_uid, labels_needed=False, remove_table=True
    )


def _said_of_xrays(asked: Asked) -> str:
    """Options that make no sense without an X-ray: the first one's name."""
    said = {
        "--rotation": asked.rotation,
        "--translation": asked.translation,
        "--pose": asked.pose,
        "--init": asked.init,
        "--relative": asked.relative,
        "--frame": asked.frames,
        "--mask": asked.masks,
    }
    return next((name for name, value in said.items() if value), "")


def _opened_xray(task: "Task", values: str | None) -> "OpenXRay":
    from raygrad._cockpit import OpenXRay

    hidden = "" if task.hidden is None or task.hidden.nothing else str(task.hidden)
    name = task.view.xray or "X-ray"
    more: dict[str, Any] = {"frame": _frame_of(name), "values": values}
    return OpenXRay(name, task.image, task.view, task.mask, task.header, hidden, task.taken_for, **more)


def _frame_of(name: str) -> int | str | None:
    """The image of a file that the X-ray's name ends with, as `raygrad.formats.XRay.name` has it."""
    last = name.rpartition(", ")[2]
    if last.startswith("frame ") and last[6:].isdecimal():
        return int(last[6:])
    return last.removesuffix(" frame") if last in ("mean frame", "least-dense frame") else None


_NO_CAMERA: dict[str, float | int | None] = dict.fromkeys(("sdd", "height", "width", "delx", "dely", "x0", "y0"))
