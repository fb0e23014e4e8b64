"""DiffDRR's own way to register: the recipe of its tutorials, timed on the same starts.

https://github.com/eigenvivek/DiffDRR (MIT), `notebooks/tutorials/optimizers.ipynb`: `Registration` with Euler angles
ZXY, Adam with the learning rates 0.1 (rotations) and 5 (translations), at most 500 iterations, ended when the images
correlate to 99.9 %. Its newer tutorials and its successor xvr compare images by multiscale NCC instead of NCC; so does
this.
"""

import time

import torch

from peers.base import missing
from raygrad.evaluation import Case, Outcome, Start
from raygrad.pose import RigidTransform

ROTATION_RATE, TRANSLATION_RATE, ITERATIONS, ENOUGH = 1e-1, 5.0, 500, 0.999


class DiffDRRRecipe:
    """Registers a case from a start; what `raygrad.evaluation.evaluate` takes as its solver.

    The image is DiffDRR's own render of the true pose for the clean condition, "the same projector", and the simulated
    X-ray for others. It knows neither masks nor several views.

    Args:
        seconds: a registration ends after so many; the note then says what the whole recipe would have taken.
    """

    name = "diffdrr adam"

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.drr = None
        self.subject = None

    def available(self) -> str | None:
        """Needs diffdrr and torchio."""
        return missing("diffdrr.drr", "diffdrr.metrics", "diffdrr.registration", "torchio")

    def __call__(self, case: Case, start: Start) -> Outcome:
        """Run the recipe; the module and the X-ray are made before the clock starts."""
        from diffdrr.metrics import MultiscaleNormalizedCrossCorrelation2d
        from diffdrr.pose import RigidTransform as Pose
        from diffdrr.registration import Registration

        drr = self._module(case)
        with torch.no_grad():
            xray = drr(Pose(case.poses[0].matrix.float())) if case.condition == "a" else case.xrays[0]
        rotation, translation = start.poses[0].convert("euler_angles", "ZXY")
        similarity = MultiscaleNormalizedCrossCorrelation2d([None, 9], [0.5, 0.5])

        began = time.perf_counter()
        registration = Registration(drr, rotation.clone(), translation.clone(), "euler_angles", "ZXY")
        groups = [
            {"params": [registration.rotation], "lr": ROTATION_RATE},
            {"params": [registration.translation], "lr": TRANSLATION_RATE},
        ]
        optimiser = torch.optim.Adam(groups, maximize=True)
        score, iterations, matched, seconds = 0.0, 0, False, 0.0
        while iterations < ITERATIONS and not matched and seconds <= self.seconds:
            iterations += 1
            optimiser.zero_grad()
            value = similarity(xray, registration())
            value.sum().backward()
            optimiser.step()
            score, seconds = value.item(), time.perf_counter() - began
            matched = score > ENOUGH
        pose = RigidTransform(registration.pose.matrix.detach())
        return Outcome(pose, seconds, "", score, iterations, note=_note(iterations, matched, seconds))

    def _module(self, case: Case):
        """DiffDRR's module for this CT and detector, made once."""
        from diffdrr.drr import DRR

        if self.subject is not case.drr.subject:
            detector, self.subject = case.drr.detector, case.drr.subject
            self.drr = DRR(
                self.subject.to_torchio(),
                sdd=float(detector.sdd),
                height=detector.height,
                delx=float(detector.delx),
                stop_gradients_through_grid_sample=True,  # as in the tutorial, which calls it faster
            )
        return self.drr


def _note(iterations: int, matched: bool, seconds: float) -> str:
    each = seconds / iterations
    if matched:
        return f"{each:.2f} s an iteration"
    if iterations == ITERATIONS:
        return f"{each:.2f} s an iteration; all iterations spent"
    return (
        f"stopped by the time limit of this benchmark after {iterations} of {ITERATIONS} iterations; "
        f"{each:.2f} s an iteration, all would take {each * ITERATIONS:.0f} s"
    )
