"""Where pages look: the slices' crosshair, the scene's surfaces, and bodies moved by the scene's handles."""

import torch

from raygrad._cockpit._client import LOCAL, Client
from raygrad._cockpit._commands import Arguments, command, newest
from raygrad._cockpit._session import Session
from raygrad._errors import InputError
from raygrad.pose import RigidTransform

Row = tuple[float, float, float, float]


def _newest_of_body(older: Arguments, newer: Arguments) -> Arguments | None:
    return newer if older.get("body") == newer.get("body") else None


@command(fold=newest)
def look(session: Session, indices: tuple[int, int, int]) -> None:
    """Put the crosshair of the slices on a voxel of the CT in RAS+ order."""
    session.slices.look(indices)


@command
def show_surface(session: Session, name: str, level: float | None = None) -> None:
    """Make the surface of skin or bone, at a level in HU if that is said."""
    session.surfaces.ask(name, level)


@command(fold=_newest_of_body)
def move_body(session: Session, body: str, body_to_world: tuple[Row, Row, Row, Row], client: Client = LOCAL) -> None:
    """Put a body there; with the CT go all others. Between `grab` and `drop`, or a step by itself.

    Axes that are locked are those of views; handles in the scene have axes of their own.
    """
    target = _rigid(body_to_world)
    with session.lock:
        before = session.placement
        if body not in before.bodies:
            raise InputError(f"Expected a body among {', '.join(before.bodies)}. Got {body!r}.")
        session.jobs.cancel()
        session.place(before.moved(before.bodies[body].inverse().compose(target), body), client=client)
        if (hand := session.hands.any_of(client)) is not None:
            hand.moved = True
        else:
            session.history.record(f"Move {body}"[:80], before)


def _rigid(rows: tuple[Row, Row, Row, Row]) -> RigidTransform:
    matrix = torch.tensor(rows, dtype=torch.float64)
    rotation = matrix[:3, :3]
    if matrix[3].tolist() != [0, 0, 0, 1] or (rotation @ rotation.T - torch.eye(3).double()).abs().max() > 1e-4:
        raise InputError(f"Expected a rigid map, four rows of four numbers. Got {matrix.tolist()}.")
    if torch.linalg.det(rotation) < 0:
        raise InputError("Expected a rotation and a translation. Got a reflection.")
    u, _, v = torch.linalg.svd(rotation)  # the page computes in single precision
    matrix[:3, :3] = u @ v
    return RigidTransform(matrix[None])
