"""What a page asks of a sweep."""

from typing import Any

from raygrad._cockpit import _sweep_reconstructing as reconstructing
from raygrad._cockpit._commands import command, newest
from raygrad._cockpit._sweep import SweepSession
from raygrad._cockpit._sweep_methods import make_method


def _same_plane(older: dict[str, Any], newer: dict[str, Any]) -> dict[str, Any] | None:
    return newer if older["plane"] == newer["plane"] else None


@command(fold=newest)
def sweep_choose(session: SweepSession, view: int) -> None:
    """Show this view large."""
    session.choose(view)


@command
def sweep_use(session: SweepSession, views: list[int], use: str) -> None:
    """What these views are for."""
    session.use(views, use)


@command
def sweep_hold_out(session: SweepSession, every: int) -> None:
    """Hold every so many-th view out; 0 for none."""
    session.hold_out(every)


@command(slow=True)
def sweep_grid(
    session: SweepSession,
    shape: tuple[int, int, int] | None = None,
    spacing: tuple[float, float, float] | None = None,
    centre: tuple[float, float, float] | None = None,
) -> None:
    """Where the voxels of the next reconstruction lie."""
    session.lay_grid(shape, spacing, centre)


@command(slow=True)
def sweep_needs(session: SweepSession, method: str, renderer: str = "joseph") -> str:
    """What a reconstruction will take."""
    return reconstructing.needs(session, make_method(method, {}), renderer)


@command
def sweep_start(
    session: SweepSession, method: str, options: dict, iterations: int | None = None, renderer: str = "joseph"
) -> None:
    """Reconstruct from the views in use."""
    reconstructing.start(session, make_method(method, options), iterations, renderer)


@command
def sweep_cancel(session: SweepSession) -> None:
    """End what is being reconstructed."""
    session.jobs.cancel()


@command(fold=_same_plane)
def sweep_cut(session: SweepSession, plane: str, index: int) -> None:
    """Show this slice."""
    session.cut(plane, index)


@command(slow=True)
def sweep_write(session: SweepSession) -> str:
    """Write the volume to where the command line said."""
    return session.write()
