"""Points of the patient over which errors are taken, and the part of the patient that moves by itself."""

import re
from functools import lru_cache

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from raygrad.data import Subject, Volume
from raygrad.types import Points

SPINE = re.compile(r"vertebra|sacrum|disc|spinal", re.IGNORECASE)
"""Names of structures that move with the spine."""


VERTEBRA = re.compile(r"vertebra", re.IGNORECASE)


def draw_points(subject: Subject, count: int, generator: torch.Generator, within: Tensor | None = None) -> Points:
    """Draw points of the world (1, count, 3), uniform within the body or within a part of it.

    The body is where the density is above half of its mean where it is positive: tissue, but neither air nor lung.

    Args:
        subject: the CT.
        count: of points.
        generator: of random numbers.
        within: the voxels to draw from (x, y, z), instead of the body's.

    Raises:
        ValueError: there is no such voxel.
    """
    density = subject.density.voxels
    if within is None:
        within = density > 0.5 * density[density > 0].mean()
    voxels = torch.nonzero(within.reshape(-1))[:, 0]
    if len(voxels) == 0:
        raise ValueError("Expected voxels to draw points from. Got none: the CT holds air only, or the part is empty.")
    chosen = voxels[torch.randint(len(voxels), (count,), generator=generator)]
    inside = (
        torch.stack(torch.unravel_index(chosen, within.shape), dim=-1)
        + torch.rand(count, 3, generator=generator, dtype=torch.float64)
        - 0.5
    )
    voxel_to_world = subject.volume.voxel_to_world
    return (inside @ voxel_to_world[:3, :3].mT + voxel_to_world[:3, 3])[None]


def find_spine(subject: Subject) -> list[int]:
    """The labels of the vertebrae and what lies between them, those that the labelmap has.

    Raises:
        ValueError: the subject has no labelmap with named structures, or none of them is a vertebra.
    """
    if subject.mask is None or subject.structures is None:
        raise ValueError("Expected a CT with a labelmap and the names of its structures. Got one without.")
    present = set(torch.unique(subject.mask.data).tolist())
    labels = [label for label, name in subject.structures.items() if SPINE.search(name) and label in present]
    if not labels:
        raise ValueError("Expected structures whose names have 'vertebra' in them. Got none.")
    return labels


def has_vertebrae(subject: Subject) -> bool:
    """Whether the labelmap names what `find_spine` looks for."""
    try:
        return bool(find_spine(subject))
    except ValueError:
        return False


def middle_vertebra(subject: Subject) -> int:
    """The label of the vertebra nearest to the middle of the CT's length; ValueError if there is none."""
    middles = middles_of_vertebrae(subject)
    centre = subject.volume.get_center()[2]
    return min(middles, key=lambda label: abs(middles[label][2] - centre))


def middle_of(subject: Subject, vertebra: int) -> tuple[float, float, float]:
    """The mean of a vertebra's voxels, in the world."""
    return middles_of_vertebrae(subject)[vertebra]


@lru_cache(maxsize=1)
def middles_of_vertebrae(subject: Subject) -> dict[int, tuple[float, float, float]]:
    """The middle of every vertebra by its label, from every second voxel of each axis; ValueError if there is none."""
    labels = [label for label in find_spine(subject) if VERTEBRA.search(subject.structures[label])]
    if not labels or subject.mask is None:
        raise ValueError("Expected structures whose names have 'vertebra' in them. Got none.")
    matrix = subject.volume.voxel_to_world.double()
    few = subject.mask.voxels[::2, ::2, ::2]
    voxels = torch.nonzero(torch.isin(few, torch.tensor(labels, dtype=few.dtype)))
    of = few[tuple(voxels.T)]
    middles = {}
    for label in labels:
        if len(own := voxels[of == label]):
            point = matrix[:3, :3] @ (2 * own.double().mean(0)) + matrix[:3, 3]
            middles[label] = (point[0].item(), point[1].item(), point[2].item())
    return middles


def tissue_value(hu: Float[Tensor, "x y z"], part: Bool[Tensor, "x y z"]) -> Tensor:
    """The HU of soft tissue outside of a part: what takes its place."""
    return hu[~part & (hu > -200) & (hu < 200)].median()


def select_labels(subject: Subject, labels: list[int]) -> Bool[Tensor, "x y z"]:
    """Where a subject's labelmap has one of these labels; ValueError if it has no labelmap."""
    if subject.mask is None:
        raise ValueError("Expected a CT with a labelmap. Got one without.")
    return torch.isin(subject.mask.voxels, torch.tensor(labels, dtype=subject.mask.data.dtype))


def displaced(subject: Subject, selected: Bool[Tensor, "x y z"]) -> tuple[Subject, Subject]:
    """The CT with one value of tissue wherever something is selected, and what the selected has more than that.

    What moves displaces tissue. One value everywhere is not what registration fills holes with.
    """
    density = subject.density.voxels
    tissue = density[~selected & (density > 0.5 * density[density > 0].mean())].median()
    rest, excess = torch.where(selected, tissue, density), torch.where(selected, density - tissue, 0.0)
    return _with_density(subject, rest), _with_density(subject, excess)


def _with_density(subject: Subject, density: Tensor) -> Subject:
    volume = Volume(density[None], subject.density.affine)
    return Subject(subject.volume, volume, orientation=subject.orientation, reorient=subject.reorient)
