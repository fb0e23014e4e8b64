"""How far every ray runs through each material of what an X-ray shows."""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from raygrad.drr import DRR
from raygrad.geometry import ConeViews, Detector, ParallelViews, Views, views_from
from raygrad.march import Marching, march_materials
from raygrad.physics._prepared import PreparedTissues, prepared_tissues
from raygrad.physics._scene import PreparedScene, middle_of, prepared_scene
from raygrad.physics._tissues import Tissues
from raygrad.pose import RigidTransform
from raygrad.scene import Scene


@dataclass(frozen=True, eq=False)
class PathLengths:
    """Path lengths through materials, and the detector that they lead to.

    Attributes:
        lengths: (view, material, height, width) in mm of each material at its own density; of no materials, the line
            integral of attenuation at one energy.
        materials: their names.
        views: where from.
        prepared: whose materials they are.
        detector: the detector of a cone beam, or of a DRR's parallel one; None of views that have none.
        centre: the middle of the CT, or of all bodies of a scene, in the world.
    """

    lengths: Float[Tensor, "view material height width"]
    materials: tuple[str, ...]
    views: Views
    prepared: PreparedTissues | PreparedScene
    detector: Detector | None
    centre: Float[Tensor, " 3"]

    def attenuation(self, energies_kev: Any) -> Float[Tensor, "material energy"]:
        """Of the materials, in 1/mm at the energies in keV."""
        return self.prepared.attenuation(energies_kev)

    @property
    def pixel_mm(self) -> tuple[Any, Any]:
        """Height and width of a pixel on the detector.

        Raises:
            ValueError: these are rays of no detector.
        """
        if self.detector is not None:
            return self.detector.dely, self.detector.delx
        if isinstance(self.views, ParallelViews):
            return float(self.views.down[0].norm()), float(self.views.across[0].norm())
        raise ValueError("Expected views of a detector, whose pixels have a size. Got RayViews.")


def path_lengths(
    source: DRR | Scene,
    views: RigidTransform | Views,
    tissues: Tissues | None = None,
    *,
    prepared: PreparedTissues | PreparedScene | None = None,
    kev: float | None = None,
    marching: Marching | None = None,
    **placed: Any,
) -> PathLengths:
    """How many mm of each material lie on the way to every pixel, differentiable by poses and HU.

    Args:
        source: a DRR, whose CT is in HU and whose detector sees it, or a scene.
        views: poses of the DRR (camera-to-world), or views.
        tissues: what HU are made of, `Tissues()` by default.
        prepared: the materials, if they are made already (`PreparedTissues.of`, `PreparedScene.of`); otherwise they are
            made, and kept with the DRR or the scene while their CTs stay the same.
        kev: of a DRR, add the materials up to attenuation at this energy, which is marched alone.
        marching: how rays are marched through volumes; by default as the DRR does it, and as scenes do.
        placed: `poses` and `joints` of a scene, see `Scene.render`.

    Raises:
        ValueError: a CT is not in HU, the material of a solid has no name, a DRR leaves out pixels or seeks maxima, or
            what marches raise.
        TypeError: something of another kind.

    Warns:
        HounsfieldWarning: as `PreparedTissues.of`.
    """
    tissues = Tissues() if tissues is None else tissues
    if isinstance(source, Scene):
        return _of_scene(source, views, tissues, prepared, marching, placed)
    if not isinstance(source, DRR):
        raise TypeError(f"Expected a DRR or a Scene. Got {type(source).__name__}.")
    if placed:
        raise TypeError(f"Expected {', '.join(placed)} with a scene only. Got a DRR.")
    if source.detector.n_subsample is not None or source.reducefn != "sum":
        raise ValueError("Expected a DRR that sums up all rays. Got one with p_subsample or reducefn='max'.")
    seen = views_from(source.detector, views) if isinstance(views, RigidTransform) else _checked(views)
    detector = seen.detector if isinstance(seen, ConeViews) else source.detector if seen is not views else None
    if prepared is None:
        prepared = prepared_tissues(source, tissues, kev)
    if not isinstance(prepared, PreparedTissues):
        raise TypeError(f"Expected PreparedTissues of the DRR's CT. Got {type(prepared).__name__}.")
    marching = Marching(source.renderer, backend=source.backend) if marching is None else marching
    images = march_materials(prepared.volume, seen, marching)
    lengths = images.unflatten(-1, seen.image_shape)
    centre = torch.tensor(source.subject.volume.get_center(), dtype=torch.float64)
    return PathLengths(lengths, prepared.materials, seen, prepared, detector, centre)


def _of_scene(
    scene: Scene,
    views: RigidTransform | Views,
    tissues: Tissues,
    prepared: PreparedTissues | PreparedScene | None,
    marching: Marching | None,
    placed: dict[str, Any],
) -> PathLengths:
    seen = _checked(views)
    if prepared is None:
        prepared = prepared_scene(scene, tissues)
    if not isinstance(prepared, PreparedScene):
        raise TypeError(f"Expected a PreparedScene of the scene. Got {type(prepared).__name__}.")
    marching = Marching() if marching is None else marching
    lengths = prepared.add_up(scene.path_lengths(prepared.bodies, seen, **placed, marching=marching))
    detector = seen.detector if isinstance(seen, ConeViews) else None
    centre = middle_of(scene, **placed)
    return PathLengths(lengths, prepared.materials, seen, prepared, detector, centre)


def _checked(views: Any) -> Views:
    if not isinstance(views, Views):
        raise TypeError(f"Expected poses as a RigidTransform, or views such as ConeViews. Got {type(views).__name__}.")
    return views
