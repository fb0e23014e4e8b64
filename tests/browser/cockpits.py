"""A cockpit to test the page with: a small thorax, and two X-rays of it that begin away from where they were taken."""

from dataclasses import dataclass

import torch

from raygrad._cockpit import OpenXRay, Serving, Session
from raygrad.data import Subject, Volume
from raygrad.formats import View
from raygrad.geometry import Intrinsics
from raygrad.phantoms import load_example_ct
from raygrad.pose import RigidTransform, convert
from raygrad.scene import Placed

CAMERA = Intrinsics(sdd=1100.0, height=200, width=200, delx=2.0, dely=2.0)
TRUTHS = {"front": (4.0, 3.0, -2.0, 8.0, 862.0, -12.0), "side": (86.0, 2.0, 1.0, -10.0, 848.0, -6.0)}
"""Angles in degrees and translations in mm of `pose_of`."""
OFF = (3.0, -2.0, 2.5, 8.0, -6.0, 10.0)
"""How far the anatomy is from where it was, at first."""


@dataclass(frozen=True, eq=False)
class Cockpit:
    """One that is being served.

    Attributes:
        session: what the page shows, in this process.
        url: of the page, with its token.
        truths: where the X-rays were taken from.
    """

    session: Session
    url: str
    truths: tuple[RigidTransform, ...]

    @property
    def port(self) -> int:
        """Of 127.0.0.1."""
        return int(self.url.split("/")[2].split(":")[1])

    @property
    def token(self) -> str:
        """What the page has to show."""
        return self.url.partition("#")[2]


@dataclass(frozen=True, eq=False)
class Case:
    """What is opened: made once for all tests."""

    subject: Subject
    xrays: tuple[OpenXRay, ...]
    truths: tuple[RigidTransform, ...]
    bodies: tuple[Placed, ...] = ()

    def serving(self) -> tuple[Serving, Cockpit]:
        """A new session of it on any free port; whoever starts it closes it."""
        session = Session(self.subject, self.xrays, "thorax", bodies=self.bodies)
        serving = Serving(session)
        return serving, Cockpit(session, serving.url, self.truths)


def pose_of(numbers: tuple[float, ...]) -> RigidTransform:
    """A pose from the angles and the translation that the command line takes."""
    rotation, translation = (torch.tensor([part], dtype=torch.float64) for part in (numbers[:3], numbers[3:]))
    return convert(rotation, translation, parameterization="euler_angles", convention="ZXY", degrees=True)


def make_case() -> Case:
    """Of fewer voxels than the example that users see: it is there in a second."""
    subject = load_example_ct(shape=(128, 128, 66))
    xrays, truths = [], []
    for name, numbers in TRUTHS.items():
        truth = pose_of(numbers)
        with torch.no_grad():
            image = View(truth, CAMERA).make_drr(subject, renderer="joseph")(truth.to(torch.float32))
        start = truth.compose(pose_of(OFF).inverse())
        xrays.append(OpenXRay(name, image, View(start, CAMERA, "AP", name)))
        truths.append(truth)
    return Case(subject, tuple(xrays), tuple(truths))


def make_flat_case() -> Case:
    """Some blocks in the plane through the CT's middle, seen from the front: all equally far from the source."""
    hu = torch.full((96, 5, 96), -1000, dtype=torch.int16)
    for x, z, side in ((20, 25, 9), (60, 22, 6), (45, 50, 12), (75, 70, 8), (22, 72, 5)):
        hu[x : x + side, 2, z : z + side] = 1000
    middle = torch.tensor(hu.shape).double().sub(1).div(2).mul(3).neg().tolist()
    affine = torch.diag(torch.tensor([3.0, 3.0, 3.0, 1.0])).numpy()
    affine[:3, 3] = middle
    subject = Subject(Volume(hu.numpy(), affine))
    view = View(pose_of((0.0, 0.0, 0.0, 0.0, 850.0, 0.0)), CAMERA, "AP", "front")
    with torch.no_grad():
        image = view.make_drr(subject, renderer="joseph")(view.pose.to(torch.float32))
    return Case(subject, (OpenXRay("front", image, view),), (view.pose,))
