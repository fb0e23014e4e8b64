"""Undo, redo, and where it all began."""

from raygrad._cockpit._commands import command
from raygrad._cockpit._session import Session

ENDING_S = 1.0
"""How long what is being done may take to end before a step is undone."""


@command
def undo(session: Session) -> str | None:
    """Put everything where it was before the last step. What is being registered ends, and is that step."""
    session.jobs.cancel()
    session.jobs.wait(ENDING_S)
    return session.history.undo()


@command
def redo(session: Session) -> str | None:
    """Do the step again that was undone last."""
    session.jobs.cancel()
    return session.history.redo()


@command
def reset(session: Session) -> None:
    """Put everything where it was when it was opened."""
    session.jobs.cancel()
    before = session.placement
    session.place(session.start)
    session.history.record("Back to the start", before)
