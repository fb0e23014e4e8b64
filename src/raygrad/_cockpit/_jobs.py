"""What takes long: one at a time, in a thread of its own, with progress, and ended when a hand moves something."""

import threading
import time
from collections.abc import Callable
from typing import Any

from raygrad._cockpit._mistakes import said_of_mistake
from raygrad._cockpit._told import Told
from raygrad._errors import InputError

Work = Callable[["Job"], Any]


class Job:
    """A piece of work that is being done.

    Attributes:
        name: for people.
        cancelled: whether it is to end soon; work looks at it.
    """

    def __init__(self, session: Told, name: str) -> None:
        self.name, self.cancelled, self.began = name, False, time.perf_counter()
        self._session = session
        self.said: dict[str, Any] = {}

    def tell(self, **progress: Any) -> bool:
        """Say how far it is: "text" and "share" (0 to 1) for the bar, and what else. Whether it is to end."""
        self.said = {**self.said, **progress}
        self._session.tell({"type": "job", "job": self.described()})
        return self.cancelled

    def described(self) -> dict[str, Any]:
        """For the page."""
        return {"name": self.name, "seconds": round(time.perf_counter() - self.began, 2), **self.said}


class Jobs:
    """At most one job."""

    def __init__(self, session: Told) -> None:
        self._session = session
        self.current: Job | None = None
        self._thread: threading.Thread | None = None
        session.parts["job"] = lambda: None if self.current is None else self.current.described()

    def start(self, name: str, work: Work) -> None:
        """Do the work in a thread.

        Raises:
            InputError: something else is being done.
        """
        with self._session.lock:
            if self.current is not None:
                raise InputError(f"{self.current.name} is still running. Cancel it, or wait for it.")
            job = self.current = Job(self._session, name)
        self._thread = threading.Thread(
            target=self._run, args=(job, work), name=f"raygrad cockpit: {name}", daemon=True
        )
        self._thread.start()
        self._session.tell_state()

    def cancel(self) -> None:
        """Ask what is being done to end."""
        if (job := self.current) is not None:
            job.cancelled = True

    def wait(self, seconds: float) -> None:
        """Until what is being done has ended, or so long."""
        if (thread := self._thread) is not None:
            thread.join(seconds)

    def _run(self, job: Job, work: Work) -> None:
        try:
            work(job)
            message = None
        except Exception as error:
            message = said_of_mistake(error)
        with self._session.lock:
            self.current = None
        if message is not None:
            self._session.tell({"type": "trouble", "about": job.name, "message": message})
        self._session.tell_state()
