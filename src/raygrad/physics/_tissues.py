"""What a CT is made of: volumes of materials from its Hounsfield units (HU).

HU say what a voxel attenuates at the CT's effective energy, relative to water. A voxel between two materials is taken
for a mixture of both by volume, as partial volumes are: HU are linear in the share of the volume then, and at that
energy the mixture attenuates what the HU say, to rounding. So do stoichiometric calibrations along the HU of tissues
(U. Schneider, E. Pedroni and A. Lomax, Phys. Med. Biol. 41:111, 1996), with more materials.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import pairwise
from typing import Any

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from raygrad._attenuation import linear_attenuation, material_named
from raygrad._memory import extremes
from raygrad.data import hu_to_attenuation, water_and_bone
from raygrad.physics._piecewise import Curves, apply_curves
from raygrad.types import Labels

AIR_HU = -1000.0
Nodes = Sequence[tuple[str, float | int | None]]
NODES: Nodes = (
    ("lung", -750.0),  # inflated: 0.26 g/cm3 in ICRU report 46
    ("adipose", None),
    ("soft tissue", 0.0),
    ("soft tissue", 100.0),  # so that noise makes neither fat nor bone of it
    ("cortical bone", None),
)
TISSUE, CONTRAST, METAL, CLIPPED, NOTHING = range(5)
"""Regions of a CT: which of the curves its voxels follow."""


@dataclass(frozen=True)
class Tissues:
    """How Hounsfield units become materials.

    Args:
        nodes: materials and the HU of voxels that are nothing else, rising; of None, those that the material has at its
            own density. Voxels between two nodes are mixtures of both by volume. Below the first it gets thinner, down
            to nothing at -1000 HU and below; above the last it gets denser.
        ct_energy_kev: effective energy of the CT, from 40 to 150; about 70 for a tube voltage of 120 kV.
        metal: what voxels are that a CT could not measure, since its numbers end at 3071 HU: metal of its own density.
            They are recognised, and told by a warning; None leaves them to the nodes.
        metal_from_hu: from here on all is that metal, of the density that the HU say, but where the numbers end.
        contrast: an agent, which in blood makes what `contrast_labels` say.
        contrast_labels: the structures of the mask (vessels, heart) that contrast agent fills. What their HU are above
            blood's is the agent: with "iohexol 300", 300 mg of iodine in each ml of it.
        densities: by material, what its density is multiplied by when X-rays are made, 1 for all others. Tensors of one
            number may carry a gradient.
        bilinear: the calibration of `water_and_bone`, which sets this.

    Attributes:
        materials: names of all that there may be.

    Raises:
        ValueError: an unknown material, HU that do not rise or are not above -1000, an energy beyond its range.
        TypeError: something of another kind.
    """

    nodes: Nodes = NODES
    ct_energy_kev: float | int = 70.0
    metal: str | None = "titanium"
    metal_from_hu: float | int | None = None
    contrast: str = "iohexol 300"
    contrast_labels: Sequence[int] = ()
    densities: Mapping[str, Any] = field(default_factory=dict, compare=False)
    bilinear: bool = field(default=False, repr=False)

    def __post_init__(self) -> None:
        if not 40 <= self.ct_energy_kev <= 150:
            raise ValueError(f"Expected ct_energy_kev from 40 to 150. Got {self.ct_energy_kev}.")
        nodes = tuple((material_named(name), hu) for name, hu in self.nodes)
        if not nodes:
            raise ValueError("Expected at least one node (material, HU). Got none.")
        object.__setattr__(self, "nodes", tuple((name, self._hu_of(name) if hu is None else hu) for name, hu in nodes))
        at = [AIR_HU, *(float(hu) for _, hu in self.nodes if hu is not None)]
        if not all(math.isfinite(hu) for hu in at) or any(b <= a for a, b in pairwise(at)):
            shown = ", ".join(f"{name} {hu:.0f}" for name, hu in self.nodes)
            raise ValueError(f"Expected nodes of rising HU above -1000. Got {shown}.")
        if self.metal is not None:
            object.__setattr__(self, "metal", material_named(self.metal))
        elif self.metal_from_hu is not None:
            raise ValueError(f"Expected a metal with metal_from_hu={self.metal_from_hu}. Got metal=None.")
        if self.metal_from_hu is not None and not AIR_HU < self.metal_from_hu < math.inf:
            raise ValueError(f"Expected metal_from_hu above -1000. Got {self.metal_from_hu}.")
        object.__setattr__(self, "contrast", material_named(self.contrast))
        labels = (self.contrast_labels,) if isinstance(self.contrast_labels, int) else self.contrast_labels
        object.__setattr__(self, "contrast_labels", tuple(int(label) for label in labels))
        object.__setattr__(self, "densities", {material_named(name): one for name, one in self.densities.items()})
        for name, factor in self.densities.items():
            _check_factor(name, factor)

    @classmethod
    def water_and_bone(cls, ct_energy_kev: float | int = 70.0) -> "Tissues":
        """Water up to 100 HU, and cortical bone from there: those of `raygrad.data.hu_to_attenuation`, to the bit.

        Coefficients are NIST's, as there. Above bone's own HU (about 1560) the line goes on: more bone, less than none
        of the water.
        """
        nodes = (("water", 100.0), ("cortical bone", None))
        return cls(nodes, ct_energy_kev, metal=None, bilinear=True)

    @property
    def materials(self) -> tuple[str, ...]:
        """Names of all that there may be."""
        names = [name for name, _ in self.nodes]
        if self.contrast_labels:
            names += ["blood", self.contrast]
        if self.metal is not None:
            names.append(self.metal)
        return tuple(dict.fromkeys(names))

    def attenuation(
        self, energies_kev: Any, materials: Sequence[str] | None = None
    ) -> Float[Tensor, "material energy"]:
        """Of the materials, in 1/mm, with their `densities`.

        Args:
            energies_kev: in keV, a number or a tensor.
            materials: names; by default `materials`.
        """
        rows = []
        for name in self.materials if materials is None else materials:
            row, factor = self._nominal(name, energies_kev), self.densities.get(name, 1.0)
            if isinstance(factor, Tensor):
                row, factor = row.to(factor.device), factor.reshape(()).to(row.dtype)
            rows.append(row * factor)
        device = next((row.device for row in rows if row.device.type != "cpu"), torch.device("cpu"))
        return torch.stack([row.to(device) for row in rows])

    def volumes(
        self,
        hu: Shaped[Tensor, "x y z"],
        labels: Labels | None = None,
        region: Shaped[Tensor, "x y z"] | None = None,
        dtype: torch.dtype | None = None,
    ) -> Float[Tensor, "material x y z"]:
        """The volume of each material, relative to its own density: 1 where a voxel is filled with it.

        Args:
            hu: of any type and memory order, which each result has. Gradients flow to it; at a node its derivative is
                that on the right.
            labels: structures of the voxels, where there are `contrast_labels`.
            region: what `regions` makes of both, if that is known already.
            dtype: of the results; by default that of the HU, and float32 for whole numbers.

        Raises:
            ValueError: there are contrast labels, and no labels or none of these.
        """
        region = self.regions(hu, labels) if region is None else region
        return apply_curves(hu, self._curves(), region, _floating(hu) if dtype is None else dtype)

    def volume_at(
        self,
        hu: Shaped[Tensor, "x y z"],
        kev: float | int,
        region: Shaped[Tensor, "x y z"] | None = None,
        dtype: torch.dtype | None = None,
    ) -> Float[Tensor, "x y z"]:
        """Attenuation of voxels at one energy in 1/mm; arguments as for `volumes`, errors as for `attenuation`."""
        dtype = _floating(hu) if dtype is None else dtype
        if self.bilinear and not self.densities and dtype == torch.float32 and not hu.requires_grad:
            return hu_to_attenuation(hu, kev, self.ct_energy_kev)
        weights = self.attenuation(kev).detach().cpu()
        return apply_curves(hu, [one.combined(weights) for one in self._curves()], region, dtype)[0]

    def regions(self, hu: Shaped[Tensor, "x y z"], labels: Labels | None = None) -> Shaped[Tensor, "x y z"] | None:
        """Which curve voxels follow (uint8); None where it is the tissues' everywhere.

        Arguments and errors are those of `volumes`.
        """
        hu = hu.detach()
        region = torch.zeros_like(hu, dtype=torch.uint8)
        if self.contrast_labels:
            region[self._with_contrast(labels)] = CONTRAST
        if self.metal is not None:
            if self.metal_from_hu is not None:
                region[hu >= self.metal_from_hu] = METAL
            top = top_of_range(hu)
            if top is not None and (self.metal_from_hu is None or top >= self.metal_from_hu):
                region[hu == top] = CLIPPED
        return region if bool(region.any()) else None

    def _with_contrast(self, labels: Labels | None) -> Tensor:
        if labels is None:
            raise ValueError("Expected a CT with a mask for contrast_labels. Got one without: read(..., labelmap=...).")
        found = torch.isin(labels, torch.tensor(self.contrast_labels).to(labels))
        missing = [label for label in self.contrast_labels if not bool((labels == label).any())]
        if missing:
            there = ", ".join(map(str, labels.unique().tolist()[:20]))
            raise ValueError(f"Expected contrast_labels that voxels of the mask have: {there}. Got {missing}.")
        return found

    def _nominal(self, name: str, energies_kev: Any) -> Float[Tensor, " energy"]:
        if not (self.bilinear and name in ("water", "cortical bone")):
            if isinstance(energies_kev, Tensor) and not energies_kev.requires_grad:
                return _at_constant(name, tuple(energies_kev.reshape(-1).tolist())).to(energies_kev.device)
            return linear_attenuation(name, energies_kev)
        energies = torch.as_tensor(energies_kev, dtype=torch.float64).reshape(-1)
        if energies.requires_grad:
            raise ValueError("Expected energies without a gradient with Tissues.water_and_bone(): Tissues() take one.")
        place = ("water", "cortical bone").index(name)
        return torch.tensor([water_and_bone(kev)[place] for kev in energies.tolist()], dtype=torch.float64)

    def _at_ct(self, name: str) -> float:
        return float(self._nominal(name, float(self.ct_energy_kev)))

    def _hu_of(self, name: str) -> float:
        """The CT number of a material at its own density."""
        return 1000 * (self._at_ct(name) / self._at_ct("water") - 1)

    def _curves(self) -> list[Curves]:
        """Of all regions."""
        curves = [self._line(self.nodes)]
        if self.bilinear:
            (tissue,) = curves
            return [Curves(tissue.nodes[:2], tissue.values[:2], tissue.slopes[:2])]  # the second line goes on
        one = torch.eye(len(self.materials), dtype=torch.float64)
        nothing = Curves.constant(torch.zeros_like(one[0]))
        contrast = metal = clipped = nothing
        if self.contrast_labels:
            contrast = self._line([("blood", self._hu_of("blood")), (self.contrast, self._hu_of(self.contrast))])
        if self.metal is not None:
            metal = self._line([(self.metal, self._hu_of(self.metal))])
            clipped = Curves.constant(one[self.materials.index(self.metal)])
        return [*curves, contrast, metal, clipped, nothing]

    def _line(self, nodes: Nodes) -> Curves:
        """From nothing at -1000 HU through the nodes."""
        water, materials = self._at_ct("water"), self.materials
        at, volumes = [AIR_HU], torch.zeros(len(nodes) + 1, len(materials), dtype=torch.float64)
        for place, (name, hu) in enumerate(nodes, start=1):
            at.append(float("nan") if hu is None else float(hu))
            volumes[place, materials.index(name)] = (1 + at[-1] / 1000) * water / self._at_ct(name)
        return Curves.through(at, volumes, volumes[-1] / (at[-1] - AIR_HU))


@lru_cache(maxsize=128)
def _at_constant(name: str, energies_kev: tuple[float, ...]) -> Float[Tensor, " energy"]:
    """Of a material at the energies of a spectrum, for the next image."""
    return linear_attenuation(name, torch.tensor(energies_kev, dtype=torch.float64))


def top_of_range(hu: Tensor) -> float | None:
    """The HU at which a CT's numbers end, where voxels show that they do; None if none do.

    Twelve bits end at 3071 HU (at 3095 or 4095 where they begin at -1000 or 0). Voxels that were cut off there lie at
    that number exactly, and more than just below it.
    """
    _, highest = extremes(hu)
    if highest not in (3071.0, 3095.0, 4095.0):
        return None
    at_top = int((hu == highest).sum())
    below = int(((hu >= highest - 25) & (hu < highest)).sum())
    return highest if at_top >= 4 and at_top > below else None


def _floating(hu: Tensor) -> torch.dtype:
    return hu.dtype if hu.is_floating_point() else torch.float32


def _check_factor(name: str, factor: Any) -> None:
    if isinstance(factor, Tensor) and (factor.numel() != 1 or not factor.is_floating_point()):
        raise TypeError(f"Expected the factor on the density of {name} as one number. Got {tuple(factor.shape)}.")
    value = factor.item() if isinstance(factor, Tensor) else factor
    if not math.isfinite(value) or value < 0:
        raise ValueError(f"Expected a factor of at least 0 on the density of {name}. Got {value}.")
