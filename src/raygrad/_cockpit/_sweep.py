"""A sweep that is open: its views, which of them count, the grid, and what has been reconstructed so far."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from raygrad._cockpit._jobs import Jobs
from raygrad._cockpit._sweep_cameras import Camera, cameras_of, turned_deg
from raygrad._cockpit._sweep_drawing import SweepDrawing
from raygrad._cockpit._sweep_made import Made
from raygrad._cockpit._sweep_methods import METHODS_DESCRIBED
from raygrad._cockpit._sweep_pictures import PLANES, Axes, thumbnails
from raygrad._cockpit._told import Told
from raygrad._errors import InputError
from raygrad.data import VolumeGeometry, check_writable, write_volume
from raygrad.geometry import ConeViews, blind_views, choose_grid

USED, HELD_OUT, LEFT_OUT = "used", "held out", "left out"
USES = (USED, HELD_OUT, LEFT_OUT)
"""What a view is for: to reconstruct from, to compare with, or for nothing."""


@dataclass(frozen=True, eq=False)
class OpenSweep:
    """A sweep as it came.

    Attributes:
        name: of the images, for people.
        images: line integrals of all views.
        views: where they were taken from.
        names: of each image.
        grid: where voxels lie unless a person chooses otherwise, in the views' world.
        grid_is: what that grid is, for people.
        held_out: numbers of the views that are held out at first.
        mask: False for pixels that do not count, None if all do.
        world_to_file: moves a volume to where its file is to have it.
        device: what computes.
        out: where the volume may be written to, None for nowhere.
    """

    name: str
    images: Float[Tensor, "view height width"]
    views: ConeViews
    names: Sequence[str]
    grid: VolumeGeometry
    grid_is: str = ""
    held_out: Sequence[int] = ()
    mask: Bool[Tensor, "view height width"] | None = None
    world_to_file: Float[np.ndarray, "4 4"] = field(default_factory=lambda: np.eye(4))
    device: torch.device | str = "cpu"
    out: Path | None = None


class SweepSession(Told):
    """A sweep, and the volume that comes of it.

    Attributes:
        sweep: as it was opened.
        cameras: of all views, for the scene.
        uses: what each view is for.
        chosen: the view that is shown large.
        grid: where the voxels of the next reconstruction lie.
        made: the newest volume, whole or on its way; None before there is any.
        history: number, residual and seconds of every iteration of the newest reconstruction.
        at: the slices that are shown: voxels along the axes of the patient.
        jobs: what takes long: one at a time.

    Raises:
        InputError: a name for the volume that cannot be written.
    """

    page = "sweep.html"

    def __init__(self, sweep: OpenSweep) -> None:
        super().__init__()
        if sweep.out is not None:
            check_writable(sweep.out)
        self.sweep, self.grid, self.grid_is = sweep, sweep.grid, sweep.grid_is
        self.cameras: tuple[Camera, ...] = cameras_of(sweep.views)
        self.turned = turned_deg(sweep.views, sweep.grid)
        self.uses = [HELD_OUT if number in sweep.held_out else USED for number in range(len(sweep.views))]
        self.chosen = 0
        self.made: Made | None = None
        self.history: list[tuple[int, float | None, float]] = []
        self.at = [0, 0, 0]
        self.written: str | None = None
        self.jobs = Jobs(self)
        self.parts["sweep"] = self.described
        self.show(thumbnails(sweep.images))
        self.drawing = SweepDrawing(self)
        self.drawing.start()

    @property
    def n_views(self) -> int:
        """Of the sweep."""
        return len(self.sweep.views)

    def numbers_of(self, use: str) -> list[int]:
        """The views that are for this."""
        return [number for number, own in enumerate(self.uses) if own == use]

    # --- what changes

    def choose(self, view: int) -> None:
        """Show this view large."""
        self.chosen = view
        self.drawing.ask()

    def use(self, views: Sequence[int], use: str) -> None:
        """What these views are for from the next reconstruction on.

        Raises:
            InputError: another word, or views that there are none of.
        """
        if use not in USES:
            raise InputError(f"Expected a use among {', '.join(USES)}. Got {use!r}.")
        if wrong := [view for view in views if not 0 <= view < self.n_views]:
            raise InputError(f"Expected views from 0 to {self.n_views - 1}. Got {wrong[0]}.")
        with self.lock:
            for view in views:
                self.uses[view] = use
        self.tell_state()

    def hold_out(self, every: int) -> None:
        """Hold every so many-th view out, and no other, as `raygrad reconstruct --held-out`; 0 for none.

        Raises:
            InputError: fewer than 2, or more than there are views.
        """
        if every != 0 and not 2 <= every <= self.n_views:
            raise InputError(f"Expected to hold out every so many-th view, 2 to {self.n_views}. Got {every}.")
        with self.lock:
            for view, use in enumerate(self.uses):
                if use != LEFT_OUT:
                    self.uses[view] = HELD_OUT if every and view % every == every - 1 else USED
        self.tell_state()

    def lay_grid(
        self,
        shape: Sequence[int] | None = None,
        spacing: Sequence[float] | None = None,
        centre: Sequence[float] | None = None,
    ) -> None:
        """Where the voxels of the next reconstruction lie; what is None as the views see it. All None: as at first.

        Raises:
            InputError: numbers that make no grid, or views that see nothing of it.
        """
        if shape is None and spacing is None and centre is None:
            grid, grid_is = self.sweep.grid, self.sweep.grid_is
        else:
            for numbers in (shape, spacing):
                if numbers is not None and not all(number > 0 for number in numbers):
                    raise InputError(f"Expected positive numbers of a grid. Got {', '.join(map(str, numbers))}.")
            grid, grid_is = choose_grid(self.sweep.views, shape, spacing, centre), "as asked for"
        if blind := blind_views(self.sweep.views, grid):
            raise InputError(f"Expected a grid that all views see. View {blind[0]} and {len(blind) - 1} more see none.")
        self.grid, self.grid_is = grid, grid_is
        self.tell_state()

    def keep(self, made: Made) -> None:
        """A volume is there, or further: show it."""
        with self.lock:
            before, self.made = self.made, made
            self.written = None
            if before is None or before.grid != made.grid:
                self.at = [count // 2 for count in Axes.of(made.grid).shape]
        self.tell({"type": "made", "made": made.described(), "at": self.at})
        self.drawing.ask()

    def cut(self, plane: str, index: int) -> None:
        """Show this slice.

        Raises:
            InputError: there is none.
        """
        if plane not in PLANES:
            raise InputError(f"Expected a plane among {', '.join(PLANES)}. Got {plane!r}.")
        if self.made is None:
            raise InputError("Expected a volume to cut. Nothing has been reconstructed yet.")
        axis = PLANES[plane]
        count = Axes.of(self.made.grid).shape[axis]
        if not 0 <= index < count:
            raise InputError(f"Expected a slice from 0 to {count - 1}. Got {index}.")
        self.at[axis] = index
        self.drawing.ask()

    def write(self) -> str:
        """Write the volume to where the command line said. The file's name.

        Raises:
            InputError: nothing was made yet, or nobody said where to.
            OSError: it cannot be written.
        """
        if self.made is None:
            raise InputError("Expected a volume to write. Nothing has been reconstructed yet.")
        if self.sweep.out is None:
            raise InputError("Expected a file to write to. Start the cockpit with --out volume.nii.gz.")
        if self.jobs.current is not None:
            raise InputError("The volume still changes. Wait for the end, or cancel it.")
        made = self.made
        write_volume(made.grid.to_volume(made.volume).moved(self.sweep.world_to_file), self.sweep.out)
        self.written = str(self.sweep.out)
        self.tell_state()
        return self.written

    def close(self) -> None:
        """End the threads."""
        self.jobs.cancel()
        self.drawing.end()

    # --- the state that pages show

    def state(self) -> dict[str, Any]:
        """All that a page needs to show but for images; cameras and grid by the names that a scene knows."""
        return {
            "ct": {
                "name": self.sweep.name,
                "shape": list(self.grid.shape),
                "voxel_to_world": self.grid.voxel_to_world.tolist(),
                "orientation": None,
            },
            "views": [camera.described(name) for camera, name in zip(self.cameras, self.sweep.names, strict=True)],
            "placement": {
                "cameras": [camera.matrix for camera in self.cameras],
                "bodies": {"CT": np.eye(4).tolist()},
            },
            "centre": self.grid.centre.tolist(),
            **super().state(),
        }

    def described(self) -> dict[str, Any]:
        """The part "sweep" of the state."""
        return {
            "uses": list(self.uses),
            "turned": self.turned,
            "chosen": self.chosen,
            "image_shape": list(self.sweep.views.image_shape),
            "grid": {
                "shape": list(self.grid.shape),
                "spacing": [round(mm, 6) for mm in self.grid.spacing],
                "centre": [round(mm, 6) for mm in self.grid.centre.tolist()],
                "is": self.grid_is,
            },
            "methods": METHODS_DESCRIBED,
            "made": None if self.made is None else self.made.described(),
            "at": list(self.at),
            "history": [list(entry) for entry in self.history],
            "out": None if self.sweep.out is None else str(self.sweep.out),
            "written": self.written,
        }
