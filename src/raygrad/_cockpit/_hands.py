"""Hands that hold the anatomy: one a pointer of a page, each with where it began.

Two hands may pull at once, on two pages or with two fingers, while keys and wheels move things too. So a hand moves
what it holds from where it began; if something else moved it meanwhile, from there on.
"""

from dataclasses import dataclass

from raygrad._cockpit._client import Client
from raygrad._cockpit._moves import Pixel
from raygrad._cockpit._placement import Placement


@dataclass(eq=False)
class Hand:
    """What one pointer holds.

    Attributes:
        before: where everything was when it took hold.
        moved: whether it moved something.
    """

    before: Placement
    moved: bool = False
    _base: Placement | None = None
    _begin: Pixel = (0.0, 0.0)
    _last: Placement | None = None
    _end: Pixel = (0.0, 0.0)
    _way: tuple[object, ...] = ()

    def base(self, now: Placement, start: Pixel, way: tuple[object, ...]) -> tuple[Placement, Pixel]:
        """From where this hand's motion goes, and where the pointer was then.

        Args:
            now: where everything is.
            start: where the page says that the drag began.
            way: what else decides the motion: the view, and how it is moved.
        """
        if self._base is None or self._last is not now or self._way != (start, *way):
            self._begin = self._end if self._last is not None and self._way[0] == start else start
            self._base, self._way = now, (start, *way)
        return self._base, self._begin

    def put(self, placement: Placement, end: Pixel) -> None:
        """It put everything there, with the pointer at that pixel."""
        self._last, self._end, self.moved = placement, end, True


class Hands:
    """All hands that hold something."""

    def __init__(self) -> None:
        self._held: dict[tuple[Client, int], Hand] = {}

    def take(self, client: Client, pointer: int, now: Placement) -> Hand:
        """A hand that takes hold now."""
        hand = self._held[client, pointer] = Hand(now)
        return hand

    def of(self, client: Client, pointer: int, now: Placement) -> Hand:
        """The hand of a pointer, which takes hold now if it holds nothing."""
        return self._held.get((client, pointer)) or self.take(client, pointer, now)

    def any_of(self, client: Client) -> Hand | None:
        """A hand of this page: the one that took hold first."""
        return next((hand for (whose, _), hand in self._held.items() if whose is client), None)

    def let_go(self, client: Client, pointer: int | None = None) -> Hand | None:
        """The hand that held, if it moved something: of a pointer, or the first one of a page, which lets go of all."""
        which = [key for key in self._held if key[0] is client and pointer in (None, key[1])]
        hands = [self._held.pop(key) for key in which]
        return next((hand for hand in hands if hand.moved), None)
