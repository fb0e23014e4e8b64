"""What a registration found: a CT with a file's world of its own, and a view of it."""

import numpy as np
import torch

from raygrad.formats import View
from raygrad.geometry import Intrinsics
from raygrad.pose import convert

AFFINE = np.array([[-2.0, 0, 0, 110], [0, -2, 0, 240], [0, 0, 3, -900], [0, 0, 0, 1]])


def found_view(name):
    """From 850 mm before the CT's centre, turned, with a detector off its middle."""
    pose = convert(
        torch.tensor([[10.0, -5.0, 3.0]]),
        torch.tensor([[4.0, 850.0, -7.0]]),
        parameterization="euler_angles",
        convention="ZXY",
        degrees=True,
    )
    return View(pose, Intrinsics(1020.0, 20, 30, 2.0, 2.0, 5.0), "AP", name)
