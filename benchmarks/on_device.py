"""Registrations of `raygrad.evaluation` on another device than the CPU."""

import copy
from dataclasses import replace

import torch

from raygrad.evaluation import METHODS, Case, Outcome, Start


class OnDevice:
    """The solver of a method, "register" or "search", with CT, X-rays and starts moved to a device first.

    Moving them is not timed; the pose comes back to the CPU, where errors are measured.
    """

    def __init__(self, method: str, device: torch.device) -> None:
        self.solve = METHODS[method]
        self.device = device
        self.given: Case | None = None
        self.moved: Case | None = None

    def __call__(self, case: Case, start: Start) -> Outcome:
        """Register a case from a start."""
        if self.given is not case:
            self.given, self.moved = case, self._move(case)
        poses = tuple(pose.to(device=self.device) for pose in start.poses)
        outcome = self.solve(self.moved, replace(start, poses=poses))
        spine = outcome.spine_pose
        return replace(
            outcome,
            pose=outcome.pose.to(device="cpu"),
            spine_pose=None if spine is None else spine.to(device="cpu"),
        )

    def _move(self, case: Case) -> Case:
        return replace(
            case,
            drr=copy.deepcopy(case.drr).to(self.device),
            xrays=tuple(xray.to(self.device) for xray in case.xrays),
            masks=None if case.masks is None else tuple(mask.to(self.device) for mask in case.masks),
        )
