"""Files that are made for a page to download: it asks for them piece by piece, and then they are gone."""

import base64
import secrets
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from raygrad._errors import InputError

PIECE = 2**20
"""Bytes that are sent at once."""
MOST = 8
"""Files that wait to be fetched; the oldest goes when there is another one."""


class Downloads:
    """A folder of such files, which is gone with the process."""

    def __init__(self) -> None:
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._files: dict[str, Path] = {}
        self._lock = threading.Lock()

    def make(self, name: str, write: Callable[[Path], Any]) -> dict[str, Any]:
        """Write a file to be downloaded; for the page, what to ask for."""
        with self._lock:
            if self._folder is None:
                self._folder = tempfile.TemporaryDirectory(prefix="raygrad-cockpit-")
        key = secrets.token_urlsafe(12)
        folder = Path(self._folder.name) / key
        folder.mkdir()
        path = folder / name
        write(path)
        with self._lock:
            self._files[key] = path
            while len(self._files) > MOST:
                self._drop(next(iter(self._files)))
        return {"key": key, "name": name, "size": path.stat().st_size}

    def piece(self, key: str, start: int) -> str:
        """The bytes from there on, as base64. After the last ones the file is gone.

        Raises:
            InputError: there is no such file, or no such place in it.
        """
        with self._lock:
            path = self._files.get(key)
            if path is None or not 0 <= start <= path.stat().st_size:
                raise InputError("That file is not there any more: make it again.")
            with path.open("rb") as file:
                file.seek(start)
                found = file.read(PIECE)
            if start + len(found) >= path.stat().st_size:
                self._drop(key)
        return base64.b64encode(found).decode()

    def close(self) -> None:
        """Remove all."""
        with self._lock:
            self._files.clear()
            if self._folder is not None:
                self._folder.cleanup()
                self._folder = None

    def _drop(self, key: str) -> None:
        path = self._files.pop(key)
        path.unlink(missing_ok=True)
        path.parent.rmdir()
