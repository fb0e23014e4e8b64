"""A hand moves the selected body: while a pointer drags, and by steps of keys and wheels."""

import math

from raygrad._cockpit import _moves as moves
from raygrad._cockpit._client import LOCAL, Client
from raygrad._cockpit._commands import Arguments, command
from raygrad._cockpit._session import Session
from raygrad._errors import InputError
from raygrad.pose import RigidTransform

DRAGS = {"shift": moves.shift, "turn": moves.turn, "roll": moves.roll}


def _newest_of_drag(older: Arguments, newer: Arguments) -> Arguments | None:
    same = all(older.get(name) == newer.get(name) for name in ("view", "how", "start", "pointer"))
    return newer if same else None


def _sum_of_steps(older: Arguments, newer: Arguments) -> Arguments | None:
    same = all(older[name] == newer[name] for name in ("view", "axis"))
    return {**newer, "amount": older["amount"] + newer["amount"]} if same else None


def _product_of_depths(older: Arguments, newer: Arguments) -> Arguments | None:
    return {**newer, "factor": older["factor"] * newer["factor"]} if older["view"] == newer["view"] else None


@command
def grab(session: Session, pointer: int = 0, client: Client = LOCAL) -> None:
    """A drag begins, of one of the page's pointers: what follows is one step of undo. What is being registered ends."""
    session.jobs.cancel()
    session.hands.take(client, pointer, session.placement)


@command(fold=_newest_of_drag)
def drag(
    session: Session,
    view: int,
    how: str,
    start: tuple[float, float],
    end: tuple[float, float],
    pointer: int = 0,
    client: Client = LOCAL,
) -> None:
    """The pointer went from one pixel to another since `grab`, both in (u, v) of the view."""
    if how not in DRAGS:
        raise InputError(f"Expected a drag among {', '.join(DRAGS)}. Got {how!r}.")
    with session.lock:
        hand = session.hands.of(client, pointer, session.placement)
        base, begin = hand.base(session.placement, start, (view, how))
        camera = base.camera_to_world(view, session.subject.orientation)
        centre = session.centre(placement=base)
        motion = DRAGS[how](camera, base.intrinsics[view], centre, begin, end)
        placed = base.moved(moves.unlocked(camera, centre, _finite(motion), session.locked), session.selected, view)
        session.place(placed, view, client)
        hand.put(placed, end)


@command
def drop(session: Session, what: str = "Drag", pointer: int = 0, client: Client = LOCAL) -> None:
    """The drag ends."""
    if (hand := session.hands.let_go(client, pointer)) is not None:
        session.history.record(what[:80], hand.before)


@command
def put_back(session: Session, pointer: int = 0, client: Client = LOCAL) -> None:
    """The drag ends where it began, and is no step of undo."""
    with session.lock:
        if (hand := session.hands.let_go(client, pointer)) is not None:
            session.place(hand.before, client=client)


@command(fold=_product_of_depths)
def deepen(session: Session, view: int, factor: float, client: Client = LOCAL) -> None:
    """To so many times the distance from the source. Between `grab` and `drop`, or a step by itself."""
    with session.lock:
        camera = session.placement.camera_to_world(view, session.subject.orientation)
        motion = moves.deepen(camera, session.placement.intrinsics[view], session.centre(), factor)
        _by_hand(session, view, motion, "Depth", client)


@command(fold=_sum_of_steps)
def step(session: Session, view: int, axis: str, amount: float, client: Client = LOCAL) -> None:
    """So many mm along an axis of the view, or degrees about it."""
    with session.lock:
        camera = session.placement.camera_to_world(view, session.subject.orientation)
        motion = moves.step(camera, session.placement.intrinsics[view], session.centre(), axis, amount)
        _by_hand(session, view, motion, axis.capitalize(), client)


@command
def link(session: Session, view: int, linked: bool) -> None:
    """Whether it is known how a view stands to the others. Where it is not, its camera moves instead of the CT."""
    before = session.placement
    if linked != (view not in before.unlinked):
        session.place(before.linking(view, linked))
        session.history.record(f"{'Link' if linked else 'Unlink'} {session.xrays[view].name}", before)


@command
def lock(session: Session, axes: list[str]) -> None:
    """Hands move along the other axes of a view only."""
    if unknown := set(axes) - set(moves.AXES):
        raise InputError(f"Expected axes among {', '.join(moves.AXES)}. Got {', '.join(sorted(unknown))}.")
    session.locked = frozenset(axes)
    session.tell_state()


@command
def select(session: Session, body: str) -> None:
    """Hands move this body from now on."""
    if body not in session.placement.bodies:
        raise InputError(f"Expected a body among {', '.join(session.placement.bodies)}. Got {body!r}.")
    session.selected = body
    session.tell_state()


def _by_hand(session: Session, view: int, motion: RigidTransform, what: str, client: Client) -> None:
    session.jobs.cancel()
    before = session.placement
    camera = before.camera_to_world(view, session.subject.orientation)
    allowed = moves.unlocked(camera, session.centre(), _finite(motion), session.locked)
    session.place(before.moved(allowed, session.selected, view), view, client)
    if (hand := session.hands.any_of(client)) is not None:
        hand.moved = True
    else:
        session.history.record(what, before, joins=True)


def _finite(motion: RigidTransform) -> RigidTransform:
    if not math.isfinite(motion.matrix.sum().item()):
        raise InputError("Expected a motion of finite length.")
    return motion
