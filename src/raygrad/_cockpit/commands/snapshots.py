"""Snapshots: taken, compared, gone back to."""

from typing import Any

from raygrad._cockpit._commands import command
from raygrad._cockpit._session import Session


@command(slow=True)
def take_snapshot(session: Session, name: str = "") -> int:
    """Keep where everything is; the snapshot's number."""
    return session.snapshots.take(name).number


@command
def restore_snapshot(session: Session, number: int) -> None:
    """Put everything where it was."""
    session.jobs.cancel()
    session.snapshots.restore(number)


@command
def rename_snapshot(session: Session, number: int, name: str) -> None:
    """Call it otherwise."""
    session.snapshots.rename(number, name)


@command
def delete_snapshot(session: Session, number: int) -> None:
    """Forget it."""
    session.snapshots.delete(number)


@command(slow=True)
def compare_snapshots(session: Session, first: int | None = None, second: int | None = None) -> dict[str, Any]:
    """How far apart two are, None for now; their images are sent, too."""
    return session.snapshots.compare(first, second)
