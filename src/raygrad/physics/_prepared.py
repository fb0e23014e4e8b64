"""A CT ready to be marched for physics: volumes of its materials, made once."""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from raygrad import kernels
from raygrad._memory import extremes, memory_order
from raygrad._precision import WITHOUT_FLOAT64
from raygrad.data import HounsfieldWarning, Subject, why_not_hounsfield
from raygrad.drr import DRR
from raygrad.march import Prepared
from raygrad.physics._tissues import CLIPPED, NOTHING, Tissues
from raygrad.types import Affine

T = TypeVar("T")
DENSEST_BODY_HU = 4095.0
"""Enamel stays below; where a CT's numbers end, voxels of this one and less are metal."""


@dataclass(frozen=True, eq=False)
class PreparedTissues:
    """The materials of a CT, as volumes that marches take.

    Attributes:
        materials: names of those that are there; empty for the attenuation at one energy as the only volume.
        volume: `raygrad.march.Prepared`, whose values are (material, x, y, z): 1 where a voxel is filled with it.
        tissues: what they were made with.

    Rays through materials at densities of 1 are in mm: see `raygrad.physics.path_lengths`.
    """

    materials: tuple[str, ...]
    volume: Prepared
    tissues: Tissues

    @classmethod
    def of(
        cls, ct: Subject | DRR, tissues: Tissues | None = None, dtype: torch.dtype | None = None
    ) -> "PreparedTissues":
        """The materials of a CT in HU. Materials that no voxel holds are left out.

        Args:
            ct: a subject, or the DRR of one, whose dtype, device and grid are taken.
            tissues: what HU are made of, `Tissues()` by default.
            dtype: of the volumes of a subject; by default that of its density.

        Raises:
            ValueError: the numbers are no HU, or what `Tissues` raises.

        Warns:
            HounsfieldWarning: voxels are beyond the range of the CT's numbers and are taken for metal.
        """
        tissues = Tissues() if tissues is None else tissues
        hu, region, dtype = look_at(ct, tissues, dtype)
        values = tissues.volumes(hu, region=region, dtype=dtype)
        return keep_present(values, _world_to_voxel(ct), (0, 0, 0), tissues, None)

    @classmethod
    def at_energy(
        cls, ct: Subject | DRR, tissues: Tissues, kev: float | int, dtype: torch.dtype | None = None
    ) -> "PreparedTissues":
        """All materials as one volume of attenuation in 1/mm at one energy. Errors and warnings are those of `of`.

        Args:
            ct, tissues, dtype: as for `of`.
            kev: the energy in keV.
        """
        hu, region, dtype = look_at(ct, tissues, dtype)
        return cls((), _ready(tissues.volume_at(hu, kev, region, dtype)[None], _world_to_voxel(ct)), tissues)

    def attenuation(self, energies_kev: Any) -> Float[Tensor, "material energy"]:
        """Of the volumes, in 1/mm at the energies in keV."""
        if not self.materials:
            return torch.ones(1, torch.as_tensor(energies_kev).numel(), dtype=torch.float64)
        return self.tissues.attenuation(energies_kev, self.materials)


class Held(Generic[T]):
    """What was made last: given again as long as the tensors that it was made of and what is asked stay the same.

    Copies and files of what holds it go without it.
    """

    def __init__(self) -> None:
        self._key: tuple[Any, ...] | None = None
        self._made: T | None = None
        self._made_of: tuple[Tensor, ...] = ()

    def get(self, made_of: Sequence[Tensor], asked: tuple[Any, ...], make: Callable[[], T]) -> T:
        """What is asked of tensors: anew where a gradient flows to them, or where torch counts no writes to them."""
        tensors = tuple(made_of)
        if torch.compiler.is_compiling() or any(one.requires_grad or one.is_inference() for one in tensors):
            return make()
        key = (*asked, *((id(one), one._version, one.data_ptr()) for one in tensors))
        if self._made is None or self._key != key:
            with torch.inference_mode(False):  # it may be asked for again where derivatives are
                self._made = make()
            self._key, self._made_of = key, tensors
        return self._made

    def __reduce__(self) -> tuple[Any, ...]:
        return Held, ()


def prepared_tissues(drr: DRR, tissues: Tissues, kev: float | None) -> PreparedTissues:
    """The materials of a DRR's CT, or its attenuation at one energy, kept with the DRR."""
    drr._materials = held = drr._materials or Held()
    tensors = [one for one in (drr.subject.volume.data, drr.mask) if one is not None]
    factors = () if kev is None else tuple((name, float(one)) for name, one in sorted(tissues.densities.items()))
    asked = (tissues, kev, factors, drr.dtype, drr.device)
    prepared: PreparedTissues = held.get(tensors, asked, lambda: _prepare(drr, tissues, kev))
    volume = replace(prepared.volume, world_to_voxel=drr.world_to_voxel)
    return replace(prepared, volume=volume, tissues=tissues)  # whose densities may be others


def _prepare(drr: DRR, tissues: Tissues, kev: float | None) -> PreparedTissues:
    return PreparedTissues.of(drr, tissues) if kev is None else PreparedTissues.at_energy(drr, tissues, kev)


def look_at(
    ct: Subject | DRR, tissues: Tissues, dtype: torch.dtype | None
) -> tuple[Shaped[Tensor, "x y z"], Shaped[Tensor, "x y z"] | None, torch.dtype]:
    """HU, the regions that follow curves of their own, and the dtype to compute in."""
    if not isinstance(ct, (Subject, DRR)):
        raise TypeError(f"Expected a DRR or a Subject, as raygrad.read makes it. Got {type(ct).__name__}.")
    subject = ct.subject if isinstance(ct, DRR) else ct
    density = subject.density.data[0]
    dtype = (ct.dtype if isinstance(ct, DRR) else density.dtype) if dtype is None else dtype
    hu, mask = subject.volume.data[0], None if subject.mask is None else subject.mask.data[0]
    objection = why_not_hounsfield(subject.volume)
    if objection is not None:
        raise ValueError(f"Physics needs the CT in Hounsfield units (air -1000, water 0). {objection}")
    region = tissues.regions(hu, mask)
    if region is not None and tissues.metal_from_hu is None and bool((region == CLIPPED).any()):
        warnings.warn(
            f"{int((region == CLIPPED).sum())} voxels of the CT are at {extremes(hu)[1]:.0f} HU, where its numbers "
            f"end. They are taken for {tissues.metal}; Tissues(metal=...), --metal, names another, or none for bone.",
            HounsfieldWarning,
            stacklevel=2,
        )
    elif tissues.metal is not None and tissues.metal_from_hu is None and extremes(hu)[1] > DENSEST_BODY_HU:
        warnings.warn(
            f"The CT has values up to {extremes(hu)[1]:.0f} HU, which no part of a body reaches. They are taken for "
            f"dense bone; Tissues(metal_from_hu=3000) takes them for {tissues.metal}, metal=None says that it is bone.",
            HounsfieldWarning,
            stacklevel=2,
        )
    if mask is not None:
        outside = mask == 0
        # `read(..., labels=...)` sets all else to 0, which is water.
        if bool(outside.any()) and not bool((outside & ((hu.detach() != 0) | (density.detach() != 0))).any()):
            region = torch.zeros_like(hu, dtype=torch.uint8) if region is None else region
            region[outside] = NOTHING
    device = ct.device if isinstance(ct, DRR) else hu.device
    return hu.to(device), None if region is None else region.to(device), dtype


def keep_present(
    values: Float[Tensor, "material x y z"],
    world_to_voxel: Affine,
    corner: tuple[int, int, int],
    tissues: Tissues,
    device: torch.device | str | None,
) -> PreparedTissues:
    """The volumes of all materials of `tissues`, but for those that are empty, made ready.

    Args:
        values: in a box of the CT's voxels.
        world_to_voxel: of the CT.
        corner: the first voxel of the box.
        tissues: whose materials these are.
        device: where they are marched; where they are by default.
    """
    there = [place for place, one in enumerate(values.detach()) if bool(one.any())] or [0]
    materials = tuple(tissues.materials[place] for place in there)
    if len(there) < len(values):
        _, back = memory_order(values[0])
        values = values.permute(0, *(1 + back.index(axis) for axis in range(3)))[there]
        values = values.permute(0, *(1 + axis for axis in back))
    world_to_box = world_to_voxel.clone()
    world_to_box[:3, 3] -= torch.tensor([float(number) for number in corner]).to(world_to_box)
    return PreparedTissues(materials, _ready(values if device is None else values.to(device), world_to_box), tissues)


def _world_to_voxel(ct: Subject | DRR) -> Affine:
    return ct.world_to_voxel if isinstance(ct, DRR) else ct.volume.world_to_voxel


def _ready(values: Float[Tensor, "material x y z"], world_to_voxel: Affine) -> Prepared:
    if values.device.type not in WITHOUT_FLOAT64:
        world_to_voxel = world_to_voxel.to(values.device)
    constant = not values.requires_grad and not torch.compiler.is_compiling()
    return Prepared(values, world_to_voxel, kernels.prepare(values) if constant else None)
