"""Starts a session's server on this machine."""

import logging
import secrets
import signal
import socket
import sys
import threading
import webbrowser
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from raygrad._cockpit._guard import Guard
from raygrad._cockpit._opening import Opening
from raygrad._cockpit._told import Told
from raygrad._errors import InputError
from raygrad._optional import require

LOOK_S = 0.5
"""How often the main thread looks whether the server is still there; some systems wake no waiting thread for Ctrl-C."""


class Serving:
    """A server that waits on 127.0.0.1, in a thread of its own.

    Args:
        session: what it shows.
        port: 0 for any that is free.

    Attributes:
        url: of the page, with the token in its fragment.
        guard: who may talk to it.

    Raises:
        InputError: the port is taken.
        MissingLibraryError: a library is not installed.
    """

    def __init__(self, session: Told | Opening, port: int = 0) -> None:
        uvicorn = require("uvicorn", "the cockpit", extra="cockpit")
        for name in ("starlette", "websockets"):
            require(name, "the cockpit", extra="cockpit")
        from raygrad._cockpit._server import make_app

        self._session = session
        self._socket = _listening(port)
        port = self._socket.getsockname()[1]
        token = secrets.token_urlsafe(24)
        self.url = f"http://127.0.0.1:{port}/{session.page}#{token}"
        self.guard = Guard(port, token)
        config = uvicorn.Config(
            make_app(session, self.guard),
            log_level=logging.CRITICAL,  # what goes wrong with a page is told there; a page that goes is no mistake
            access_log=False,
            server_header=False,
            ws="websockets-sansio",
            ws_max_size=2**24,
            ws_max_queue=16,
            lifespan="off",
            timeout_graceful_shutdown=1,
        )
        self._server: Any = uvicorn.Server(config)
        self._thread: threading.Thread | None = None
        self._ended = threading.Event()

    def run(self, open_browser: bool = True) -> None:
        """Serve until Ctrl-C, or until the process is asked to end."""
        with _until_asked_to_end() as asked:
            self.start()
            if open_browser:
                self.open_browser()
            while not (asked or self._ended.wait(LOOK_S)) and self._thread is not None and self._thread.is_alive():
                pass
            self.close()

    def start(self) -> "Serving":
        """Serve in a thread, until `close`."""
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [self._socket]}, name="raygrad cockpit: server", daemon=True
        )
        self._thread.start()
        return self

    def ask_to_end(self) -> None:
        """Let `run` end, from any thread."""
        self._ended.set()

    def open_browser(self) -> None:
        """Show the page in the browser that the system prefers, as soon as that likes."""
        threading.Thread(target=webbrowser.open, args=(self.url,), daemon=True).start()

    def close(self) -> None:
        """End the server and the session's threads."""
        self._ended.set()
        self._server.should_exit = True
        if self._thread is not None:
            self._thread.join(5)
        self._session.close()
        self._socket.close()


def _listening(port: int) -> socket.socket:
    found = socket.socket()
    # On Windows the option would let two programs share the port.
    option = getattr(socket, "SO_EXCLUSIVEADDRUSE", socket.SO_REUSEADDR)
    found.setsockopt(socket.SOL_SOCKET, option, 1)
    try:
        found.bind(("127.0.0.1", port))
        found.listen(64)
    except (OSError, OverflowError) as error:
        found.close()
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"Port {port} is not free: {reason}. Leave out --port for any that is.") from error
    return found


@contextmanager
def _until_asked_to_end() -> Iterator[list[int]]:
    """Ctrl-C and a request to end are put on a list, rather than ending the process where it stands.

    (Not into an Event: a handler runs within whatever the thread does, also while it holds that Event's own lock.)
    A second one ends it as ever: whoever asks twice does not want to wait.
    """
    if threading.current_thread() is not threading.main_thread():
        yield []
        return
    requests: list[int] = []
    kinds = [signal.SIGINT, signal.SIGTERM]
    if sys.platform == "win32":
        kinds.append(signal.SIGBREAK)
    before = {kind: signal.getsignal(kind) for kind in kinds}

    def asked(number: int, frame: Any) -> None:
        requests.append(number)
        for kind, handler in before.items():
            signal.signal(kind, handler)

    for kind in kinds:
        signal.signal(kind, asked)
    try:
        yield requests
    finally:
        for kind, handler in before.items():
            signal.signal(kind, handler)
