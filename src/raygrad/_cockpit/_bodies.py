"""What moves by itself beside the CT: structures taken out of it, and implants."""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from raygrad._cockpit._frame import mesh_frame
from raygrad._cockpit._jobs import Job
from raygrad._cockpit._pictures import Pictures, PicturesOfCT, PicturesOfScene
from raygrad._cockpit._placement import CT, Placement
from raygrad._cockpit._surfaces import surface
from raygrad._errors import InputError, MissingLibraryError
from raygrad._memory import memory_order
from raygrad.data import Subject, Volume
from raygrad.pose import RigidTransform
from raygrad.scene import Body, Mesh, Placed, Scene

if TYPE_CHECKING:
    from raygrad._cockpit._session import Session

MOST = 24
"""Each is one more that is marched, and six more that are looked for."""
MOST_COUNTED = 1_000_000
"""Labels up to here are counted, which takes as many numbers."""
TRIANGLES = 20_000
"""Of a structure's surface in the scene."""
STILL = RigidTransform(torch.eye(4, dtype=torch.float64)[None])


@dataclass(frozen=True, eq=False)
class Other:
    """A body beside the CT.

    Attributes:
        body: as scenes have it: by its name, hanging on the CT, and where it was given.
        middle: of it, in its own frame (3,), mm.
    """

    body: Placed
    middle: Tensor

    @property
    def name(self) -> str:
        """Of the body."""
        return str(self.body.name)


class Bodies:
    """All bodies of a session.

    Args:
        session: whose.
        given: those beside the CT: `Mesh`, and `Body` with labels of the session's CT. Poses are in the CT's world.

    Attributes:
        scene: the CT and all else, each where it was given; None where the CT is all.
        free: names of those that a registration moves.

    Raises:
        InputError: something else, a name twice, a label in two bodies or in no voxel.
    """

    def __init__(self, session: "Session", given: Sequence[Placed] = ()) -> None:
        self._session = session
        self._labels = _labels_of(session.subject)
        self._others: tuple[Other, ...] = ()
        self.scene: Scene | None = None
        self.free = frozenset({CT})
        others = tuple(_checked(one, session.subject) for one in given)
        if len(others) > MOST:
            raise InputError(f"Expected at most {MOST} bodies beside the CT. Got {len(others)}.")
        self._take(others, _scene_of(session.subject, others))
        session.parts["bodies"] = self.described

    def __iter__(self) -> Any:
        return iter([one.body for one in self._others])

    def pictures(self) -> Pictures:
        """What makes images of all of them."""
        subject = self._session.subject
        return PicturesOfCT(subject) if self.scene is None else PicturesOfScene(self.scene, subject.orientation)

    def given(self) -> dict[str, RigidTransform]:
        """Where each is at first, body_to_world."""
        return {CT: STILL} | {one.name: STILL if one.body.pose is None else one.body.pose for one in self._others}

    def middle(self, name: str) -> Tensor:
        """The middle of a body in its own frame (3,): what turns turn about."""
        if name != CT:
            return self._of(name).middle
        volume = self._session.subject.volume
        last = torch.tensor(volume.spatial_shape, dtype=torch.float64) - 1
        return volume.voxel_to_world[:3, :3] @ (last / 2) + volume.voxel_to_world[:3, 3]

    # --- what may be asked for

    def take_out(self, label: int) -> None:
        """Start to let a structure move by itself; hands move it next.

        Raises:
            InputError: no voxel has that label, it moves by itself already, or too much does.
        """
        if label not in self._labels or label == 0:
            raise InputError(f"Expected the label of a structure of the CT. Got {label}.")
        if label in self._taken():
            raise InputError(f"{self._labels[label]} moves by itself already.")
        if len(self._others) >= MOST:
            raise InputError(f"Expected at most {MOST} bodies beside the CT. Put one back first.")
        name = self._new_name(self._labels[label])

        def work(_: Job) -> None:
            body = Body(self._session.subject, (label,), name=name)
            self._change((*self._others, _checked(body, self._session.subject)), name)

        self._session.jobs.start(f"Taking {name} out of the CT", work)

    def put_in(self, name: str) -> None:
        """Start to let a body be: a structure is the CT's again, an implant is gone.

        Raises:
            InputError: there is none of that name beside the CT.
        """
        one = self._of(name)

        def work(_: Job) -> None:
            self._change(tuple(other for other in self._others if other is not one), CT)

        self._session.jobs.start(f"Putting {name} back", work)

    def let_move(self, names: Iterable[str]) -> None:
        """Registrations move these, and no others.

        Raises:
            InputError: one is none, or there is none at all.
        """
        chosen = frozenset(names)
        for name in chosen - {CT}:
            self._of(name)
        if not chosen:
            raise InputError("Expected at least one body that a registration may move.")
        self.free = chosen
        self._session.tell_state()

    def place_back(self, name: str) -> None:
        """Put a body where it stood to the CT at first; a step that can be undone.

        Raises:
            InputError: there is none of that name beside the CT.
        """
        self._of(name)
        session = self._session
        before = session.placement
        session.place(before.with_body(name, session.start.relative(name).compose(before.bodies[CT])))
        session.history.record(f"{name} back"[:80], before)

    # --- what the page shows

    def described(self) -> dict[str, Any]:
        """For the page."""
        taken = self._taken()
        left = {str(label): name for label, name in self._labels.items() if label and label not in taken}
        return {"list": [self._told(name) for name in (CT, *(one.name for one in self._others))], "structures": left}

    def show(self) -> None:
        """Show the surface of each in the scene."""
        for one in self._others:
            found = _surface_of(one.body)
            if found is not None:
                self._session.show(mesh_frame(f"mesh {one.name}", *found))

    def _told(self, name: str) -> dict[str, Any]:
        told: dict[str, Any] = {"name": name, "kind": "ct", "free": name in self.free, "moved": None}
        told["middle"] = self.middle(name).tolist()
        if name != CT:
            body = self._of(name).body
            told["kind"] = "structure" if isinstance(body, Body) else "implant"
            told["of"] = str(body.material) if isinstance(body, Mesh) else ""
            told["moved"] = self._way(name)
        return told

    def _way(self, name: str) -> list[float]:
        """How far a body is in the CT from where it was: mm of its middle, and degrees."""
        start, now = self._session.start.relative(name), self._session.placement.relative(name)
        middle = self.middle(name)[None, None]
        rotation, _ = start.inverse().compose(now).convert("axis_angle", degrees=True)
        return [round((now(middle) - start(middle)).norm().item(), 3), round(rotation.norm().item(), 3)]

    # --- how

    def _of(self, name: str) -> Other:
        found = next((one for one in self._others if one.name == name), None)
        if found is None:
            known = ", ".join(one.name for one in self._others) or "none"
            raise InputError(f"Expected a body beside the CT, of: {known}. Got {name!r}.")
        return found

    def _taken(self) -> set[int]:
        bodies = [one.body for one in self._others]
        return {label for body in bodies if isinstance(body, Body) for label in body.labels}

    def _new_name(self, wanted: str) -> str:
        there = {CT, *(one.name for one in self._others)}
        names = (wanted if number == 1 else f"{wanted} {number}" for number in range(1, MOST + 3))
        return next(name for name in names if name not in there)

    def _take(self, others: tuple[Other, ...], scene: Scene | None) -> None:
        """These are the bodies; new ones are free to move."""
        new = {one.name for one in others} - {one.name for one in self._others}
        gone = {one.name for one in self._others} - {one.name for one in others}
        self.free = ((self.free - gone) | new) or frozenset({CT})
        self._others, self.scene = others, scene

    def _change(self, others: tuple[Other, ...], selected: str) -> None:
        """Other bodies are open: all that was placed before is edited to have these."""
        session = self._session
        scene = _scene_of(session.subject, others)
        names = {CT, *(one.name for one in others)}
        gone = {one.name for one in self._others} - names

        def edit(placement: Placement) -> Placement:
            # A structure is where the CT is, until it moves.
            bodies = {name: placement.bodies.get(name, placement.bodies[CT]) for name in (CT, *sorted(names - {CT}))}
            return replace(placement, bodies=bodies)

        with session.lock:
            for name in gone:
                session.forget(f"mesh {name}")
            self._take(others, scene)
            session.change_bodies(edit, selected)
        self.show()


def _checked(body: Any, subject: Subject) -> Other:
    """A body that hangs on the CT.

    Raises:
        InputError: it cannot.
    """
    if not isinstance(body, Mesh | Body):
        raise InputError(f"Expected bodies as Mesh, or as Body with labels of the CT. Got {type(body).__name__}.")
    if isinstance(body, Body) and (body.labels is None or body.subject is not subject):
        raise InputError("Expected a Body with labels of the CT that is open. Got one of another CT, or a whole one.")
    name = body.name or body.kind
    if name == CT or body.parent is not None or body.joint is not None:
        raise InputError(f"Expected a body that is not called {CT!r}, without parent and joint. Got {name!r}.")
    if isinstance(body, Body):
        hanging: Placed = Body(subject, body.labels, name=name, pose=body.pose, parent=CT)
        volume = subject.volume
        middle = torch.nonzero(body.chosen).double().mean(dim=0)
        middle = volume.voxel_to_world[:3, :3] @ middle + volume.voxel_to_world[:3, 3]
    else:
        hanging, middle = body.hung(CT, name), body.ball[0].detach().double().cpu()
    return Other(hanging, middle)


def _scene_of(subject: Subject, others: Sequence[Other]) -> Scene | None:
    if not others:
        return None
    try:
        return Scene([Body(subject, name=CT), *(one.body for one in others)])
    except ValueError as error:
        raise InputError(str(error)) from error


def _labels_of(subject: Subject) -> dict[int, str]:
    """The labels that voxels have, with their names for people."""
    if subject.mask is None:
        return {}
    named = subject.structures if isinstance(subject.structures, dict) else {}
    names = {int(label): str(name) for label, name in named.items()}
    return {
        int(label): names.get(int(label), f"label {int(label)}").replace("_", " ")
        for label in _present(subject.mask.voxels)
    }


def _present(labels: Tensor) -> list[int]:
    """The numbers that voxels have, in order: by counting, which takes a twentieth of the time of sorting."""
    ordered, _ = memory_order(labels)
    if labels.is_floating_point() or int(ordered.max()) > MOST_COUNTED:
        return [int(label) for label in ordered.unique().tolist()]
    return torch.bincount(ordered.flatten()).nonzero()[:, 0].tolist()


def _surface_of(body: Placed) -> Any:
    """Vertices in the body's frame, and triangles; None where there is nothing to make them with."""
    if isinstance(body, Mesh):
        return body.vertices.detach().cpu().numpy(), body.faces.cpu().numpy()
    assert isinstance(body, Body)
    volume, voxels = body.subject.volume, torch.nonzero(body.chosen)
    first, last = voxels.amin(0), voxels.amax(0)
    box = tuple(slice(int(a), int(b) + 1) for a, b in zip(first, last, strict=True))
    affine = volume.affine.copy()
    affine[:3, 3] += affine[:3, :3] @ first.numpy()
    with suppress(MissingLibraryError):
        return surface(Volume(body.chosen[box].to(torch.float32), affine), 0.5, TRIANGLES, outside=0.0)
    return None
