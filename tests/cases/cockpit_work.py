"""Small cockpits that are not served, and what a page would say to them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from raygrad._cockpit import Opened, OpenXRay, Session, commands, pose_of
from raygrad._cockpit._commands import call
from raygrad.data import Volume, read, write_volume
from raygrad.formats import View, write_image
from raygrad.geometry import Intrinsics

CAMERA = Intrinsics(sdd=1000.0, height=40, width=48, delx=4.0, dely=4.0)
AFFINE = torch.tensor([[6.0, 0, 0, 30], [0, 6, 0, -20], [0, 0, 6, 500], [0, 0, 0, 1]], dtype=torch.float64).numpy()
POSES = {"front.tif": (2.0, 1.0, -1.0, 3.0, 850.0, -4.0), "side.tif": (88.0, 0.0, 2.0, -5.0, 840.0, 2.0)}

assert commands  # they are known by being imported


@dataclass(frozen=True, eq=False)
class Work:
    """A session of files in a folder."""

    session: Session
    folder: Path

    def do(self, command: str, /, **arguments: Any) -> Any:
        """What a page asks for."""
        return call(self.session, command, arguments)


def write_files(folder: Path) -> None:
    """A CT of two blocks, and two X-rays of it."""
    hu = torch.full((16, 14, 12), -1000, dtype=torch.int16)
    hu[3:13, 3:11, 2:10], hu[5:8, 4:7, 3:8] = 50, 900
    write_volume(Volume(hu, AFFINE), folder / "ct.nii.gz")
    subject = read(folder / "ct.nii.gz")
    for name, numbers in POSES.items():
        pose = pose_of(numbers)
        with torch.no_grad():
            image = View(pose, CAMERA).make_drr(subject, renderer="joseph")(pose.to(torch.float32))
        write_image(folder / name, image[0, 0], (4.0, 4.0))


def open_work(files: Path, **named: Any) -> Work:
    """A session of these files, with nothing read by the command line."""
    subject = read(files / "ct.nii.gz", orientation="AP")
    xrays = []
    for name, numbers in POSES.items():
        pose = pose_of(numbers)
        with torch.no_grad():
            image = View(pose, CAMERA).make_drr(subject, renderer="joseph")(pose.to(torch.float32))
        xrays.append(OpenXRay(name, image, View(pose, CAMERA, "AP", name), path=files / name))
    return Work(Session(subject, xrays, "ct.nii.gz", Opened(str(files / "ct.nii.gz"), **named)), files)
