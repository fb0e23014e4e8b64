"""The geometry of a view: what is used, what its header says, and other numbers for it."""

from typing import Any

from raygrad._cockpit._commands import command
from raygrad._cockpit._geometry_table import described_geometry, set_geometry
from raygrad._cockpit._session import Session


@command(slow=True)
def geometry_table(session: Session, view: int) -> dict[str, Any]:
    """With what a view was taken, and where each number is from."""
    return described_geometry(session, view)


@command
def change_geometry(session: Session, view: int, values: dict) -> None:  # type: ignore[type-arg]
    """Take other numbers for a view."""
    session.jobs.cancel()
    set_geometry(session, view, values)
