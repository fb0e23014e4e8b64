"""Where everything was at moments that a person wants to come back to, and how far apart two of them are."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch

from raygrad._cockpit._frame import grey_frame
from raygrad._cockpit._placement import CT, Placement
from raygrad._errors import InputError
from raygrad.metrics import mean_target_registration_error

if TYPE_CHECKING:
    from raygrad._cockpit._session import Session

THUMBNAIL, SIDE = 96, 400
"""The largest side of a picture in the list, and beside another one."""
MOST = 100


@dataclass(frozen=True, eq=False)
class Snapshot:
    """A placement with a name.

    Attributes:
        number: by which the page calls it.
        name: for people.
        placement: where everything was.
        similarity: of each view's DRR to its X-ray.
    """

    number: int
    name: str
    placement: Placement
    similarity: tuple[float | None, ...]


class Snapshots:
    """All of a session, oldest first."""

    def __init__(self, session: "Session") -> None:
        self._session = session
        self._all: dict[int, Snapshot] = {}
        self._next = 1
        session.parts["snapshots"] = self.described

    def __iter__(self) -> Any:
        return iter(tuple(self._all.values()))

    def take(self, name: str = "", placement: Placement | None = None) -> Snapshot:
        """Keep where everything is.

        Raises:
            InputError: there are too many already.
        """
        if len(self._all) >= MOST:
            raise InputError(f"Expected at most {MOST} snapshots. Delete some first.")
        session, number = self._session, self._next
        placement = placement or session.placement
        similarity = []
        for view in range(session.n_views):
            image = session.pictures.image(placement, view, 200)
            similarity.append(session.compared(view, image)["similarity"])
        self._next += 1
        made = Snapshot(number, name.strip() or f"Snapshot {number}", placement, tuple(similarity))
        self._all[number] = made
        if session.n_views:
            image = session.pictures.image(placement, 0, THUMBNAIL)
            session.show(grey_frame(f"snapshot {number}", image[0, 0].numpy()))
        session.tell_state()
        return made

    def get(self, number: int) -> Snapshot:
        """The one of that number.

        Raises:
            InputError: there is none.
        """
        if number not in self._all:
            raise InputError("That snapshot is not there any more.")
        return self._all[number]

    def restore(self, number: int) -> None:
        """Put everything where it was; a step that can be undone."""
        found, session = self.get(number), self._session
        before = session.placement
        session.place(found.placement)
        session.history.record(f"Back to {found.name}", before)

    def rename(self, number: int, name: str) -> None:
        """Call it otherwise."""
        if not name.strip():
            raise InputError("Expected a name. Got nothing.")
        self._all[number] = replace(self.get(number), name=name.strip()[:80])
        self._session.tell_state()

    def delete(self, number: int) -> None:
        """Forget it."""
        self.get(number)
        del self._all[number]
        self._session.forget(f"snapshot {number}")
        self._session.tell_state()

    def change(self, edit: Callable[[Placement], Placement]) -> None:
        """X-rays came or went: the same snapshots of those that are open now."""
        for number, one in list(self._all.items()):
            placement = edit(one.placement)
            self._all[number] = replace(one, placement=placement, similarity=())

    def compare(self, first: int | None, second: int | None) -> dict[str, Any]:
        """How far apart two are, None for where everything is now; and images of both for the page.

        Returns:
            "views": of each, the mTRE in mm over a grid in the CT's box, as its camera sees it; "mm" and "degrees": how
            far the CT's middle moved in the world, and how much the CT turned.
        """
        session = self._session
        pair = [session.placement if number is None else self.get(number).placement for number in (first, second)]
        for side, placement in zip("ab", pair, strict=True):
            for view in range(session.n_views):
                image = session.pictures.image(placement, view, SIDE)
                frame = grey_frame(f"compared {side} {view}", image[0, 0].numpy(), view=view)
                session.show(replace(frame, kept=False))
        one, other = pair
        points = box_points(session)
        distances = [
            mean_target_registration_error(one.pose(view), other.pose(view), points).item()
            for view in range(session.n_views)
        ]
        turned = one.bodies[CT].inverse().compose(other.bodies[CT])
        rotation, _ = turned.convert("axis_angle", degrees=True)
        moved = session.centre(CT, one) - session.centre(CT, other)
        return {
            "mtre": [round(distance, 4) for distance in distances],
            "mm": round(moved.norm().item(), 4),
            "degrees": round(rotation.norm().item(), 4),
        }

    def described(self) -> list[dict[str, Any]]:
        """For the page."""
        return [
            {"number": one.number, "name": one.name, "similarity": list(one.similarity)} for one in self._all.values()
        ]


def box_points(session: "Session") -> torch.Tensor:
    """27 points of the CT, (1, 27, 3) in its own mm: the middle, the corners and what is between, half-way out."""
    shape = torch.tensor(session.subject.volume.spatial_shape, dtype=torch.float64)
    steps = torch.cartesian_prod(*[torch.tensor([0.25, 0.5, 0.75], dtype=torch.float64)] * 3)
    voxels = torch.cat([steps * (shape - 1), steps.new_ones(len(steps), 1)], dim=1)
    return (voxels @ session.subject.volume.voxel_to_world.T.to(voxels))[None, :, :3]
