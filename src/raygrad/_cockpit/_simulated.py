"""An X-ray of the open CT itself, for who has none."""

import torch

from raygrad._cockpit._xray import OpenXRay
from raygrad.data import Subject
from raygrad.formats import View
from raygrad.geometry import Intrinsics
from raygrad.physics import Physics, render
from raygrad.pose import RigidTransform, convert

CAMERA = Intrinsics(sdd=1100.0, height=256, width=256, delx=1.6, dely=1.6)
KVP = 90.0
DEPTH_MM = 850.0


def pose_of(numbers: tuple[float, ...]) -> RigidTransform:
    """A pose of three angles in degrees and a translation in mm, as the command line takes them."""
    rotation, translation = (torch.tensor([part], dtype=torch.float64) for part in (numbers[:3], numbers[3:]))
    return convert(rotation, translation, parameterization="euler_angles", convention="ZXY", degrees=True)


def simulated(subject: Subject, angle: float, seed: int, name: str | None = None) -> OpenXRay:
    """An X-ray with noise and scatter, from so many degrees about the patient's axis, 0 from the front."""
    depth = -DEPTH_MM if subject.orientation == "PA" else DEPTH_MM
    pose = pose_of((angle, 0.0, 0.0, 0.0, depth, 0.0))
    return taken(subject, pose, seed, name or f"simulated, {angle:g} degrees")


def taken(subject: Subject, pose: RigidTransform, seed: int, name: str, camera: Intrinsics = CAMERA) -> OpenXRay:
    """An X-ray from a pose."""
    view = View(pose, camera, subject.orientation, name)
    with torch.no_grad():
        image = render(
            view.make_drr(subject), pose.to(torch.float32), Physics.preset("radiography", kvp=KVP), noise=seed
        )
    return OpenXRay(name, image, view, made=(view, seed))
