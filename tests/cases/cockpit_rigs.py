"""Sessions of a cockpit without a page."""

import torch

from raygrad._cockpit import OpenXRay, Session
from raygrad._cockpit import commands as commands  # makes them known
from raygrad.data import Subject
from raygrad.formats import View
from raygrad.geometry import Intrinsics
from raygrad.pose import RigidTransform


def session_of(subject: Subject) -> Session:
    """A CT and one X-ray of it from the front, 800 mm away. Whoever makes it closes it."""
    pose = torch.eye(4, dtype=torch.float64)
    pose[1, 3] = 800.0
    intrinsics = Intrinsics(sdd=1000.0, height=10, width=12, delx=0.4, dely=0.4)
    view = View(RigidTransform(pose[None]), intrinsics, "AP", "front")
    return Session(subject, [OpenXRay("front", torch.zeros(1, 1, 10, 12), view)])
