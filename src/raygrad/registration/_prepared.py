"""An X-ray and what it is compared to, as every method of registration takes them."""

from collections.abc import Sequence
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from raygrad._hidden import Hidden
from raygrad.drr import DRR
from raygrad.geometry import Detector, views_from
from raygrad.march import Bodies, Marching
from raygrad.pose import RigidTransform
from raygrad.types import Images, Vectors


@dataclass(frozen=True, eq=False)
class PreparedXRay:
    """One X-ray of the patient, ready for registration. `prepare_xrays` makes it, and checks all of it.

    Attributes:
        image: line integrals, in the dtype of rendered images and on their device.
        weights: how much each pixel counts, from 0 to 1; like `image`. At least one is 1.
        init: the starts as poses (camera_to_world before `reorient`): float64, whatever the images' dtype, so that
            what many small steps add up to is not rounded; and on their device (see `finest_dtype`).
        detector: rows, columns and intrinsics.
        whole: all that the X-ray shows, as one body.
        marching: how rays are marched.
        isocentre: the middle of what the X-ray shows, in mm of the world.
        drr: of the CT, where it is one: what structures are cut out of.
        hidden: what of it does not count by the picture itself, which `weights` have; None if nobody looked.
    """

    image: Float[Tensor, "1 1 height width"]
    weights: Float[Tensor, "height width"]
    init: RigidTransform
    detector: Detector
    whole: Bodies
    marching: Marching
    isocentre: tuple[float, float, float]
    drr: DRR | None = None
    hidden: Hidden | None = None

    def render(self, pose: RigidTransform) -> Images:
        """The images (batch, 1, height, width) from these poses."""
        image = self.whole.march([views_from(self.detector, pose)], self.marching)
        return image.reshape(len(pose), 1, *self.weights.shape)


def beams_of(xrays: Sequence[PreparedXRay], poses: Sequence[RigidTransform]) -> tuple[Vectors, ...]:
    """Which way every view looks from its poses, as unit vectors in the CT's world, on the CPU."""
    views = zip(xrays, poses, strict=True)
    return tuple(xray.detector.camera_to_world(pose).matrix[:, :3, 2].detach().cpu() for xray, pose in views)
