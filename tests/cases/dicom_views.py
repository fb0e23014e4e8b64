"""Points of a patient, and where raygrad draws them with a header's pose and intrinsics."""

import numpy as np
import torch

from raygrad.geometry import Detector
from raygrad.pose import make_reorient

LPS_TO_RAS = np.array([-1.0, -1.0, 1.0])
POINTS = np.random.default_rng(0).uniform(-60, 60, (20, 3))
"""Of the patient, LPS mm from the isocentre."""


def drawn(geometry, points=POINTS, isocentre=(0.0, 0.0, 0.0)):
    """Columns and rows from the image's corner of points LPS, by raygrad's pose and intrinsics."""
    detector = Detector.of(geometry.intrinsics, make_reorient(geometry.orientation))
    world = torch.from_numpy(points * LPS_TO_RAS + np.array(isocentre))[None]
    camera = detector.camera_to_world(geometry.pose).inverse()(world)
    return detector.camera_to_pixel(camera)[0].numpy()
