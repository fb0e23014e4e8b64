"""The similarity over two directions, and where to go in it."""

from raygrad._cockpit._commands import command
from raygrad._cockpit._session import Session


@command
def landscape(
    session: Session, view: int, first: str, second: str, mm: float = 15.0, degrees: float = 10.0, steps: int = 21
) -> None:
    """Compute the similarity of a view about where everything is, so far to both sides along two directions."""
    session.landscapes.compute(view, (first, second), mm, degrees, steps)


@command
def go_in_landscape(session: Session, first: float, second: float) -> None:
    """Put the CT so far along both directions of the landscape, from its middle."""
    session.jobs.cancel()
    session.landscapes.go(first, second)
