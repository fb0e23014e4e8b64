"""The geometry of a sweep as unknowns: poses and shared intrinsics, and how images change with them."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from raygrad import kernels
from raygrad.data import VolumeGeometry
from raygrad.geometry import ConeViews, Detector, about, motion_derivatives, turned
from raygrad.pose import RigidTransform, se3_log_map
from raygrad.types import Matrices

INTRINSICS = ("sdd", "x0", "y0", "pixel_size")


@dataclass(frozen=True)
class Unknowns:
    """What is looked for, and how well it is known beforehand.

    Attributes:
        pose: standard deviations of the poses' twists, mm and radians; None if the poses stay as they are.
        intrinsics: names of `INTRINSICS` with standard deviations: mm, and relative for the pixel size.
    """

    pose: tuple[float, float] | None
    intrinsics: Mapping[str, float]

    @property
    def columns(self) -> list[int]:
        """Which of `INTRINSICS` are unknown."""
        return [INTRINSICS.index(name) for name in self.intrinsics]

    @property
    def by_view(self) -> int:
        """How many unknowns each view has of its own."""
        return 0 if self.pose is None else 6

    def deviations(self, views: int) -> Float[Tensor, " unknown"]:
        """Standard deviations of all unknowns: a twist [v | w] for each view, then the intrinsics."""
        pose = [] if self.pose is None else [self.pose[0]] * 3 + [self.pose[1]] * 3
        return torch.tensor(pose * views + list(self.intrinsics.values()), dtype=torch.float64)


@dataclass(frozen=True, eq=False)
class Sweep:
    """The views as they are believed to be.

    A view's pose is a twist from the left, about the pivot, of the one that it had. Intrinsics are those of all views.

    Attributes:
        given: the views to begin with.
        pose: camera-to-world poses, float64.
        intrinsics: what is added to sdd, x0 and y0 in mm and to the logarithm of the pixel size, float64.
        pivot: the point in world mm that twists turn about, float64.
        unknowns: which of these may change.
    """

    given: ConeViews
    pose: Matrices
    intrinsics: Float[Tensor, "4"]
    pivot: Float[Tensor, "3"]
    unknowns: Unknowns

    @classmethod
    def of(cls, views: ConeViews, pivot: Float[Tensor, "3"], unknowns: Unknowns) -> "Sweep":
        """The sweep as it was given."""
        pose = views.pose.matrix.detach().double()
        return cls(views, pose, pose.new_zeros(4), pivot.to(pose), unknowns)

    def __len__(self) -> int:
        return len(self.pose)

    def moved(self, step: Float[Tensor, " unknown"]) -> "Sweep":
        """The sweep after a step: twists of the views, then what is added to the intrinsics."""
        pose, intrinsics = self.pose, self.intrinsics.clone()
        own = len(self) * self.unknowns.by_view
        if own:
            pivots = self.pivot.expand(len(self), 1, 3)
            pose = turned(pose[:, None], step[:own].reshape(-1, 1, 6), pivots)[:, 0]
        intrinsics[self.unknowns.columns] += step[own:]
        return replace(self, pose=pose, intrinsics=intrinsics)

    def departure(self) -> Float[Tensor, " unknown"]:
        """How far all unknowns are from where they began."""
        intrinsics = self.intrinsics[self.unknowns.columns]
        return torch.cat([self.twists().flatten(), intrinsics]) if self.unknowns.by_view else intrinsics

    def twists(self) -> Float[Tensor, "view 6"]:
        """By how much each pose has moved, [v | w] in mm and radians, about the pivot."""
        motion = self.pose @ torch.linalg.inv(self.given.pose.matrix.detach().double())
        return se3_log_map(about(-self.pivot, motion))

    def free_motions(self) -> Float[Tensor, "unknown 7"]:
        """Steps that no image can tell from one of the volume: a twist of all views, and their distance from the pivot.

        An orthonormal basis in units of the standard deviations.
        """
        source = self.views().source - self.pivot
        twists = torch.eye(6).to(self.pose).expand(len(self), 6, 6)
        motions = torch.cat([twists, functional.pad(source, (0, 3))[..., None]], dim=-1).flatten(0, 1)
        motions = functional.pad(motions, (0, 0, 0, len(self.unknowns.columns)))
        scaled = motions / self.unknowns.deviations(len(self)).to(motions)[:, None]
        return torch.linalg.qr(scaled / scaled.norm(dim=0)).Q

    def views(self, factor: int = 1) -> ConeViews:
        """These views with `factor` x `factor` pixels joined, float64; what does not fill a pixel is left out."""
        detector, pose = self.given.detector, RigidTransform(self.pose)
        rows, columns = detector.height // factor, detector.width // factor
        coarse_to_fine = torch.eye(4).to(self.pose)
        coarse_to_fine[0, 0] = coarse_to_fine[1, 1] = factor
        step = -1 if detector.reverse_x_axis else 1
        coarse_to_fine[0, 3] = step * (columns * factor - detector.width) / 2
        coarse_to_fine[1, 3] = (detector.height - rows * factor) / 2
        shape = Detector(1.0, rows, columns, 1.0, 1.0, 0.0, 0.0, detector.reorient, None, detector.reverse_x_axis)
        return ConeViews(shape, pose, self._calibration() @ coarse_to_fine)

    def refined(self) -> ConeViews:
        """The views like those that were given, of their dtype."""
        given, pose = self.given, RigidTransform(self.pose.to(self.given.pose.matrix))
        if not self.unknowns.intrinsics:
            return ConeViews(given.detector, pose, given.calibration)
        if given.calibration is not None:
            return ConeViews(given.detector, pose, self._calibration().to(given.calibration))
        old, (sdd, x0, y0, size) = given.detector, self.intrinsics.tolist()
        lengths = (old.sdd, old.delx, old.dely, old.centre_x, old.centre_y)
        old_sdd, delx, dely, centre_x, centre_y = (
            float(torch.as_tensor(length, dtype=torch.float64).detach()) for length in lengths
        )
        detector = Detector(
            old_sdd + sdd,
            old.height,
            old.width,
            delx * math.exp(size),
            dely * math.exp(size),
            centre_x + x0,
            centre_y + y0,
            old.reorient,
            reverse_x_axis=old.reverse_x_axis,
        )
        return ConeViews(detector, pose)

    def linearise(
        self, volume: Float[Tensor, "x y z"], geometry: VolumeGeometry, factor: int, rays_at_once: int, backend: str
    ) -> tuple[Float[Tensor, "view ray"], Float[Tensor, "view own ray"], Float[Tensor, "view shared ray"]]:
        """The images of a volume, their derivatives by each view's own twist, and those by the shared intrinsics.

        Targets move along the beam with sdd, across it with x0 and y0, and outwards with the pixel size.
        """
        parts = []
        views, middles = self.views(factor), self._middles()
        group = max(1, rays_at_once // math.prod(views.image_shape))
        for first in range(0, len(self), group):
            part = views[first : first + group]
            source, target = (ends.to(volume) for ends in part.rays())
            image, jacobian = kernels.project_with_jacobian(
                volume,
                source,
                target,
                geometry.world_to_voxel,
                renderer="joseph",
                image_width=part.image_shape[1],
                backend=backend,
            )
            own = motion_derivatives(jacobian[:, 0], source, target, self.pivot.to(source))
            outwards = target - middles[first : first + group, None].to(target)
            axes = part.camera_to_world[:, :3, [2, 0, 1]].mT.to(target)
            directions = torch.cat([axes[:, :, None].expand(-1, -1, target.shape[1], 3), outwards[:, None]], dim=1)
            shared = (jacobian[..., 3:] * directions[:, self.unknowns.columns]).sum(-1)
            parts.append((image[:, 0], own[:, : self.unknowns.by_view], shared))
        images, by_twist, by_intrinsics = (torch.cat(column) for column in zip(*parts, strict=True))
        return images, by_twist, by_intrinsics

    def _middles(self) -> Float[Tensor, "view 3"]:
        """Where the detector's centre is in the world: targets move away from it as the pixels grow."""
        middle = self._calibration()[:, :, 2:].sum(-1, keepdim=True)
        return (self.given.detector.camera_to_world(RigidTransform(self.pose)).matrix @ middle)[:, :3, 0]

    def _calibration(self) -> Matrices:
        """From pixel units to the camera, for every view, with what is added to the intrinsics."""
        given = self.given.detector.calibration.matrix if self.given.calibration is None else self.given.calibration
        calibration = given.detach().to(self.pose).expand(len(self), 4, 4).clone()
        calibration[:, :, :2] *= self.intrinsics[3].exp()
        calibration[:, 2, 2] += self.intrinsics[0]
        calibration[:, :2, 3] += self.intrinsics[1:3]
        return calibration
