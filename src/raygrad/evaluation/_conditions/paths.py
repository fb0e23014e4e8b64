"""What lies on the rays of an X-ray: how many mm of each material of a CT, and of what the patient carries."""

import warnings
from dataclasses import replace
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from raygrad.data import Subject
from raygrad.drr import DRR
from raygrad.geometry import ConeViews
from raygrad.march import Marching, Prepared
from raygrad.physics import PathLengths, PreparedTissues, Tissues, path_lengths
from raygrad.pose import RigidTransform
from raygrad.scene import Scene, SceneWarning

HU = Float[Tensor, "x y z"]

TISSUES = Tissues()


class FineDetector(NamedTuple):
    """A square detector, and how finely rays to it are sampled."""

    sdd: float
    size: int
    pixel: float
    samples: int

    @property
    def marching(self) -> Marching:
        """Another renderer than registrations have."""
        return Marching("trilinear", self.samples)

    def drr(self, subject: Subject) -> DRR:
        """Of a subject, with this detector."""
        return DRR(subject, self.sdd, self.size, self.pixel)


@torch.no_grad()
def lengths_of(
    subject: Subject, prepared: PreparedTissues, pose: RigidTransform, detector: FineDetector
) -> PathLengths:
    """The path lengths of all materials of a CT, as the pose sees them on the detector."""
    return path_lengths(detector.drr(subject), pose, TISSUES, prepared=prepared, marching=detector.marching)


@torch.no_grad()
def lengths_of_scene(scene: Scene, subject: Subject, pose: RigidTransform, detector: FineDetector) -> PathLengths:
    """Those of a scene of a CT and solids, which take the place of what they are in.

    Args:
        scene: what is seen; its materials are kept with it.
        subject: who is posed.
        pose, detector: where from, and of what.
    """
    views = ConeViews.of(detector.drr(subject), pose)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SceneWarning)  # leads go on beyond the image
        return path_lengths(scene, views, TISSUES, marching=detector.marching)


@torch.no_grad()
def lengths_of_parts(
    subject: Subject, rest: HU, poses: tuple[RigidTransform, RigidTransform], detector: FineDetector
) -> PathLengths:
    """Those of a patient a part of whom is seen from another pose: what it has more than what takes its place.

    Args:
        subject: the patient.
        rest: his HU with something else in the part's place.
        poses: of the rest, and of the part.
        detector: the detector.
    """
    of_rest = TISSUES.volumes(rest)
    excess = TISSUES.volumes(subject.volume.voxels.float()).sub_(of_rest)
    world_to_voxel = subject.volume.world_to_voxel
    both = [
        lengths_of(subject, PreparedTissues(TISSUES.materials, Prepared(one, world_to_voxel), TISSUES), pose, detector)
        for one, pose in zip((of_rest, excess), poses, strict=True)
    ]
    return replace(both[0], lengths=both[0].lengths + both[1].lengths)
