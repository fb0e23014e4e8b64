"""The geometry of a sweep as unknowns: poses and shared intrinsics, and how images change with them."""

import math
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from raygrad.geometry import ConeViews, UnknownGeometry, about, adjusted, directions, turned
from raygrad.march import Marching, Prepared, march_with_jacobian
from raygrad.pose import RigidTransform, se3_log_map
from raygrad.types import Matrices


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
    unknowns: UnknownGeometry

    @classmethod
    def of(cls, views: ConeViews, pivot: Float[Tensor, "3"], unknowns: UnknownGeometry) -> "Sweep":
        """The sweep as it was given."""
        pose = views.pose.matrix.detach().double()
        return cls(views, pose, pose.new_zeros(4), pivot.to(pose), unknowns)

    def __len__(self) -> int:
        return len(self.pose)

    @property
    def by_view(self) -> int:
        """How many unknowns each view has of its own."""
        return 6 if self.unknowns.has_poses else 0

    def deviations(self) -> Float[Tensor, " unknown"]:
        """Standard deviations of all unknowns: a twist [v | w] for each view, then the intrinsics."""
        return torch.cat([self.unknowns.of_twists(len(self)), self.unknowns.of_intrinsics(1)]).to(self.pose)

    def moved(self, step: Float[Tensor, " unknown"]) -> "Sweep":
        """The sweep after a step: twists of the views, then what is added to the intrinsics."""
        pose, intrinsics = self.pose, self.intrinsics.clone()
        own = len(self) * self.by_view
        if own:
            pivots = self.pivot.expand(len(self), 1, 3)
            pose = turned(pose[:, None], step[:own].reshape(-1, 1, 6), pivots)[:, 0]
        intrinsics[self.unknowns.columns] += step[own:]
        return replace(self, pose=pose, intrinsics=intrinsics)

    def departure(self) -> Float[Tensor, " unknown"]:
        """How far all unknowns are from where they began."""
        intrinsics = self.intrinsics[self.unknowns.columns]
        return torch.cat([self.twists().flatten(), intrinsics]) if self.by_view else intrinsics

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
        scaled = motions / self.deviations()[:, None]
        return torch.linalg.qr(scaled / scaled.norm(dim=0)).Q

    def views(self, factor: int = 1) -> ConeViews:
        """These views with `factor` x `factor` pixels joined, float64; what does not fill a pixel is left out."""
        detector, coarse_to_fine = self.given.detector, torch.eye(4).to(self.pose)
        rows, columns = detector.height // factor, detector.width // factor
        coarse_to_fine[0, 0] = coarse_to_fine[1, 1] = factor
        step = -1 if detector.reverse_x_axis else 1
        coarse_to_fine[0, 3] = step * (columns * factor - detector.width) / 2
        coarse_to_fine[1, 3] = (detector.height - rows * factor) / 2
        shape = detector.with_intrinsics(detector.intrinsics.detached().shrunk(factor))
        return ConeViews(shape, RigidTransform(self.pose), self.calibration() @ coarse_to_fine)

    def refined(self) -> ConeViews:
        """The views like those that were given, of their dtype."""
        given, pose = self.given, RigidTransform(self.pose.to(self.given.pose.matrix))
        if not self.unknowns.columns:
            return ConeViews(given.detector, pose, given.calibration)
        if given.calibration is not None:
            return ConeViews(given.detector, pose, self.calibration().to(given.calibration))
        old, (sdd, x0, y0, size) = given.detector.intrinsics.detached(), self.intrinsics.tolist()
        intrinsics = old.replaced(
            sdd=old.sdd + sdd,
            delx=old.delx * math.exp(size),
            dely=old.dely * math.exp(size),
            x0=old.x0 + x0,
            y0=old.y0 + y0,
        )
        return ConeViews(given.detector.with_intrinsics(intrinsics), pose)

    def linearise(
        self, volume: Prepared, factor: int, marching: Marching, rays_at_once: int
    ) -> tuple[Float[Tensor, "view ray"], Float[Tensor, "view own ray"], Float[Tensor, "view shared ray"]]:
        """The images of a volume, their derivatives by each view's own twist, and those by the shared intrinsics.

        Views are marched in groups of so many rays at once.
        """
        parts = []
        views, calibration, columns = self.views(factor), self.calibration(), self.unknowns.columns
        group = max(1, rays_at_once // math.prod(views.image_shape))
        for first in range(0, len(self), group):
            part = views[first : first + group]
            image, derivatives = march_with_jacobian(volume, part, marching)
            by_twist = derivatives.by_motion(self.pivot)[:, : self.by_view]
            by_intrinsics = by_twist[:, :0]
            if columns:
                _, target = derivatives.ends
                axes = directions(part.camera_to_world, calibration[first : first + group], target, columns)
                by_intrinsics = derivatives.by_targets(axes)
            parts.append((image[:, 0], by_twist, by_intrinsics))
        images, by_twist, by_intrinsics = (torch.cat(column) for column in zip(*parts, strict=True))
        return images, by_twist, by_intrinsics

    def calibration(self) -> Matrices:
        """From pixel units to the camera, for every view, with what is added to the intrinsics."""
        given = self.given.detector.calibration.matrix if self.given.calibration is None else self.given.calibration
        return adjusted(given.detach().to(self.pose).expand(len(self), 4, 4), self.intrinsics)
