"""What the patient is in the CT and in the X-ray: more of him, without his table, breathed in, in finer slices."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property, lru_cache

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from raygrad.data import Subject, Volume, cut_out_table
from raygrad.evaluation._conditions.implants import CARRIED
from raygrad.evaluation._conditions.paths import TISSUES, FineDetector, lengths_of, lengths_of_scene
from raygrad.evaluation._targets import find_spine, select_labels
from raygrad.physics import PathLengths, PreparedTissues
from raygrad.pose import RigidTransform
from raygrad.scene import Body, Scene

HU = Float[Tensor, "x y z"]

KEPT_SHARE = 0.6
"""Of the CT's length that is left where the patient goes on beyond it."""

MATTRESS_MM, CORE_MM, SKIN_MM = 14.0, 30.0, 2.5
MATTRESS_HU, CORE_HU, SKIN_HU = -900.0, -930.0, 150.0
"""A mattress on a board: foam between two skins of carbon fibre, which are as dense as bone is where it is spongy."""
HOLLOW_MM = 25.0
"""How much deeper the board is in the middle than at the CT's edges."""

THICK_MM = 5.0
"""Of thick slices, about; never less than two of the fine ones."""

INSPIRED_MM = 10.0
"""How much lower the diaphragm is in the X-ray."""
LATTICE_MM = 8.0
STILL_MM, FREE_MM = 8.0, 40.0
"""So near to the spine nothing moves, and so far from it all moves freely."""


@dataclass(eq=False)
class Patient:
    """The CT as registrations have it, and the patient as the X-rays see him.

    Attributes:
        ct: what is registered.
        seen: what the X-rays see; its HU count, not its density.
    """

    ct: Subject
    seen: Subject
    _lengths: dict[tuple, PathLengths] = field(default_factory=dict)
    _scenes: dict[tuple[str, ...], Scene] = field(default_factory=dict)

    @cached_property
    def prepared(self) -> PreparedTissues:
        """What the X-rays see, as volumes of materials."""
        return PreparedTissues.of(self.seen, TISSUES, torch.float32)

    def lengths(self, pose: RigidTransform, detector: FineDetector, carries: tuple[str, ...] = ()) -> PathLengths:
        """What lies on the rays, kept: conditions that differ in what comes after share it.

        Args:
            pose, detector: where from, and of what.
            carries: names of `CARRIED`: what the patient has about him.
        """
        wanted = (detector, carries, *pose.matrix.flatten().tolist())
        if wanted not in self._lengths:
            if carries:
                found = lengths_of_scene(self._scene(carries), self.seen, pose, detector)
            else:
                found = lengths_of(self.seen, self.prepared, pose, detector)
            self._lengths[wanted] = found
        return self._lengths[wanted]

    def _scene(self, carries: tuple[str, ...]) -> Scene:
        if carries not in self._scenes:
            solids = [solid for name in carries for solid in CARRIED[name](self.seen)]
            self._scenes[carries] = Scene([Body(self.seen), *solids])
        return self._scenes[carries]


def same(subject: Subject) -> Patient:
    """Nothing has changed between CT and X-ray."""
    return Patient(subject, subject)


def beyond(subject: Subject) -> Patient:
    """A CT of the middle `KEPT_SHARE` of the patient, whole in the X-ray. The world stays where it is."""
    slices = subject.volume.spatial_shape[2]
    kept = max(2, round(KEPT_SHARE * slices))
    first = (slices - kept) // 2
    affine = subject.volume.affine.copy()
    affine[:3, 3] += affine[:3, 2] * first

    def cut(volume: Volume) -> Volume:
        return Volume(volume.data[..., first : first + kept].clone(), affine)

    ct = Subject(
        cut(subject.volume), cut(subject.density), None if subject.mask is None else cut(subject.mask),
        orientation=subject.orientation, reorient=subject.reorient, structures=subject.structures,
    )  # fmt: skip
    return Patient(ct, subject)


def table(subject: Subject) -> Patient:
    """The X-ray is taken without the table that is in the CT; a CT that has none gets one."""
    alone = cut_out_table(subject.volume)
    if alone.litres > 0:
        # The grid is the subject's: subjects are read into canonical axes.
        return Patient(subject, _showing(subject, alone.volume.voxels))
    hu = subject.volume.voxels.float()
    return Patient(with_hu(subject, with_table(subject, hu)), subject)


def breathing(subject: Subject) -> Patient:
    """The CT was taken breathed out, the X-ray breathed in."""
    return Patient(subject, _showing(subject, inspired(subject)))


def thick(subject: Subject) -> Patient:
    """A CT of slices `THICK_MM` thick, each the mean of some of the fine ones, which the X-ray sees."""
    volume = subject.volume
    each = max(2, round(THICK_MM / float(volume.spacing[2])))
    count = volume.spatial_shape[2] // each
    first = (volume.spatial_shape[2] - each * count) // 2
    affine = volume.affine.copy()
    affine[:3, 3] += affine[:3, 2] * (first + (each - 1) / 2)
    affine[:3, 2] *= each

    def grouped(values: Tensor) -> Tensor:
        return values[..., first : first + each * count].unflatten(-1, (count, each))

    hu = grouped(volume.voxels).float().mean(-1)
    # A label is that of the slice in the middle.
    mask = None if subject.mask is None else Volume(grouped(subject.mask.data)[..., each // 2].contiguous(), affine)
    ct = Subject(
        Volume(hu.round().to(volume.data.dtype)[None], affine), Volume(density_of(subject, hu)[None], affine), mask,
        orientation=subject.orientation, reorient=subject.reorient, structures=subject.structures,
    )  # fmt: skip
    return Patient(ct, subject)


PATIENTS: dict[str, Callable[[Subject], Patient]] = {
    "same": same,
    "beyond": beyond,
    "table": table,
    "breathing": breathing,
    "thick": thick,
}


@lru_cache(maxsize=1)
def patient_of(kind: str, subject: Subject) -> Patient:
    """One of `PATIENTS`, kept until the next one is asked for, or all are forgotten: views share it."""
    return PATIENTS[kind](subject)


def density_of(subject: Subject, hu: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
    """The density of Hounsfield units as the subject has it, whatever it was made with: read off its voxels."""
    known, places = torch.unique(subject.volume.voxels[::4, ::4, ::2].reshape(-1).float(), return_inverse=True)
    value = torch.zeros(len(known)).index_put((places,), subject.density.voxels[::4, ::4, ::2].reshape(-1).float())
    above = torch.searchsorted(known, hu).clamp(1, len(known) - 1)
    below = above - 1
    share = ((hu - known[below]) / (known[above] - known[below])).clamp(0, 1)
    return (value[below] + share * (value[above] - value[below])).to(subject.density.data)


def with_hu(subject: Subject, hu: HU) -> Subject:
    """The subject with other Hounsfield units; its density of each stays what it is."""
    changed = hu != subject.volume.voxels
    density = subject.density.voxels.clone()
    density[changed] = density_of(subject, hu[changed])
    affine = subject.volume.affine
    return Subject(
        Volume(hu.to(subject.volume.data.dtype)[None], affine), Volume(density[None], affine), subject.mask,
        orientation=subject.orientation, reorient=subject.reorient, structures=subject.structures,
    )  # fmt: skip


def _showing(subject: Subject, hu: HU) -> Subject:
    """The subject with other Hounsfield units for X-rays, which do not look at its density."""
    return Subject(
        Volume(hu[None], subject.volume.affine), subject.density, subject.mask,
        orientation=subject.orientation, reorient=subject.reorient, structures=subject.structures,
    )  # fmt: skip


def with_table(subject: Subject, hu: HU) -> HU:
    """Mattress and board beneath the patient, along all of the CT: hollow, as those that patients lie in."""
    x, y = _axis(subject, 0), _axis(subject, 1)
    tissue = (hu > -500).any(2)
    # The patient's back: beneath it lies next to nothing of him.
    per_row = (hu > -500).float().sum((0, 2)).cumsum(0)
    back = y[int((per_row > 0.002 * per_row[-1]).int().argmax())]
    side = x.abs().max()
    top = back - 1.0 + HOLLOW_MM * (x / side).square()
    depth = top[:, None] - y[None, :]
    board = depth - MATTRESS_MM
    sheet = torch.full_like(depth, torch.nan)
    sheet = torch.where((depth >= 0) & (board < 0), MATTRESS_HU, sheet)
    sheet = torch.where((board >= 0) & (board < CORE_MM), CORE_HU, sheet)
    skin = ((board >= 0) & (board < SKIN_MM)) | ((board >= CORE_MM - SKIN_MM) & (board < CORE_MM))
    sheet = torch.where(skin, SKIN_HU, sheet)
    free = ~sheet.isnan() & ~_over(tissue, y)
    return torch.where(free[:, :, None] & (hu < -800), sheet[:, :, None].expand_as(hu), hu)


def _over(tissue: Bool[Tensor, "x y"], y: Float[Tensor, " y"]) -> Bool[Tensor, "x y"]:
    """Where there is tissue of any slice further down: inside the patient, where no table is."""
    order = tissue if y[1] > y[0] else tissue.flip(1)
    below = order.int().cumsum(1) > 0
    return below if y[1] > y[0] else below.flip(1)


def inspired(subject: Subject) -> HU:
    """Organs moved down the patient by up to `INSPIRED_MM`, most in the lower half; about the spine nothing moves."""
    hu = subject.volume.voxels.float()
    step = lattice_motion(subject)
    size = hu.shape
    out = torch.empty_like(hu)
    spacing = float(subject.volume.spacing[2])
    rising = 1.0 if subject.volume.voxel_to_world[2, 2] > 0 else -1.0
    y, z = (torch.linspace(-1, 1, count) for count in size[1:])
    fine = functional.interpolate(step[None, None], size=size, mode="trilinear", align_corners=True)[0, 0]
    for column in range(size[0]):
        # What is here came from higher up in the patient.
        shift = rising * fine[column] / spacing * 2 / max(1, size[2] - 1)
        places = torch.stack([z + shift, y[:, None].expand_as(shift)], dim=-1)
        sampled = functional.grid_sample(
            hu[column][None, None], places[None], mode="bilinear", padding_mode="border", align_corners=True
        )[0, 0]
        out[column] = torch.where(shift == 0, hu[column], sampled)
    return out


def lattice_motion(subject: Subject) -> Float[Tensor, "a b c"]:
    """How far tissue has moved down, in mm, on a coarse lattice over the CT."""
    spine = select_labels(subject, find_spine(subject))
    counts = [
        max(2, round(size * side / LATTICE_MM)) for size, side in zip(spine.shape, subject.volume.spacing, strict=True)
    ]
    near = functional.adaptive_max_pool3d(spine.float()[None, None], counts)
    near = functional.max_pool3d(near, 3, 1, 1)  # interpolated between lattice points, the spine stays exactly still
    steps = round((FREE_MM - STILL_MM) / LATTICE_MM)
    away, reached = torch.zeros_like(near), near
    for _ in range(steps):
        away = away + (1 - reached) / steps
        reached = functional.max_pool3d(reached, 3, 1, 1)
    free = away * away * (3 - 2 * away)
    z = torch.nn.functional.interpolate(_axis(subject, 2)[None, None], size=counts[2], mode="linear")[0, 0]
    top, bottom = z.max(), z.min()
    # Apices hang in the chest wall, the diaphragm's domes are near the middle of a chest CT.
    down = ((top - z) / (0.6 * (top - bottom))).clamp(0, 1)
    down = down * down * (3 - 2 * down)
    return (INSPIRED_MM * free[0, 0] * down).contiguous()


def _axis(subject: Subject, axis: int) -> Float[Tensor, " voxel"]:
    """The world's coordinate of voxels along an axis; subjects have the patient's axes."""
    matrix = subject.volume.voxel_to_world
    return (torch.arange(subject.volume.spatial_shape[axis]) * matrix[axis, axis] + matrix[axis, 3]).float()
