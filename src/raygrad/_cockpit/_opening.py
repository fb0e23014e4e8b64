"""A session that is being read while the page is already there and says so."""

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from raygrad._cockpit._session import Session

CLOSING_S = 20.0
"""How long reading may take to end."""
Say = Callable[[str], None]


class Opening:
    """What a server shows until there is a session.

    Attributes:
        page: see `Told`.
        text: what is being done, for people.
        session: once it is there.
        problem: why there will be none.
    """

    page = ""

    def __init__(self, text: str = "Opening ...") -> None:
        self.text = text
        self.session: Session | None = None
        self.problem: Exception | None = None
        self._there = threading.Event()
        self._closed, self._begun = False, False

    def begin(self, read: Callable[[Say], "Session"], failed: Callable[[], None]) -> None:
        """Read it in a thread.

        Args:
            read: makes the session; is given what says how far it is.
            failed: called where it could not be made; `problem` says why.
        """

        def run() -> None:
            try:
                session = read(self._say)
                if self._closed:
                    session.close()
                self.session = session
            except Exception as error:
                self.problem = error
                failed()
            self._there.set()

        self._begun = True
        threading.Thread(target=run, name="raygrad cockpit: opening", daemon=True).start()

    def wait(self, seconds: float | None = None) -> "Session | None":
        """The session, if it is there by then."""
        self._there.wait(seconds)
        return self.session

    def close(self) -> None:
        """End it."""
        self._closed = True
        if self._begun:
            self._there.wait(CLOSING_S)  # a thread that computes must not be cut off by the process's end
        if self.session is not None:
            self.session.close()

    def _say(self, text: str) -> None:
        self.text = text
