"""Levenberg and Marquardt's least squares from coarse images to fine ones: the default."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch

from raygrad.geometry import about
from raygrad.registration._chosen_response import AUTO, first_response, second_look
from raygrad.registration._coarse_to_fine import CoarseToFine
from raygrad.registration._doubts.doubted import doubted
from raygrad.registration._estimated_exposure import with_exposures
from raygrad.registration._method import Method
from raygrad.registration._outcome import best_of_starts, conclude
from raygrad.registration._problem.response import RESPONSES
from raygrad.registration._problem.similarity import Metric, Similarity
from raygrad.registration._result import RegistrationResult
from raygrad.registration._schedule import Stage, check_stages, default_schedule, scene_schedule, solid_schedule
from raygrad.registration._solver.candidates import SearchRanges, spread
from raygrad.registration._task import Task

NEIGHBOURHOOD = SearchRanges(degrees=20.0, mm=30.0)
NEIGHBOURS = 16
"""At 25 pixels a side all of them cost about as much as one at 200."""


@dataclass(frozen=True, kw_only=True)
class LevenbergMarquardt(Method):
    """Least squares with the exact Jacobian of the images, from coarse images to fine ones.

    It needs neither training nor learning rates. Around each start some more candidates are tried at the coarsest
    level, and the best go on. Images are Joseph's projections whatever the DRR's renderer is, since they change
    smoothly with the pose.

    Attributes:
        stages: what is compared from coarse to fine; None for `default_schedule()`, of a scene for the same with a
            stage before the last that is not robust, of solids alone for outlines near their shadows.
        similarity: compared in all stages in place of their own: features, such as `LocalCorrelation(9)` or a
            `FeatureSimilarity` of a function of one's own, whose residuals are what is squared; or any metric
            (fixed, moving) -> scores (batch,), higher for more alike, such as those of `raygrad.metrics`, which is
            differentiated twice by autograd. A metric gets images of every stage's size, and is not robust; on a GPU
            every iteration by it is waited for.
        candidates: poses tried for each start, itself included.
        neighbourhood: how far from a start the others lie.
        response: what X-rays show of the line integrals L of the CT. "log": these, up to brightness and contrast.
            "transmission": intensities, exp(-c L), compared as such; the X-ray is given as -log(I / I0) all the same.
            For raw, saturated or scattered fluoroscopy, and what is opaque. "curve": any monotone curve of them, such
            as a display's; the X-ray grows with them, bone bright. c and the curve are fitted for every candidate,
            anew at every stage and, in robust ones, while the pose moves. Saturated pixels pull at nothing. "auto": of
            scenes of solids alone, whose materials are known, "transmission" with c = 1, near their shadows; otherwise
            "log", and the last stages again by "curve" where that makes the images at the end clearly more alike.
        clean_ct: compare the X-rays with the CT's attenuation, without table and all else that is not attached to the
            patient (`cut_out_table`), or with all of it, or with the DRR's density: with what fits best where the
            images become fine, see `RegistrationResult.ct`. A DRR of another density than DiffDRR's, or of a CT that is
            not in HU, is taken as it is, as all are without this.
        coverage: rays that see the patient beyond the CT do not count: above, below or beside what was scanned, where
            he presumably goes on. Renewed with the pose at every stage; `RegistrationResult.counted` has the share of
            the image that counts. Without, all that the mask shows counts.
        advise: try what would help where nothing matches, see `Advice`.

    Raises:
        TypeError, ValueError: stages or numbers that are none, an unknown response; when called, an X-ray that cannot
            be -log(I / I0), for "transmission".
    """

    name: ClassVar[str] = "lm"
    finds: ClassVar[tuple[str, ...]] = ("structures", "unknowns", "bodies", "estimate")

    stages: Sequence[Stage] | None = None
    similarity: Similarity | Metric | None = None
    candidates: int = NEIGHBOURS
    neighbourhood: SearchRanges = NEIGHBOURHOOD
    response: str = AUTO
    clean_ct: bool = True
    coverage: bool = True
    advise: bool = True

    def __post_init__(self) -> None:
        if self.stages is not None:
            object.__setattr__(self, "stages", check_stages(self.stages))
        if self.similarity is not None and not callable(self.similarity):
            raise TypeError(f"Expected a similarity or metric, which is called. Got {self.similarity!r}.")
        if self.response not in (*RESPONSES, AUTO):
            raise ValueError(f"Expected response to be one of {', '.join(RESPONSES)}, {AUTO}. Got {self.response!r}.")
        if self.candidates < 1:
            raise ValueError(f"Expected at least one candidate, the start itself. Got candidates={self.candidates}.")
        self.neighbourhood.half_widths()  # raises if they are none

    def schedule(self, default: Sequence[Stage]) -> tuple[Stage, ...]:
        """The stages that are gone through."""
        stages = default if self.stages is None else self.stages
        return tuple(stages if self.similarity is None else (stage.compared_by(self.similarity) for stage in stages))

    def __call__(self, task: Task) -> RegistrationResult:
        """From every start, and poses around it, to the best pose."""
        with torch.no_grad():
            return self.along(self.course(task))

    def course(self, task: Task) -> CoarseToFine:
        """A way through the stages that has not begun: what is made of X-rays and CT before that."""
        return CoarseToFine(task, first_response(self.response, task), self.clean_ct, self.coverage)

    def along(self, course: CoarseToFine) -> RegistrationResult:
        """From every start of a course that has not begun, and poses around it, to the best pose."""
        motions = spread(self.neighbourhood, self.candidates, course.task.seed)
        default = default_schedule() if course.task.models is None else scene_schedule()
        stages = self.schedule(solid_schedule() if course.absorbs else default)
        around = course.candidates(about(course.centre, motions.to(course.centre)))
        found = course.run(around, stages)
        if self.response == AUTO and course.response == "log":
            course, found = second_look(course, found, stages)
        course, found = with_exposures(course, found, stages)
        return doubted(course, best_of_starts(found), conclude(course, found), self.advise)
