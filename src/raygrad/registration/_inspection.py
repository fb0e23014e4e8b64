"""A look at the start of a registration: is the CT in the beam, is the X-ray the right way round?"""

import math
import warnings

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from raygrad.drr import DRR
from raygrad.geometry import Detector, views_from
from raygrad.pose import RigidTransform
from raygrad.registration._polarity import polarity
from raygrad.registration._prepared import PreparedXRay
from raygrad.types import Images

Image = Float[Tensor, "1 1 height width"]
Weights = Float[Tensor, "height width"]
NOTHING_SEEN = "Expected a start{} whose beam meets what the X-ray shows. Got an image of zeros: check poses and units."
_STARTS, _SIDE = 8, 32  # at most so many starts are looked at, in images of so many pixels a side


class RegistrationWarning(UserWarning):
    """A registration goes on, though what it was given looks wrong."""


def inspect_start(xray: PreparedXRay, name: str) -> None:
    """Render some of the starts coarsely, and compare them with the X-ray.

    Args:
        xray: with its starts, and what it is compared to.
        name: which view it is, for messages: " of view 1", or nothing.

    Raises:
        ValueError: none of the starts looked at has the CT in its beam.

    Warns:
        RegistrationWarning: some have not, or have the source inside the CT, or the X-ray looks like an intensity or
            an inverted image.
    """
    init, drr = xray.init, xray.drr
    chosen = torch.linspace(0, len(init) - 1, min(_STARTS, len(init))).round().long()
    starts = RigidTransform(init.matrix[chosen.to(init.device)])
    with torch.no_grad():
        moving = _render_coarsely(xray, starts)
        seen = moving.flatten(1).amax(1) > 0
        if not seen.any():
            raise ValueError(_describe_miss(drr, starts, name) if drr else NOTHING_SEEN.format(name))
        if not seen.all():
            missing = ", ".join(str(int(start)) for start in chosen[~seen.cpu()])
            _warn(f"The beam misses the CT at start(s) {missing}{name}: those cannot find it.")
        inside = torch.zeros(len(starts), dtype=torch.bool) if drr is None else _source_is_inside(drr, starts)
        if inside.any():
            numbers = ", ".join(str(int(start)) for start in chosen[inside])
            what = "Where rays of the parallel beam begin" if xray.detector.parallel else "The X-ray source"
            _warn(
                f"{what} is inside the CT at start(s) {numbers}{name}. The translation puts it at its "
                "distance from the isocentre, in mm: (0, 850, 0) with the usual orientation, not (0, 0, 0)."
            )
        if _looks_inverted(xray.image, xray.weights, moving[seen]):
            _warn(
                f"The X-ray{name} looks inverted next to the image of the CT: bright where little is in the beam. "
                "Registration needs line integrals, near 0 in air and high in bone. If it holds raw intensities "
                "I, give -log(I / I0), which raygrad.registration.to_line_integrals makes of them; if it was inverted "
                "for display, give image.max() - image; if a collimator makes its border bright, hide it with a mask. "
                "If all is right, the start is far from the truth."
            )


def _warn(message: str) -> None:
    warnings.warn(message, RegistrationWarning, stacklevel=4)


def _render_coarsely(xray: PreparedXRay, pose: RigidTransform) -> Images:
    """Images of the whole detector with at most `_SIDE` pixels a side."""
    if xray.drr is None:  # what is thin is not to fall between coarse pixels
        size = (min(xray.detector.height, _SIDE), min(xray.detector.width, _SIDE))
        return functional.adaptive_avg_pool2d(xray.render(pose), size).float()
    coarse = _coarse_detector(xray.detector)
    image = xray.whole.march([views_from(coarse, pose)], xray.marching)
    return image.reshape(len(pose), 1, coarse.height, coarse.width).float()


def _coarse_detector(detector: Detector) -> Detector:
    """The whole detector in at most `_SIDE` pixels a side."""
    full = detector.intrinsics.detached()
    return detector.with_intrinsics(full.resampled(min(full.height, _SIDE), min(full.width, _SIDE)))


def _looks_inverted(xray: Image, weights: Weights, moving: Float[Tensor, "start 1 rows columns"]) -> bool:
    """Whether the X-ray is much more like the negative of the CT's images than like these."""
    return polarity(xray, moving, weights).inverted


def _source_is_inside(drr: DRR, pose: RigidTransform) -> Bool[Tensor, " start"]:
    """At which starts the source, or where a ray of a parallel beam begins, lies in the box of the CT's voxels."""
    source, _ = _coarse_detector(drr.detector)(pose)
    world_to_voxel = drr.world_to_voxel.cpu().double()
    voxel = source.cpu().double() @ world_to_voxel[:3, :3].T + world_to_voxel[:3, 3]
    size = torch.tensor(drr.density.shape[-3:], dtype=torch.float64)
    return ((voxel > -0.5) & (voxel < size - 0.5)).all(dim=2).any(dim=1)


def _describe_miss(drr: DRR, pose: RigidTransform, name: str) -> str:
    """Where CT and beam are, and what to change."""
    volume = drr.subject.volume
    isocentre = volume.get_center()
    camera = drr.detector.camera_to_world(pose).matrix[0].cpu().double()
    source, axis = camera[:3, 3], camera[:3, 2]
    to_isocentre = torch.tensor(isocentre, dtype=torch.float64) - source
    depth = (to_isocentre @ axis).item()
    beside = (to_isocentre - depth * axis).norm().item()
    bounds = " x ".join(f"[{low:.0f}, {high:.0f}]" for low, high in volume.get_bounds())
    if not bool((drr.density != 0).any()):
        advice = "The DRR's density is 0 everywhere: check the CT, its labels and its units (HU)."
    elif math.dist(isocentre, (0, 0, 0)) > 100:
        advice = "The isocentre is far from the world's origin: read the CT with center_volume=True, or move the pose."
    elif depth <= 0:
        advice = "The camera looks away from it: check the rotation and the orientation (AP, PA) of the subject."
    else:
        advice = "Check the pose; the usual start is a translation of (0, 850, 0) mm, source 850 mm from the isocentre."
    return (
        f"Expected an initial pose{name} whose beam meets the CT. Got an image of zeros. The CT fills {bounds} mm "
        f"(x, y, z) about its isocentre ({', '.join(f'{c:.0f}' for c in isocentre)}). The source is at "
        f"({', '.join(f'{c:.0f}' for c in source.tolist())}) and looks along "
        f"({', '.join(f'{c:.2f}' for c in axis.tolist())}); the isocentre lies {depth:.0f} mm ahead of it and "
        f"{beside:.0f} mm beside the beam's axis, the detector {float(drr.detector.sdd):.0f} mm ahead. {advice}"
    )
