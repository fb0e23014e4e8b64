"""Who is told when something changes: the pages that show a session, and what one that comes later has to know."""

import threading
from collections.abc import Callable
from typing import Any

from raygrad._cockpit._client import Client
from raygrad._cockpit._frame import Frame

Message = Frame | dict[str, Any]
Listener = Callable[[Message], None]


class Told:
    """What pages show: a state, and images. Subclasses say what the state has; features add their part to `parts`.

    Attributes:
        page: the file of `page/` that shows it, "" for the first one.
        lock: held while what is told of changes.
        parts: functions that say what else the page's state has, by name.
    """

    page = ""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.parts: dict[str, Callable[[], Any]] = {}
        self._listeners: list[Listener] = []
        self._kept: dict[str, Frame] = {}

    @property
    def n_views(self) -> int:
        """How many views a page can name."""
        raise NotImplementedError

    def state(self) -> dict[str, Any]:
        """All that a page needs to show but for images."""
        return {name: part() for name, part in self.parts.items()}

    def left(self, client: Client) -> None:
        """A page went."""

    def close(self) -> None:
        """End the threads."""

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Call this with every message from now on, at once with all that a new page needs. Returns how to stop."""
        with self.lock:
            self._listeners.append(listener)
            listener({"type": "state", "state": self.state()})
            for frame in self._kept.values():
                listener(frame)

        def stop() -> None:
            with self.lock:
                self._listeners.remove(listener)

        return stop

    def tell(self, message: dict[str, Any]) -> None:
        """Send JSON to all pages."""
        with self.lock:
            for listener in self._listeners:
                listener(message)

    def tell_state(self) -> None:
        """Send the whole state to all pages, as it is between two changes."""
        with self.lock:
            self.tell({"type": "state", "state": self.state()})

    def forget(self, key: str) -> None:
        """Send an image to no page that comes."""
        with self.lock:
            self._kept.pop(key, None)

    def show(self, frame: Frame) -> None:
        """Send an image to all pages, and to those that come, until there is a newer one."""
        with self.lock:
            if frame.kept:
                self._kept[frame.key] = frame
            for listener in self._listeners:
                listener(frame)
