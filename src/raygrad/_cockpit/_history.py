"""Undo and redo of where everything is."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from raygrad._cockpit._placement import Placement

if TYPE_CHECKING:
    from raygrad._cockpit._session import Session


RUN_S = 1.0
"""Steps of one kind that follow each other faster than this are undone together."""


class Step(NamedTuple):
    """What was done, and where everything was before it.

    Attributes:
        what: for people.
        before: where everything was.
        after: where it put everything.
        at: when it ended, in seconds.
    """

    what: str
    before: Placement
    after: Placement
    at: float


class History:
    """What was done, newest last, and what was undone."""

    def __init__(self, session: "Session") -> None:
        self._session = session
        self._done: list[Step] = []
        self._undone: list[Step] = []
        session.parts["history"] = self.described

    def record(self, what: str, before: Placement, joins: bool = False) -> None:
        """Something moved everything from there to where it is now.

        Args:
            what: for people.
            before: where everything was.
            joins: whether this and the last step are one, if that was the same a moment ago: of keys and wheels.
        """
        now, last = time.monotonic(), self._done[-1] if self._done else None
        if joins and last and last.what == what and last.after is before and now - last.at < RUN_S:
            before = self._done.pop().before
        self._done.append(Step(what, before, self._session.placement, now))
        self._undone.clear()
        self._session.tell_state()

    def undo(self) -> str | None:
        """Put everything where it was before the last step; its name, None if there is none."""
        return self._turn_back(self._done, self._undone)

    def redo(self) -> str | None:
        """Do again what was undone last; its name, None if there is nothing."""
        return self._turn_back(self._undone, self._done)

    def change(self, edit: Callable[[Placement], Placement]) -> None:
        """X-rays came or went: the same steps for those that are open now."""
        for steps in (self._done, self._undone):
            steps[:] = [step._replace(before=edit(step.before), after=edit(step.after)) for step in steps]

    def described(self) -> dict[str, Any]:
        """For the page: what the next undo and redo are of."""
        return {
            name: steps[-1].what if steps else None for name, steps in (("undo", self._done), ("redo", self._undone))
        }

    def _turn_back(self, steps: list[Step], others: list[Step]) -> str | None:
        if not steps:
            return None
        step = steps.pop()
        others.append(Step(step.what, self._session.placement, step.before, 0.0))
        self._session.place(step.before)
        self._session.tell_state()
        return step.what
