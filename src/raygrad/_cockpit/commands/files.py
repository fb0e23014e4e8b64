"""Files: opening X-rays of the folder, saving the session, writing what other programs read."""

import base64
import binascii
from collections.abc import Callable
from pathlib import Path
from typing import Any

from raygrad._cockpit._commands import command
from raygrad._cockpit._exports import PICTURES, listed_kinds, write_export, write_picture
from raygrad._cockpit._files import add_views, checked_name, remove_view
from raygrad._cockpit._saved import save
from raygrad._cockpit._session import Session
from raygrad._cockpit._simulated import simulated
from raygrad._errors import InputError
from raygrad._files import written_whole

PNG = b"\x89PNG\r\n\x1a\n"


@command(slow=True)
def list_files(session: Session) -> list[dict[str, Any]]:
    """The X-rays that can be opened."""
    return session.files.listed()


@command(slow=True)
def open_xray(
    session: Session,
    name: str,
    frame: int | None = None,
    instead: int | None = None,
    sdd: float | None = None,
    delx: float | None = None,
) -> int:
    """Open an X-ray of the folder as a further view, or instead of one. The number of its view.

    `sdd` and `delx` are mm that come before what the file says.
    """
    if instead is not None and not 0 <= instead < session.n_views:
        raise InputError(f"Expected a view that is open. Got {instead}.")
    typed = {key: value for key, value in (("sdd", sdd), ("delx", delx)) if value is not None}
    xrays = session.files.read(name, frame, typed)
    return add_views(session, xrays, instead)


@command(slow=True)
def simulate_xray(session: Session, angle: float = 0.0) -> int:
    """Make an X-ray of the CT from so many degrees to the patient's left of the front, and open it."""
    return add_views(session, [simulated(session.subject, angle, session.n_views)])


@command
def close_xray(session: Session, view: int) -> None:
    """Close a view."""
    remove_view(session, view)


@command(slow=True)
def save_session(session: Session, name: str, download: bool = False, replace: bool = False) -> dict[str, Any]:
    """Write the session."""
    if not name.lower().endswith(".json"):
        name += ".json"
    return _written(session, name, download, replace, lambda path: save(session, path))


@command(slow=True)
def export_kinds(session: Session, view: int | None = None) -> list[dict[str, Any]]:
    """What the session can be written as, all views or one."""
    return listed_kinds(session, view)


@command(slow=True)
def export_file(
    session: Session, kind: str, name: str, view: int | None = None, download: bool = False, replace: bool = False
) -> dict[str, Any]:
    """Write the poses as a file of another program's."""
    return _written(session, name, download, replace, lambda path: write_export(session, kind, view, path))


@command
def picture_kinds(session: Session) -> dict[str, str]:
    """What pictures there are of a view, in words."""
    return PICTURES


@command(slow=True)
def save_picture(
    session: Session, view: int, what: str, name: str, download: bool = False, replace: bool = False
) -> dict[str, Any]:
    """Write a picture of a view."""
    return _written(session, _png(name), download, replace, lambda path: write_picture(session, view, what, path))


@command(slow=True)
def keep_picture(session: Session, name: str, png: str, replace: bool = False) -> dict[str, Any]:
    """Write a picture that the page made of a pane, as it is seen."""
    try:
        content = base64.b64decode(png, validate=True)
    except binascii.Error as error:
        raise InputError("Expected a picture as base64.") from error
    if not content.startswith(PNG):
        raise InputError("Expected a picture as PNG.")

    def write(path: Path) -> None:
        with written_whole(path) as unfinished:
            unfinished.write_bytes(content)

    return _written(session, _png(name), False, replace, write)


@command(slow=True)
def download(session: Session, key: str, start: int = 0) -> str:
    """The next bytes of a file that was made to be downloaded, as base64."""
    return session.downloads.piece(key, start)


def _png(name: str) -> str:
    return name if name.lower().endswith(".png") else f"{name}.png"


def _written(session: Session, name: str, to_page: bool, over: bool, write: Callable[[Path], Any]) -> dict[str, Any]:
    """Write a file to the folder or for the page; nothing is written over unless that was said."""
    if to_page:
        return {"download": session.downloads.make(checked_name(name), write)}
    path = session.files.target(name)
    if path.exists() and not (over and path.is_file()):
        return {"exists": path.name}
    write(path)
    return {"path": str(path)}
