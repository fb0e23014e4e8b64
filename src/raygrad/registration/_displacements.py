"""How far what moves by itself has moved."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import roma
import torch

from raygrad.data import Subject
from raygrad.pose import RigidTransform
from raygrad.registration._result import RegistrationResult


class Displacement(NamedTuple):
    """How far a structure is from where the CT has it: its centre in mm, and its turn in degrees."""

    mm: float
    degrees: float


def displacements(
    result: RegistrationResult,
    subject: Subject,
    structures: Mapping[str, Sequence[int]],
    start: int | None = None,
) -> dict[str, Displacement]:
    """How far each structure has moved against the rest of the patient.

    A camera sees a structure that has moved as a camera moved the other way sees it where the CT has it.

    Args:
        result: of `register`.
        subject: the CT, with the labelmap.
        structures: as `register` was given them.
        start: whose end is looked at, by default the best one's.

    Raises:
        ValueError: the subject has no labelmap.
    """
    if subject.mask is None:
        raise ValueError("Expected a subject with a mask. Got one without: read(..., labelmap=...).")
    start = result.best if start is None else start
    labelmap, voxel_to_world = subject.mask.voxels, subject.volume.voxel_to_world
    moved = {}
    for name, poses in result.structures.items():
        inside = torch.isin(labelmap, torch.tensor(list(structures[name]), dtype=labelmap.dtype))
        centre = torch.nonzero(inside).double().mean(dim=0)
        centre = voxel_to_world[:3, :3] @ centre + voxel_to_world[:3, 3]
        rest, own = (RigidTransform(pose[start].double().cpu()) for pose in (result.pose, poses[0]))
        motion = own.inverse().compose(rest)
        shift = motion(centre[None, None])[0, 0] - centre
        turn = roma.rotmat_geodesic_distance(motion.rotation[0], torch.eye(3, dtype=torch.float64))
        moved[name] = Displacement(shift.norm().item(), torch.rad2deg(turn).item())
    return moved
