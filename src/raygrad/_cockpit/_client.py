"""One page that is open, as commands see it."""

from dataclasses import dataclass


@dataclass(eq=False)
class Client:
    """Who asks. Two tabs are two of them, and a page whose connection was lost is a new one when it comes back.

    Attributes:
        number: tells it apart; the page is told its own.
        sequence: the page's own number of what it asked for last that is done or being done, None if it has none.
    """

    number: int = 0
    sequence: int | None = None


LOCAL = Client()
"""Who calls commands from Python."""
