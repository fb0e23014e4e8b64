"""What is open in a cockpit: one CT, its X-rays, where everything is; and who is told when that changes.

All of it is the server's: pages show it and send commands, so two of them see one session, and one that was closed
comes back to it.
"""

import atexit
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from raygrad._cockpit._bodies import Bodies
from raygrad._cockpit._client import Client
from raygrad._cockpit._downloads import Downloads
from raygrad._cockpit._drawing import Drawing
from raygrad._cockpit._files import Files, Opened
from raygrad._cockpit._frame import grey_frame
from raygrad._cockpit._hands import Hands
from raygrad._cockpit._history import History
from raygrad._cockpit._jobs import Jobs
from raygrad._cockpit._landscapes import Landscapes
from raygrad._cockpit._likeness import Likeness
from raygrad._cockpit._masks import show_mask
from raygrad._cockpit._placement import CT, Placement
from raygrad._cockpit._registering import Registering
from raygrad._cockpit._saved import Saving
from raygrad._cockpit._slices import Slices
from raygrad._cockpit._snapshots import Snapshots
from raygrad._cockpit._surfaces import Surfaces
from raygrad._cockpit._told import Told
from raygrad._cockpit._xray import OpenXRay
from raygrad.data import Subject
from raygrad.formats import View
from raygrad.scene import Placed
from raygrad.types import Images

CLOSING_S = 10.0
"""How long what is being done may take to end with the session; what takes longer is left to the process's end."""
PICTURE = 1024
"""The largest side of an X-ray on the page."""


class Session(Told):
    """One CT, its X-rays and where they are.

    Args:
        subject: the CT, of the X-rays' orientation.
        xrays: those that are open at first.
        name: of the CT, for people.
        opened: what was named to be opened and written.
        bodies: what moves by itself beside the CT, see `Bodies`.

    Attributes:
        bodies: the CT and what moves by itself beside it.
        placement: where everything is; `place` changes it.
        history: what undo and redo go through.
        jobs: what takes long: one at a time.
        registering: what the machine finds where a person says so.
        landscapes: the similarity about where everything is.
        drawing: the thread that renders.
        pictures: how an image of everything is made.
        locked: axes of `raygrad._cockpit._moves.AXES` that hands do not move along.
        selected: the body that hands move.
        files: which are open, and which may be opened and written.
        downloads: files that were made for pages.
        snapshots: placements to come back to.
        saving: keeps the session in a file.
        hands: that hold something now, of pages' pointers.
        slices: through the CT, and the crosshair in them.
        surfaces: of skin and bone.
    """

    def __init__(
        self,
        subject: Subject,
        xrays: Sequence[OpenXRay],
        name: str = "CT",
        opened: Opened | None = None,
        bodies: Sequence[Placed] = (),
    ) -> None:
        super().__init__()
        self.subject, self.xrays, self.name = subject, tuple(xrays), name
        self.bodies = Bodies(self, bodies)
        self.placement = Placement(
            tuple(xray.view.pose.to(torch.float64) for xray in xrays),
            tuple(xray.view.intrinsics for xray in xrays),
            {name: pose.to(torch.float64) for name, pose in self.bodies.given().items()},
        )
        self.start = self.placement
        self.locked: frozenset[str] = frozenset()
        self.selected = CT
        self.hands = Hands()
        self.history = History(self)
        self.jobs = Jobs(self)
        self.registering = Registering(self)
        self.landscapes = Landscapes(self)
        self._likeness = Likeness(self)
        self.pictures = self.bodies.pictures()
        self.files = Files(self, opened or Opened())
        self.downloads = Downloads()
        self.snapshots = Snapshots(self)
        self.saving = Saving(self)
        self.drawing = Drawing(self)
        self._show_xrays()
        self.slices = Slices(self)
        self.surfaces = Surfaces(self)
        self.bodies.show()
        self.drawing.start()
        atexit.register(self.close)  # threads that still render when Python ends take the process down

    # --- what changes

    def place(self, placement: Placement, view: int | None = None, client: Client | None = None) -> None:
        """Put everything there, tell the pages and draw it. `history.record` makes it undoable.

        Args:
            placement: where.
            view: is drawn first.
            client: whose hand it was; images say which of its requests they show.
        """
        with self.lock:
            self.placement = placement
            self.tell({"type": "placement", **self.described_placement()})
        self.drawing.ask(view, client)

    def change_views(self, xrays: Sequence[OpenXRay], edit: Callable[[Placement], Placement]) -> None:
        """Other X-rays are open: everything that was placed before is edited to be of these, what undo goes to too."""
        self.jobs.cancel()
        with self.lock:
            for number in range(max(len(xrays), self.n_views)):
                for kind in ("xray", "drr", "mask"):
                    self.forget(f"{kind} {number}")
            self._edit(edit)
            self.xrays, self.hands = tuple(xrays), Hands()
            self.drawing.recount()
            self.tell_state()
            self._show_xrays()
        self.drawing.ask()

    def change_bodies(self, edit: Callable[[Placement], Placement], selected: str) -> None:
        """Other bodies move by themselves: everything that was placed before is edited to have these."""
        with self.lock:
            self._edit(edit)
            self.pictures, self.selected = self.bodies.pictures(), selected
            self.hands = Hands()
            self.tell_state()
        self.drawing.ask()

    def _edit(self, edit: Callable[[Placement], Placement]) -> None:
        self.history.change(edit)
        self.snapshots.change(edit)
        self.start, self.placement = edit(self.start), edit(self.placement)

    def rests(self) -> None:
        """Nothing moved for a moment: what is told at leisure is told now."""
        self.slices.tell_outlines()

    def exchange(self, view: int, xray: OpenXRay) -> None:
        """The same X-ray with something else about it: another mask."""
        with self.lock:
            self.xrays = tuple(xray if number == view else old for number, old in enumerate(self.xrays))
        self.tell_state()
        self.drawing.ask(view)

    def centre(self, body: str | None = None, placement: Placement | None = None) -> Tensor:
        """The middle of a body in the world (3,), by default of the selected one now: what turns turn about."""
        name, placement = body or self.selected, placement or self.placement
        return placement.bodies[name](self.bodies.middle(name)[None, None])[0, 0]

    def compared(self, view: int, image: Images) -> dict[str, Any]:
        """How much a DRR is like the X-ray of the view, for the header of its frame."""
        return self._likeness.of(view, image)

    def _show_xrays(self) -> None:
        for number, xray in enumerate(self.xrays):
            self.show(grey_frame(f"xray {number}", _picture(xray.image)[0, 0].numpy(), view=number))
            show_mask(self, number)  # also where all counts: the view may have been another X-ray's

    @property
    def n_views(self) -> int:
        """As many as there are X-rays."""
        return len(self.xrays)

    def views(self) -> list[View]:
        """Where every X-ray was taken from as everything stands now, which `DRR` and pose files take."""
        placement, orientation = self.placement, self.subject.orientation
        return [
            View(placement.pose(number), intrinsics.detached(), orientation, xray.view.xray)
            for number, (xray, intrinsics) in enumerate(zip(self.xrays, placement.intrinsics, strict=True))
        ]

    def left(self, client: Client) -> None:
        """A page went: what its hands held stays where it is, as one step."""
        if (hand := self.hands.let_go(client)) is not None:
            self.history.record("Drag", hand.before)

    def close(self) -> None:
        """End the threads."""
        atexit.unregister(self.close)
        self.jobs.cancel()
        self.drawing.end()
        self.surfaces.close()
        self.jobs.wait(CLOSING_S)
        self.registering.wait(CLOSING_S)
        self.drawing.join(CLOSING_S)
        self.saving.close()
        self.downloads.close()

    # --- the state that pages show

    def described_placement(self) -> dict[str, Any]:
        """Matrices, row by row."""
        placement, orientation = self.placement, self.subject.orientation
        return {
            "cameras": [
                placement.camera_to_world(view, orientation).matrix[0].tolist() for view in range(len(self.xrays))
            ],
            "bodies": {name: pose.matrix[0].tolist() for name, pose in placement.bodies.items()},
        }

    def state(self) -> dict[str, Any]:
        """All that a page needs to show but for images."""
        volume = self.subject.volume
        names = ("sdd", "height", "width", "delx", "dely", "x0", "y0", "reverse_x_axis", "parallel")
        views = [
            {
                "name": xray.name,
                "intrinsics": {name: getattr(intrinsics.detached(), name) for name in names},
                "hidden": xray.hidden,
                "masked": xray.mask is not None,
                "linked": number not in self.placement.unlinked,
            }
            for number, (xray, intrinsics) in enumerate(zip(self.xrays, self.placement.intrinsics, strict=True))
        ]
        return {
            "ct": {
                "name": self.name,
                "shape": list(volume.spatial_shape),
                "voxel_to_world": volume.voxel_to_world.tolist(),
                "orientation": self.subject.orientation,
            },
            "views": views,
            "placement": self.described_placement(),
            "centre": self.centre().tolist(),
            "selected": self.selected,
            "locked": sorted(self.locked),
            **super().state(),
        }


def _picture(image: Images) -> Images:
    scale = PICTURE / max(image.shape[-2:])
    if scale >= 1:
        return image
    size = [max(1, round(side * scale)) for side in image.shape[-2:]]
    return torch.nn.functional.interpolate(image, size=size, mode="area")
