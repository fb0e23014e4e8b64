"""The thread that renders DRRs: always where everything is now, coarse while it moves and fine when it rests."""

import threading
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from raygrad._cockpit._client import Client
from raygrad._cockpit._frame import grey_frame
from raygrad._cockpit._mistakes import said_of_mistake

if TYPE_CHECKING:
    from raygrad._cockpit._session import Session

COARSE, FINE = 200, 512
"""The largest side of images while something moves, and when it rests."""
REST_S = 0.15
OTHERS_S, OTHERS_TURNS = 0.06, 2.0
"""While one view is dragged another one has its turn so long after the last such turn, and so many times the time that
it took: so the others follow, but slower, and most of the time is the dragged one's."""


class Turn(NamedTuple):
    """What is drawn next.

    Attributes:
        view: of which.
        number: of the last request that it will show.
        fine: whether everything rests.
        answers: the page's request that it shows, for the header.
    """

    view: int
    number: int
    fine: bool
    answers: dict[str, Any] | None


class Drawing(threading.Thread):
    """Renders what was asked for last. What was asked for before that is forgotten, never queued."""

    def __init__(self, session: "Session") -> None:
        super().__init__(name="raygrad cockpit: drawing", daemon=True)
        self._session = session
        self._changed = threading.Condition()
        self._wanted, self._at = 1, 0.0
        self._first = 0
        self._answers: dict[str, Any] | None = None
        self._coarse = [0] * len(session.xrays)
        self._fine = [0] * len(session.xrays)
        self._others_wait_until = 0.0
        self._compared: dict[int, dict[str, Any]] = {}
        self._ended = False

    def ask(self, view: int | None = None, client: Client | None = None) -> None:
        """Everything may have moved; begin with this view.

        Args:
            view: by default the one before.
            client: of whose request the images say that they show it.
        """
        with self._changed:
            now = time.monotonic()
            if min(self._coarse, default=0) == self._wanted:  # after a pause the dragged view is the first
                self._others_wait_until = now + OTHERS_S
            self._wanted, self._at = self._wanted + 1, now
            self._first = self._first if view is None else view
            if client is not None and client.sequence is not None:
                self._answers = {"client": client.number, "sequence": client.sequence}
            self._changed.notify()

    def recount(self) -> None:
        """There are other views."""
        with self._changed:
            self._coarse = [0] * len(self._session.xrays)
            self._fine = [0] * len(self._session.xrays)
            self._first = 0
            self._compared.clear()

    def end(self) -> None:
        """Stop after the image that is being made."""
        with self._changed:
            self._ended = True
            self._changed.notify()

    def run(self) -> None:
        """Render until the end."""
        while (turn := self._next()) is not None:
            began = time.monotonic()
            try:
                self._draw(turn)
            except Exception as error:  # without this thread the page would stand still
                if turn.view >= self._session.n_views:
                    continue  # it was closed meanwhile
                self._session.tell({"type": "trouble", "about": "Drawing", "message": said_of_mistake(error)})
            with self._changed:
                if turn.view < len(self._coarse):
                    (self._fine if turn.fine else self._coarse)[turn.view] = turn.number
                if turn.view != self._first:
                    now = time.monotonic()
                    self._others_wait_until = now + max(OTHERS_S, OTHERS_TURNS * (now - began))

    def _next(self) -> Turn | None:
        """What to draw next, once there is something; None at the end."""
        with self._changed:
            while not self._ended:
                others = [view for view in range(len(self._coarse)) if view != self._first]
                views = [self._first, *others] if self._coarse else []
                behind = [view for view in views if self._coarse[view] < self._wanted]
                if behind:
                    return Turn(self._in_turn(behind), self._wanted, False, self._answers)
                rough = [view for view in views if self._fine[view] < self._wanted]
                rest = REST_S - (time.monotonic() - self._at)
                if rough and rest <= 0:
                    return Turn(rough[0], self._wanted, True, self._answers)
                self._changed.wait(rest if rough else None)
            return None

    def _in_turn(self, behind: list[int]) -> int:
        """Of the views that do not show where everything is: the dragged one, but for a turn of others now and then."""
        others = [view for view in behind if view != self._first]
        if others and (behind[0] != self._first or time.monotonic() > self._others_wait_until):
            return min(others, key=lambda view: self._coarse[view])
        return behind[0]

    def _draw(self, turn: Turn) -> None:
        session, began = self._session, time.perf_counter()
        if turn.fine and turn.number != max(self._fine):  # the first one of this rest
            session.rests()
        image = session.pictures.image(session.placement, turn.view, FINE if turn.fine else COARSE)
        if not turn.fine:  # so that the number does not change because the image has more pixels
            self._compared[turn.view] = session.compared(turn.view, image)
        milliseconds = round(1000 * (time.perf_counter() - began), 2)
        header = {"view": turn.view, "fine": turn.fine, "ms": milliseconds, "answers": turn.answers}
        header |= self._compared.get(turn.view, {})
        session.show(grey_frame(f"drr {turn.view}", image[0, 0].numpy(), **header))
