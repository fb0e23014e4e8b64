"""What moves by itself beside the CT."""

from raygrad._cockpit._commands import command
from raygrad._cockpit._session import Session


@command
def take_out(session: Session, label: int) -> None:
    """A structure moves by itself from now on, and hands move it next."""
    session.bodies.take_out(label)


@command
def put_in(session: Session, body: str) -> None:
    """A structure is the CT's again; an implant is gone."""
    session.bodies.put_in(body)


@command
def let_move(session: Session, bodies: list[str]) -> None:
    """Registrations move these bodies from now on, and no others."""
    session.bodies.let_move(bodies)


@command
def place_back(session: Session, body: str) -> None:
    """A body stands to the CT as it did at first."""
    session.jobs.cancel()
    session.bodies.place_back(body)
