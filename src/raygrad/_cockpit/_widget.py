"""The page in a notebook: a widget that holds it in a frame, and whose traits follow the session.

The frame is served by the kernel's own machine to that machine. Which page may hold it is told by the page itself, when
it shows the widget: only then, and only if it is of this machine, it is let.
"""

import asyncio
import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anywidget
import traitlets

from raygrad._cockpit._serving import Serving
from raygrad._cockpit._session import Session
from raygrad.formats import View

LOCAL = re.compile(r"https?://(127\.0\.0\.1|localhost)(:\d{1,5})?")
"""Origins of notebooks of this machine."""
SETTLE_S = 0.2
"""Traits follow a motion at most so often."""


class CockpitWidget(anywidget.AnyWidget):
    """The cockpit in a notebook's cell.

    Attributes:
        session: what it shows.
        url: of the page.
        matrices: the pose of each X-ray now, 4 x 4 row by row: camera-to-world in mm, as `poses()` has them.
        height: of the frame, in pixels of the page.
    """

    _esm = Path(__file__).parent / "widget.js"
    url = traitlets.Unicode("").tag(sync=True)
    height = traitlets.Int(760).tag(sync=True)
    matrices: Any = traitlets.List().tag(sync=True)
    origin = traitlets.Unicode("").tag(sync=True)
    allowed = traitlets.Unicode("").tag(sync=True)

    def __init__(self, session: Session, serving: Serving) -> None:
        self.session, self._serving = session, serving
        self._late = threading.Event()
        self._stop: Callable[[], None] | None = None
        try:
            self._loop: asyncio.AbstractEventLoop | None = asyncio.get_running_loop()
        except RuntimeError:
            self._loop = None
        super().__init__(url=serving.url, matrices=_matrices(session))
        self.observe(self._asked_for, "origin")
        self._stop = session.listen(self._told)

    def poses(self) -> list[View]:
        """Where every X-ray was taken from, as hands and registrations have it now; `write_poses` keeps it."""
        return self.session.views()

    def close(self) -> None:
        """End it. Poses can still be asked for."""
        stop, self._stop = self._stop, None
        if stop is not None:
            stop()
            self._serving.close()
        super().close()

    def _asked_for(self, change: Any) -> None:
        """A page shows the widget."""
        if LOCAL.fullmatch(change["new"]):
            self._serving.guard.let_frame(change["new"])
            self.allowed = change["new"]

    def _told(self, message: Any) -> None:
        """From any thread: what moved is told the notebook a little later, from the kernel's own thread."""
        if not isinstance(message, dict) or message["type"] not in ("placement", "state") or self._late.is_set():
            return
        self._late.set()
        if self._loop is None or self._loop.is_closed():
            self._follow()
        else:
            self._loop.call_soon_threadsafe(self._loop.call_later, SETTLE_S, self._follow)

    def _follow(self) -> None:
        self._late.clear()
        self.matrices = _matrices(self.session)


def make_widget(session: Session, port: int = 0) -> CockpitWidget:
    """A widget of a session that is served from now on.

    Raises:
        InputError: the port is taken.
    """
    return CockpitWidget(session, Serving(session, port).start())


def _matrices(session: Session) -> list[list[list[float]]]:
    return [view.pose.matrix[0].tolist() for view in session.views()]
