"""What of an X-ray counts."""

from raygrad._cockpit import _masks
from raygrad._cockpit._commands import command
from raygrad._cockpit._session import Session


@command
def mask(session: Session, view: int, bits: str | None) -> None:
    """Let the pixels count whose bits are 1: row by row in the view's own grid, packed, in base64; or all of them."""
    session.jobs.cancel()
    _masks.set_mask(session, view, bits)
