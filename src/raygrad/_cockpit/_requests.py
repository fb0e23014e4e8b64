"""What one page asked for and is not done yet.

What hands do is done in order, for all pages in one thread, so that no two of them change something at once. What is
slow is done beside it.
"""

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

from raygrad._cockpit._client import Client
from raygrad._cockpit._commands import COMMANDS, call
from raygrad._cockpit._mistakes import said_of_mistake
from raygrad._cockpit._told import Message, Told

MOST = 200
"""So many requests wait at most before no more are read from the page."""
SLOW_AT_ONCE = 4
LONGEST = 600
"""Letters of a mistake that are sent back: it may repeat what came."""


class Request(NamedTuple):
    """One message of a page.

    Attributes:
        name: of the command.
        arguments: as they came.
        identity: what the reply has to name, None if none is wanted.
        sequence: the page's own number of it.
    """

    name: str
    arguments: Any
    identity: int | None = None
    sequence: int | None = None


class Lanes:
    """The threads of a server that do what pages ask for."""

    def __init__(self) -> None:
        self._hands = ThreadPoolExecutor(1, "raygrad cockpit: hands")
        self._slow = ThreadPoolExecutor(SLOW_AT_ONCE, "raygrad cockpit: commands")

    def submit(self, slow: bool, work: Callable[[], None]) -> None:
        """Do this after what else is in that lane; nothing if the server ended."""
        try:
            (self._slow if slow else self._hands).submit(work)
        except RuntimeError:
            pass

    def close(self) -> None:
        """Begin nothing more."""
        for lane in (self._hands, self._slow):
            lane.shutdown(wait=False, cancel_futures=True)


class Requests:
    """Those of one page.

    Args:
        session: what is changed.
        client: who asks.
        lanes: where it is done.
        reply: takes replies and mistakes, from any thread.
        fewer: called from any thread when one has been done.
    """

    def __init__(
        self, session: Told, client: Client, lanes: Lanes, reply: Callable[[Message], None], fewer: Callable[[], None]
    ) -> None:
        self._session, self._client, self._lanes, self._reply, self._fewer = session, client, lanes, reply, fewer
        self._lock = threading.Lock()
        self._waiting: dict[bool, deque[Request]] = {False: deque(), True: deque()}
        self._busy = {False: False, True: False}
        self._ended = False

    def __len__(self) -> int:
        return sum(map(len, self._waiting.values()))

    def add(self, request: Request) -> None:
        """Do this after what waits, or together with what was asked for last if that comes to the same."""
        known = COMMANDS.get(request.name)
        slow = known is not None and known.slow
        with self._lock:
            waiting = self._waiting[slow]
            folded = _folded(waiting[-1], request) if waiting else None
            if folded is None:
                waiting.append(request)
            else:
                waiting[-1] = folded
            idle = not self._busy[slow]
            self._busy[slow] = True
        if idle:
            self._lanes.submit(slow, lambda: self._next(slow))

    def end(self) -> None:
        """The page went: what waits is not done, and its hand lets go."""
        with self._lock:
            self._ended = True
            for waiting in self._waiting.values():
                waiting.clear()
        self._lanes.submit(False, lambda: self._session.left(self._client))

    def _next(self, slow: bool) -> None:
        """Do one, then let other pages have their turn."""
        with self._lock:
            waiting = self._waiting[slow]
            if not waiting or self._ended:
                self._busy[slow] = False
                return
            request = waiting.popleft()
        self._do(request, slow)
        self._fewer()
        self._lanes.submit(slow, lambda: self._next(slow))

    def _do(self, request: Request, slow: bool) -> None:
        if not slow and request.sequence is not None:
            self._client.sequence = request.sequence
        try:
            result = call(self._session, request.name, request.arguments, self._client)
            if request.identity is not None:
                self._reply({"type": "reply", "id": request.identity, "result": result})
        except Exception as error:  # whatever it is, the page is told and the server goes on
            message = said_of_mistake(error)
            message = message if len(message) <= LONGEST else message[:LONGEST] + "…"
            if request.identity is not None:
                self._reply({"type": "reply", "id": request.identity, "error": message})
            else:
                self._reply({"type": "trouble", "about": request.name[:80], "message": message})


def _folded(older: Request, newer: Request) -> Request | None:
    known = COMMANDS.get(newer.name)
    if older.name != newer.name or known is None or known.fold is None:
        return None
    if older.identity is not None or newer.identity is not None:
        return None
    if not isinstance(older.arguments, dict) or not isinstance(newer.arguments, dict):
        return None
    try:
        arguments = known.fold(older.arguments, newer.arguments)
    except (TypeError, ValueError, KeyError, OverflowError):  # not checked yet
        return None
    return None if arguments is None else newer._replace(arguments=arguments)
