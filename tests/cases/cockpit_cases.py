"""A small session: a CT of a few thousand voxels and two X-rays of it."""

import torch

from raygrad._cockpit import OpenXRay, Session
from raygrad.data import Subject, Volume
from raygrad.formats import View
from raygrad.geometry import Intrinsics
from raygrad.pose import RigidTransform, convert

CAMERA = Intrinsics(sdd=1000.0, height=40, width=36, delx=8.0, dely=7.0, x0=3.0, y0=-5.0)


def pose(*numbers):
    """Three Euler angles (ZXY) in degrees and a translation in mm, as of a `View`."""
    rotation, translation = (torch.tensor([part], dtype=torch.float64) for part in (numbers[:3], numbers[3:]))
    return convert(rotation, translation, parameterization="euler_angles", convention="ZXY", degrees=True)


def motion(*numbers):
    """A rigid motion of a world, from the same six numbers."""
    return RigidTransform(pose(*numbers).matrix)


def small_subject(orientation="AP"):
    hu = torch.full((16, 18, 20), -1000.0)
    hu[4:12, 5:13, 4:16] = torch.linspace(0, 600, 8)[:, None, None]
    affine = torch.diag(torch.tensor([8.0, 7.0, 6.0, 1.0], dtype=torch.float64))
    affine[:3, 3] = torch.tensor([-60.0, -60.0, -57.0])
    return Subject(Volume(hu[None], affine.numpy()), orientation=orientation)


def small_session(cameras=(CAMERA, CAMERA), orientation="AP"):
    """To be closed."""
    subject = small_subject(orientation)
    xrays = []
    for number, camera in enumerate(cameras):
        depth = -800.0 if orientation == "PA" else 800.0
        view = View(pose(90.0 * number, 3.0, -2.0, 4.0, depth, -6.0), camera, orientation)
        with torch.no_grad():
            image = view.make_drr(subject)(view.pose.to(torch.float32))
        xrays.append(OpenXRay(f"view {number}", image, view))
    return Session(subject, xrays, "small")
