"""Where balls are seen, how that changes with pose and intrinsics, and what a ball looks like."""

from dataclasses import dataclass, replace

import roma
import torch
from jaxtyping import Float
from torch import Tensor

from raygrad.geometry import ConeViews, Intrinsics
from raygrad.pose import RigidTransform

Balls = Float[Tensor, "ball 3"]
Pixels = Float[Tensor, "*candidate ball 2"]

UNKNOWNS = 9
"""Shift and turn of the phantom along and about the camera's axes, about the middle of its balls; sdd, x0, y0."""


@dataclass(frozen=True, eq=False)
class BallCamera:
    """Cameras of one detector, and one phantom's place before each. All in float64 on the CPU.

    Attributes:
        intrinsics: in plain numbers, those that are not below.
        world_to_camera: (*candidate, 4, 4).
        lengths: (*candidate, 3): sdd, and where the detector's centre is, x0 and y0.
    """

    intrinsics: Intrinsics
    world_to_camera: Float[Tensor, "*candidate 4 4"]
    lengths: Float[Tensor, "*candidate 3"]

    @classmethod
    def of(cls, view: ConeViews) -> "BallCamera":
        """The camera of the first view."""
        known = view.detector.intrinsics.detached()
        reorient = view.detector.reorient.matrix.detach().cpu().double()
        pose = view.pose.matrix[:1].detach().cpu().double()
        world_to_camera = torch.linalg.inv(pose @ reorient)[0]
        lengths = torch.tensor([float(length) for length in (known.sdd, known.x0, known.y0)], dtype=torch.float64)
        return cls(known, world_to_camera, lengths)

    def view(self, like: ConeViews) -> ConeViews:
        """The view of this one camera, with the detector's `reorient`."""
        sdd, x0, y0 = self.lengths.tolist()
        detector = like.detector.with_intrinsics(self.intrinsics.replaced(sdd=sdd, x0=x0, y0=y0))
        reorient = like.detector.reorient.matrix.detach().cpu().double()
        pose = torch.linalg.inv(self.world_to_camera) @ torch.linalg.inv(reorient)
        return ConeViews(detector, RigidTransform(pose.reshape(1, 4, 4)))

    @property
    def _signs(self) -> tuple[float, float]:
        """Columns and rows a mm along the camera's x and y."""
        across = (-1.0 if self.intrinsics.reverse_x_axis else 1.0) / float(self.intrinsics.delx)
        return across, -1.0 / float(self.intrinsics.dely)

    def matrix(self) -> Float[Tensor, "*candidate 3 4"]:
        """(x, y, z, 1) in world mm to (u w, v w, w), w the depth in mm, u and v from the first pixel's outer corner."""
        middle = self.lengths.new_tensor(
            [[0, 0, self.intrinsics.width / 2], [0, 0, self.intrinsics.height / 2], [0, 0, 1]]
        )
        camera_to_pixel = middle + (self.lengths[..., None, None] * self._by_lengths()).sum(-3)
        return camera_to_pixel @ self.world_to_camera[..., :3, :]

    def matrix_jacobian(self, balls: Balls) -> Float[Tensor, "12 unknown"]:
        """The derivatives of one camera's matrix, row by row, by the unknowns."""
        place = self.world_to_camera[:3]
        camera_to_pixel = torch.linalg.solve(place[:, :3].mT, self.matrix()[:, :3].mT).mT
        shifts, turns = torch.zeros(3, 3, 4, dtype=place.dtype), place.clone()
        shifts[..., 3] = torch.eye(3, dtype=place.dtype)
        turns[:, 3] -= self._pivot(balls)
        axes = _cross(torch.eye(3, dtype=place.dtype)).mT  # that take a vector to its product with an axis
        parts = [camera_to_pixel @ shifts, camera_to_pixel @ axes @ turns, self._by_lengths() @ place]
        return torch.cat(parts).flatten(1).mT

    def _by_lengths(self) -> Float[Tensor, "3 3 3"]:
        """The derivatives of the map from the camera's frame to pixels by sdd, x0 and y0."""
        across, down = self._signs
        by = torch.zeros(3, 3, 3, dtype=self.lengths.dtype)
        by[0, 0, 0], by[0, 1, 1], by[1, 0, 2], by[2, 1, 2] = across, down, -across, -down
        return by

    def placed(self, balls: Balls) -> Float[Tensor, "*candidate ball 3"]:
        """Where balls are in the camera's frame."""
        return balls @ self.world_to_camera[..., :3, :3].mT + self.world_to_camera[..., None, :3, 3]

    def project(self, balls: Balls) -> Pixels:
        """The pixel coordinates of the balls' centres, from the first pixel's outer corner."""
        across, down = self._signs
        seen = self.placed(balls)
        at = seen[..., :2] / seen[..., 2:] * self.lengths[..., None, :1] - self.lengths[..., None, 1:]
        middle = torch.tensor([self.intrinsics.width, self.intrinsics.height], dtype=at.dtype) / 2
        return middle + at * torch.tensor([across, down], dtype=at.dtype)

    def jacobian(self, balls: Balls) -> Float[Tensor, "*candidate ball 2 unknown"]:
        """The derivatives of `project` by the unknowns, see `moved`."""
        seen = self.placed(balls)
        arm = seen - self._pivot(balls)[..., None, :]
        x, y, z = seen.unbind(-1)
        sdd = self.lengths[..., None, 0].expand_as(z)
        none, one = torch.zeros_like(z), torch.ones_like(z)
        by_place = torch.stack(
            [torch.stack([sdd / z, none, -sdd * x / z**2], -1), torch.stack([none, sdd / z, -sdd * y / z**2], -1)], -2
        )
        by_turn = by_place @ _cross(arm)
        by_lengths = torch.stack([torch.stack([x / z, -one, none], -1), torch.stack([y / z, none, -one], -1)], -2)
        scale = torch.tensor(self._signs, dtype=z.dtype)[:, None]
        return scale * torch.cat([by_place, by_turn, by_lengths], -1)

    def moved(self, step: Float[Tensor, "*candidate unknown"], balls: Balls) -> "BallCamera":
        """After a step: shift in mm, rotation vector, and what is added to sdd, x0 and y0."""
        pivot = self._pivot(balls)
        motion = torch.eye(4, dtype=step.dtype).expand(*step.shape[:-1], 4, 4).clone()
        motion[..., :3, :3] = roma.rotvec_to_rotmat(step[..., 3:6])
        motion[..., :3, 3] = step[..., :3] + pivot - (motion[..., :3, :3] @ pivot[..., None])[..., 0]
        return replace(self, world_to_camera=motion @ self.world_to_camera, lengths=self.lengths + step[..., 6:])

    def _pivot(self, balls: Balls) -> Float[Tensor, "*candidate 3"]:
        return self.placed(balls.mean(0, keepdim=True))[..., 0, :]

    def thickness(
        self, place: Float[Tensor, " 3"], radius: float, pixels: Float[Tensor, "*pixel 2"]
    ) -> Float[Tensor, "*pixel"]:
        """The mm of a ball, whose centre is at a place in the camera's frame, on the rays to pixel coordinates."""
        ray = self._rays(pixels)
        along = (ray * place).sum(-1).square() / ray.square().sum(-1)
        return 2 * (radius**2 - place.square().sum() + along).clamp_min(0.0).sqrt()

    def _rays(self, pixels: Float[Tensor, "*pixel 2"]) -> Float[Tensor, "*pixel 3"]:
        middle = torch.tensor([self.intrinsics.width, self.intrinsics.height], dtype=pixels.dtype) / 2
        at = (pixels - middle) / torch.tensor(self._signs, dtype=pixels.dtype) + self.lengths[1:]
        return torch.cat([at, self.lengths[0].expand(*at.shape[:-1], 1)], -1)

    def pixel_radii(self, balls: Balls, radii: Float[Tensor, " ball"]) -> Float[Tensor, " ball"]:
        """About how many pixels the shadows' radii are."""
        depth = self.placed(balls)[..., 2]
        return radii * self.lengths[0] / depth / max(float(self.intrinsics.delx), float(self.intrinsics.dely))


def _cross(arm: Float[Tensor, "*candidate ball 3"]) -> Float[Tensor, "*candidate ball 3 3"]:
    """The matrices that take w to w x arm."""
    x, y, z = arm.unbind(-1)
    none = torch.zeros_like(x)
    rows = [torch.stack([none, z, -y], -1), torch.stack([-z, none, x], -1), torch.stack([y, -x, none], -1)]
    return torch.stack(rows, -2)
