"""xvr's way to register, without its network: multiscale and gradient NCC by Adam, on nanodrr, as xvr does it since.

https://github.com/eigenvivek/xvr (MIT), `src/xvr/register/base.py`, `losses/gmncc.py` and `cli/configs/register.py` at
commit 8fb5d02: 0.5 of a multiscale NCC (global, and patches of 9 pixels) and 0.5 of a gradient NCC (patches of 11);
Adam with the rates 0.01 (rotation) and 1 (translation), a tenth of them after 5 iterations without an improvement of
1e-4, at most 500 iterations or 2 reductions; images brought to [0, 1], then (x - 0.15) / 0.1. Its default scale of 8
is for detectors of 1436 pixels, which makes them 180: our 200 are registered as they are.
"""

import time

import torch

from peers.base import missing
from raygrad.evaluation import Case, Outcome, Start
from raygrad.pose import RigidTransform

ROTATION_RATE, TRANSLATION_RATE, ITERATIONS, FACTOR = 1e-2, 1.0, 500, 0.1
PATIENCE, THRESHOLD, PLATEAUS = 5, 1e-4, 2


class XvrRecipe:
    """Registers the first view of a case from a start; what `raygrad.evaluation.evaluate` takes as its solver.

    Args:
        seconds: a registration ends after so many.
    """

    name = "xvr recipe"

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.ct = None
        self.subject = None

    def available(self) -> str | None:
        """Needs nanodrr and torchio."""
        return missing("nanodrr.registration", "nanodrr.metrics", "nanodrr.camera", "nanodrr.data", "torchio")

    def __call__(self, case: Case, start: Start) -> Outcome:
        """Run the recipe; subject and similarity are made before the clock starts."""
        from nanodrr.camera import make_k_inv, make_rt_inv
        from nanodrr.metrics import GradientNormalizedCrossCorrelation2d, MultiscaleNormalizedCrossCorrelation2d
        from nanodrr.registration import Registration

        whole = MultiscaleNormalizedCrossCorrelation2d([None, 9], [0.5, 0.5])
        slopes = GradientNormalizedCrossCorrelation2d(11, 0.0)
        detector, pose = case.drr.detector, start.poses[0].to(torch.float32)
        pixel, sdd = float(detector.delx), float(detector.sdd)
        rotation, translation = pose.convert("euler_angles", "ZXY")
        begins = make_rt_inv(torch.rad2deg(rotation), translation, orientation="AP")
        inverse = make_k_inv(sdd, pixel, pixel, 0.0, 0.0, detector.height, detector.width)
        subject = self._subject(case)
        truth = _standardised(case.xrays[0])

        began = time.perf_counter()
        registration = Registration(subject, begins, inverse, torch.tensor([sdd]), detector.height, detector.width)
        groups = [
            {"params": [registration._rot], "lr": ROTATION_RATE},
            {"params": [registration._xyz], "lr": TRANSLATION_RATE},
        ]
        optimiser = torch.optim.Adam(groups, maximize=True)
        scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimiser, "max", FACTOR, PATIENCE, THRESHOLD)
        rate, plateaus, iterations, seconds, score = float("inf"), 0, 0, 0.0, 0.0
        while iterations < ITERATIONS and seconds <= self.seconds:
            iterations += 1
            optimiser.zero_grad()
            image = _standardised(registration())
            value = (0.5 * whole(truth, image) + 0.5 * slopes(truth, image)).sum()
            value.backward()
            optimiser.step()
            scheduler.step(value.detach())
            score, seconds = value.item(), time.perf_counter() - began
            if (now := min(scheduler.get_last_lr())) < rate:
                rate, plateaus = now, plateaus + 1
            if plateaus > PLATEAUS:
                break
        # A motion of the world, whatever each calls its camera's axes.
        motion = registration.pose.detach() @ begins.inverse()
        found = RigidTransform(motion @ pose.matrix)
        cut = "; stopped by the time limit of this benchmark" if seconds > self.seconds else ""
        return Outcome(found, seconds, "", score, iterations, note=f"{seconds / iterations:.2f} s an iteration{cut}")

    def _subject(self, case: Case):
        """nanodrr's subject of this CT, made once, of the density as it is."""
        from nanodrr.data import Subject
        from torchio import ScalarImage

        if self.ct is not case.drr.subject:
            self.ct = case.drr.subject
            image = ScalarImage(tensor=self.ct.density.data.contiguous(), affine=self.ct.density.affine)
            self.subject = Subject.from_images(image, convert_to_mu=False)
        return self.subject


def _standardised(image: torch.Tensor) -> torch.Tensor:
    low, high = image.min(), image.max()
    return ((image - low) / (high - low + 1e-6) - 0.15) / 0.1
