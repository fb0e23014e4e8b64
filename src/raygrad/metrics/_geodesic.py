"""Distances of poses."""

from torch import nn
from torch.linalg import vector_norm

from raygrad.metrics._checks import Number
from raygrad.pose import RigidTransform, so3_log_map
from raygrad.types import Scores


class LogGeodesicSE3(nn.Module):
    """The length of the twist between two batches of poses, |log(pose_1^-1 pose_2)| in SE(3), -> (B,).

    It mixes millimetres and radians; either batch may be 1.
    """

    def forward(self, pose_1: RigidTransform, pose_2: RigidTransform) -> Scores:
        """The distances (B,); ValueError if the batches do not match."""
        return vector_norm(pose_2.compose(pose_1.inverse()).get_se3_log(), dim=-1)


class DoubleGeodesicSE3(nn.Module):
    """The distances in rotation and translation between two batches of poses, and both together, all in mm.

    The angle becomes millimetres as an arc about the isocentre of radius sdd / 2. Translations are the xyz of the
    parameters, R' t, as `RigidTransform.convert` returns them.

    Args:
        sdd: source-to-detector distance in mm.
        eps: added (mm^2) below the root of the sum of squares.
    """

    def __init__(self, sdd: Number, eps: Number = 1e-6) -> None:
        super().__init__()
        self.sdr = sdd / 2
        self.eps = eps

    def forward(self, pose_1: RigidTransform, pose_2: RigidTransform) -> tuple[Scores, Scores, Scores]:
        """Rotational, translational and double geodesic (B,) each; ValueError if the batches do not match."""
        between = pose_2.compose(pose_1.inverse())
        rotation = self.sdr * vector_norm(so3_log_map(between.rotation), dim=-1)
        _, xyz_1 = pose_1.convert("matrix")
        _, xyz_2 = pose_2.convert("matrix")
        translation = vector_norm(xyz_1 - xyz_2, dim=-1)
        return rotation, translation, (rotation.square() + translation.square() + self.eps).sqrt()
