"""Register, snap and search, and what to do about how that ended."""

from raygrad._cockpit._commands import command
from raygrad._cockpit._registering import Options
from raygrad._cockpit._session import Session
from raygrad._errors import InputError
from raygrad.registration import SearchRanges, ViewRanges

WIDEST_DEG, WIDEST_MM = 180.0, 500.0
KNOWN = {"view": ViewRanges, "sphere": ViewRanges.sphere}
"""Ranges by name; see `raygrad register --search`."""


@command
def prepare(session: Session) -> None:
    """What registering needs of X-rays and CT, made before anybody waits for it."""
    session.registering.prepare()


@command
def register(session: Session) -> None:
    """Register all views from where everything is."""
    session.registering.register()


@command
def snap(session: Session) -> None:
    """A few steps of that."""
    session.registering.snap()


@command
def search(session: Session, ranges: str, degrees: float = 20.0, mm: float = 50.0) -> None:
    """Search poses about where everything is: "view", "sphere", "header", "typed", or "range" for degrees and mm.

    "typed" is what `--search` said.
    """
    if ranges in KNOWN:
        session.registering.search(KNOWN[ranges]())
        return
    if ranges == "typed":
        if (typed := session.files.opened.ranges) is None:
            raise InputError("Nothing was said of how far to search: start the cockpit with --search.")
        session.registering.search(typed)
        return
    if ranges == "header":
        known = [xray.header for xray in session.xrays if xray.header is not None]
        if not known:
            raise InputError("No X-ray has a header that says how well its geometry is known. Say a range.")
        degrees = 2 * max(max(header.pose_deg) for header in known)
        mm = 2 * max(max(header.pose_mm) for header in known)
    elif ranges != "range":
        raise InputError(f"Expected ranges as view, sphere, header, typed or range. Got {ranges!r}.")
    if not 0 < degrees <= WIDEST_DEG or not 0 < mm <= WIDEST_MM:
        raise InputError(f"Expected up to {WIDEST_DEG:g} degrees and {WIDEST_MM:g} mm. Got {degrees:g} and {mm:g}.")
    session.registering.search(SearchRanges(degrees=degrees, mm=mm))


@command
def certainty(session: Session) -> None:
    """How well the X-rays determine where everything is now."""
    session.registering.look()


@command
def cancel(session: Session) -> None:
    """End what is being done; what was registered stays where it was best."""
    session.jobs.cancel()


@command
def register_by(session: Session, unknowns: list[str], response: str) -> None:
    """How to register from now on."""
    session.registering.set(Options(tuple(unknowns), response))


@command
def take_rival(session: Session, number: int) -> None:
    """Go to another pose that fits as well."""
    session.jobs.cancel()
    session.registering.take_rival(number)
