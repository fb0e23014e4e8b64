"""What every competitor renders: one CT, one detector, a batch of poses, in world millimetres."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import roma
import torch

if TYPE_CHECKING:
    from raygrad.data import Subject

SDD = 1020.0
"""Source-to-detector distance in mm."""

DETECTOR_WIDTH = 400.0
"""Side of the square detector in mm, whatever the number of pixels."""

TRANSLATION = (0.0, 850.0, 0.0)
"""Where the source sits before the rotation, in mm from the isocentre."""

VIEWS = {"ap": (0.0, 0.0, 0.0), "lateral": (90.0, 0.0, 0.0), "oblique": (40.0, 15.0, 10.0)}
"""Euler angles ZXY of each view, in degrees."""

AP_CAMERA_TO_WORLD = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]], dtype=torch.float64)
"""The camera of an unrotated AP view: its x is the patient's x, its y points to the head, it looks along -y."""


@dataclass(frozen=True)
class CT:
    """A CT as it was read: `density` (X, Y, Z) float32 and the affine of its voxel centres, in RAS+ mm."""

    density: np.ndarray
    voxel_to_world: np.ndarray

    @property
    def spacing(self) -> np.ndarray:
        """Voxel sizes (3,) in mm."""
        return np.linalg.norm(self.voxel_to_world[:3, :3], axis=0)

    @property
    def directions(self) -> np.ndarray:
        """Unit vectors of the voxel axes in the world, as columns (3, 3)."""
        return self.voxel_to_world[:3, :3] / self.spacing

    @property
    def centre(self) -> np.ndarray:
        """World position (3,) of the middle of the volume, in mm."""
        middle = (np.array(self.density.shape) - 1) / 2
        return self.voxel_to_world[:3, :3] @ middle + self.voxel_to_world[:3, 3]

    def in_order(self, order: Literal["C", "F"]) -> "CT":
        """The same CT with its memory laid out as "C" (z fastest) or "F" (x fastest, as image files have it)."""
        return CT(np.asarray(self.density, order=order), self.voxel_to_world)

    def save(self, folder: Path) -> None:
        """Write the CT for another process to read back with `CT.load`."""
        np.save(folder / "density.npy", self.density)
        np.save(folder / "voxel_to_world.npy", self.voxel_to_world)

    @staticmethod
    def load(folder: Path) -> "CT":
        """Read what `save` wrote; the memory order is kept."""
        return CT(np.load(folder / "density.npy"), np.load(folder / "voxel_to_world.npy"))


@dataclass(frozen=True)
class Scene:
    """Which images to make: a view, a square detector of `size` pixels a side, and `batch` poses around the view."""

    view: str
    size: int
    batch: int

    @property
    def pixel(self) -> float:
        """Pixel size in mm."""
        return DETECTOR_WIDTH / self.size

    @property
    def rotations(self) -> torch.Tensor:
        """Euler angles ZXY (B, 3) in radians; neighbours in a batch differ by about a degree."""
        step = torch.tensor([1.0, 0.5, 0.25])
        degrees = torch.tensor(VIEWS[self.view]) + torch.arange(self.batch)[:, None] * step
        return torch.deg2rad(degrees)

    @property
    def translations(self) -> torch.Tensor:
        """Translations (B, 3) in mm, in the rotated frame (the source is at R @ xyz)."""
        return torch.tensor(TRANSLATION) + torch.arange(self.batch)[:, None] * torch.ones(3)

    def source(self) -> np.ndarray:
        """Source positions (B, 3) in world mm."""
        rotation = roma.euler_to_rotmat("ZXY", self.rotations.double())
        return (rotation @ self.translations.double()[..., None])[..., 0].numpy()

    def camera_to_world(self) -> np.ndarray:
        """Camera rotations (B, 3, 3): columns are the world directions of camera x, y and z (the viewing axis)."""
        return (roma.euler_to_rotmat("ZXY", self.rotations.double()) @ AP_CAMERA_TO_WORLD).numpy()

    def detector(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Detector centres, directions of growing column, directions of growing row: (B, 3) each, in world mm.

        Column 0 lies at +x of the camera and row 0 at +y, the radiologic convention.
        """
        axes = self.camera_to_world()
        return self.source() + SDD * axes[:, :, 2], -axes[:, :, 0], -axes[:, :, 1]

    def cotangent(self) -> np.ndarray:
        """Smooth weights (B, H, W) float32 that the image is contracted with for the gradients."""
        ramp = (np.arange(self.size, dtype=np.float32) + 0.5) / self.size
        weights = 1 + np.cos(3 * ramp)[:, None] + np.sin(4 * ramp)[None, :]
        return np.broadcast_to(weights, (self.batch, self.size, self.size)).copy()


def load_subject() -> tuple["Subject", str]:
    """The CT named by the environment variable RAYGRAD_CHEST_CT (a folder or a file), else raygrad's thorax phantom.

    Returns it as raygrad reads it, and a line that says what it is.
    """
    from raygrad.data import load_example_ct, read

    named = os.environ.get("RAYGRAD_CHEST_CT")
    if named:
        path = Path(named) / "cxr.nii.gz" if Path(named).is_dir() else Path(named)
        if not path.is_file():
            raise ValueError(f"RAYGRAD_CHEST_CT: expected a CT file, or a folder with cxr.nii.gz; got {named!r}")
        subject, what = read(path), path.name
    else:
        subject, what = load_example_ct(), "thorax phantom"
    spacing = np.linalg.norm(np.asarray(subject.density.affine, dtype=np.float64)[:3, :3], axis=0)
    sizes = " x ".join(str(n) for n in subject.density.data.shape[1:])
    return subject, f"{what}, {sizes} voxels of {' x '.join(f'{s:g}' for s in spacing)} mm"


def ct_of(subject: "Subject") -> CT:
    """The CT with DiffDRR's density, as raygrad reads it."""
    return CT(subject.density.data.squeeze(0).numpy(), np.asarray(subject.density.affine, dtype=np.float64))


def load_ct() -> tuple[CT, str]:
    """The CT of `load_subject`, and the line that says what it is."""
    subject, what = load_subject()
    return ct_of(subject), what
