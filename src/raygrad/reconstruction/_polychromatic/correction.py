"""Beam hardening corrected before reconstruction: of water, and of water and bone in two passes."""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from raygrad.geometry import Views
from raygrad.physics import Beam, BoneCorrection, WaterCorrection, without_channel
from raygrad.projector import Projector
from raygrad.reconstruction._checks import check_dtype
from raygrad.reconstruction._method import Method
from raygrad.reconstruction._polychromatic.model import PolychromaticProjector, reference_of, water_and_bone
from raygrad.reconstruction._reconstruct import reconstruct
from raygrad.reconstruction._result import ReconstructionResult

ViewImages = Float[Tensor, "view height width"]


@dataclass(frozen=True, eq=False)
class BeamHardeningResult:
    """Volumes before and after a correction of beam hardening.

    Attributes:
        before: the reconstruction of the line integrals as they were measured.
        water: that of those corrected for water.
        after: that of `line_integrals`: of those corrected for water and bone, or `water` without bone.
        line_integrals: (view, height, width) as a beam of `reference_kev` would show them.
        bone_mm: (view, height, width) mm of bone that the correction was made with; None without bone.
        correction: the one for water.
    """

    before: ReconstructionResult
    water: ReconstructionResult
    after: ReconstructionResult
    line_integrals: ViewImages
    bone_mm: ViewImages | None
    correction: WaterCorrection

    @property
    def reference_kev(self) -> float:
        """The energy that `line_integrals`, `water` and `after` are of."""
        return self.correction.reference_kev

    def hounsfield(self, volume: Tensor) -> Tensor:
        """A volume of attenuation in 1/mm at that energy, in HU."""
        return 1000 * (volume / self.correction.reference_attenuation - 1)

    def __repr__(self) -> str:
        """What was corrected."""
        what = "water" if self.bone_mm is None else "water and bone"
        return f"BeamHardeningResult({what}, {self.reference_kev:.4g} keV, {self.after})"


def correct_beam_hardening(
    line_integrals: Tensor,
    views: Views,
    volume_geometry: Any,
    physics: Any,
    *,
    bone: bool = True,
    passes: int = 1,
    reference_kev: float | int | None = None,
    bone_from_hu: float | int = 100.0,
    up_to_mm: float | int = 600.0,
    beyond: str = "error",
    method: Method | str = "fdk",
    renderer: str = "joseph",
    **options: Any,
) -> BeamHardeningResult:
    """Reconstruct from line integrals whose beam hardening is corrected.

    Line integrals are corrected for water, see `raygrad.physics.WaterCorrection`, and reconstructed. With `bone`,
    voxels of that volume are taken as mixtures of water and bone, the mm of bone along every ray are projected, line
    integrals corrected for both, see `raygrad.physics.BoneCorrection`, and reconstructed again: the two passes of
    P. M. Joseph and R. D. Spital, J. Comput. Assist. Tomogr. 2:100 (1978).

    Args:
        line_integrals: (view, height, width) -log(I / I0) as measured, without scatter.
        views: what the images were taken with.
        volume_geometry: where the voxels shall lie. With `bone`, all bone that rays pass lies among them.
        physics: what the images were taken with: a `Physics`, of which spectrum and sensor are looked at, or a pair of
            these.
        bone: correct for bone, too.
        passes: how often bone is looked for, each time in the volume that was corrected last.
        reference_kev: the energy that the volume is of after it (with `bone` from 40 to 150); by default the signal's
            mean, or 40 where that is lower.
        bone_from_hu: HU (at that energy) from which a voxel has bone in it.
        up_to_mm: the most water on a ray.
        beyond: what to do with line integrals beyond: "error" or "linear", see `raygrad.physics.WaterCorrection`.
        method: of all reconstructions, as `raygrad.reconstruct` takes it.
        renderer: which projector projects bone, and is inverted by methods that iterate.
        options: others of `raygrad.reconstruct`.

    Raises:
        TypeError, ValueError: an argument that is not as described, or line integrals beyond what `up_to_mm` of water
            give.
    """
    if "processes" in options:
        raise ValueError("Expected one process: bone is projected to all views in each. Got processes.")
    if passes < 1:
        raise ValueError(f"Expected at least one pass. Got {passes}.")
    beam = Beam.of(physics)
    reference = reference_of(beam) if reference_kev is None else reference_kev
    water = WaterCorrection.of_beam(beam, reference_kev=reference, up_to_mm=up_to_mm, beyond=beyond)
    tissues = water_and_bone(water.reference_kev, bone_from_hu) if bone else None

    def volume_of(images: Tensor) -> ReconstructionResult:
        return reconstruct(images, views, volume_geometry, method=method, renderer=renderer, **options)

    check_dtype(line_integrals)
    line_integrals = without_channel(line_integrals.detach())
    before = volume_of(line_integrals)
    if (mask := options.get("mask")) is not None:  # what it hides may be no number at all
        line_integrals = torch.where(torch.as_tensor(mask, device=line_integrals.device) != 0, line_integrals, 0)
    corrected, bone_mm = water(line_integrals), None
    with_water = after = volume_of(corrected)
    if tissues is not None:
        correction = BoneCorrection(water)
        model = PolychromaticProjector(Projector(volume_geometry, after.views, renderer), beam, tissues)
        for _ in range(passes):
            with torch.no_grad():
                bone_mm = model.projector(model.densities(after.volume)[1])
            corrected = correction(line_integrals.to(bone_mm), bone_mm)
            after = volume_of(corrected)
    return BeamHardeningResult(before, with_water, after, corrected, bone_mm, water)
