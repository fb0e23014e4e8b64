"""The similarity about where everything is, over any two directions of a view."""

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from raygrad._cockpit._jobs import Job
from raygrad._cockpit._likeness import SIMILARITY, scaled
from raygrad._cockpit._placement import Placement, fitting
from raygrad._errors import InputError
from raygrad.landscape import Landscape, compute_landscape
from raygrad.types import Images, Scores

if TYPE_CHECKING:
    from raygrad._cockpit._session import Session

DIRECTIONS = {
    "x": ("sideways", "mm"),
    "z": ("along the patient", "mm"),
    "y": ("depth along the beam", "mm"),
    "alpha": ("turn about the patient's long axis", "degrees"),
    "beta": ("tilt", "degrees"),
    "gamma": ("turn in the image", "degrees"),
}
"""Parameters of a view's pose, by `compute_landscape`, for people; and their units."""
PIXELS = 100
"""Of the longer side of what is rendered."""
MOST_STEPS, MOST_MM, MOST_DEGREES = 41, 300.0, 90.0
BATCH = 16
"""Images between two looks at whether to go on."""


@dataclass(frozen=True, eq=False)
class Computed:
    """What was computed last.

    Attributes:
        view: of which view.
        landscape: of one slice.
        placement: about where.
    """

    view: int
    landscape: Landscape
    placement: Placement


class Landscapes:
    """Computes landscapes about where everything is, one at a time."""

    def __init__(self, session: "Session") -> None:
        self._session = session
        self.last: Computed | None = None
        session.parts["landscape"] = self.described

    def compute(self, view: int, directions: tuple[str, str], mm: float, degrees: float, steps: int) -> None:
        """Start one.

        Raises:
            InputError: no two directions, or numbers out of range.
        """
        if len(set(directions)) < 2 or not set(directions) <= DIRECTIONS.keys():
            raise InputError(f"Expected two directions among {', '.join(DIRECTIONS)}. Got {', '.join(directions)}.")
        if not (0 < mm <= MOST_MM and 0 < degrees <= MOST_DEGREES and 3 <= steps <= MOST_STEPS):
            expected = f"up to {MOST_MM:g} mm and {MOST_DEGREES:g} degrees in 3 to {MOST_STEPS} steps"
            raise InputError(f"Expected {expected}. Got {mm:g} mm, {degrees:g} degrees and {steps} steps.")
        reach = {name: mm if DIRECTIONS[name][1] == "mm" else degrees for name in directions}

        def work(job: Job) -> None:
            now = self._session.placement
            landscape = self._landscape(job, now, view, directions, reach, steps)
            if not job.cancelled:
                self.last = Computed(view, landscape, now)

        self._session.jobs.start("Landscape", work)

    def go(self, first: float, second: float) -> None:
        """Put the CT so far from the middle of the last landscape, along its two directions.

        Raises:
            InputError: there is none.
        """
        if self.last is None:
            raise InputError("Expected a landscape to go along. Got none: compute one.")
        truth, names = self.last.landscape.truth, self.last.landscape.slices[0].names
        values = truth.values.clone()
        for name, deviation in zip(names, (first, second), strict=True):
            values[truth.index(name)] += deviation
        before = self._session.placement
        self._session.place(self.last.placement.with_pose(self.last.view, truth.to_poses(values[None])))
        self._session.history.record("Go in the landscape", before)

    def described(self) -> dict[str, Any] | None:
        """For the page."""
        if self.last is None:
            return None
        (piece,) = self.last.landscape.slices
        score = -piece.loss
        best = divmod(int(torch.from_numpy(score).nan_to_num(nan=-math.inf).argmax()), score.shape[1])
        return {
            "view": self.last.view,
            "directions": list(piece.names),
            "labels": [f"{DIRECTIONS[name][0]} ({DIRECTIONS[name][1]})" for name in piece.names],
            "deviations": [values.tolist() for values in piece.deviations],
            "scores": [[round(one, 5) if math.isfinite(one) else None for one in row] for row in score.tolist()],
            "here": round(-self.last.landscape.loss_at_truth, 5),
            "best": [float(values[at]) for values, at in zip(piece.deviations, best, strict=True)],
            "fresh": self.last.placement is self._session.placement,
        }

    def _landscape(
        self, job: Job, now: Placement, view: int, names: tuple[str, str], reach: dict[str, float], steps: int
    ) -> Landscape:
        session = self._session
        xray, camera = session.xrays[view], fitting(now.intrinsics[view], PIXELS)
        drr = replace(xray.view, intrinsics=camera).make_drr(session.subject, renderer="joseph")
        image, weights = scaled(xray, camera.shape)
        features = SIMILARITY.of_xrays(image, weights)

        def alike(_: Tensor, moving: Images) -> Scores:
            return SIMILARITY.score(moving, weights, features)

        return compute_landscape(
            drr,
            now.pose(view),
            convention="ZXY",
            degrees=True,
            slices=[names],
            ranges=reach,
            steps=steps,
            metric=alike,
            xray=image,
            batch_size=BATCH,
            callback=lambda done, total: job.tell(text=f"{done} of {total} images", share=done / total),
        )
