"""Render: from a CT or a scene, views and physics to what a detector makes of them."""

from typing import Any

import torch

from raygrad._precision import without_autocast
from raygrad.drr import DRR
from raygrad.geometry import Views
from raygrad.march import Marching
from raygrad.physics._detector import attenuation_and_weights, detect
from raygrad.physics._paths import PathLengths, path_lengths
from raygrad.physics._physics import Physics
from raygrad.physics._prepared import PreparedTissues
from raygrad.physics._scene import PreparedScene
from raygrad.physics._transmission import line_integrals
from raygrad.pose import RigidTransform
from raygrad.scene import Scene
from raygrad.types import Images

QUANTITIES = ("line integrals", "counts", "picture")


@without_autocast
def render(
    source: DRR | Scene,
    views: RigidTransform | Views,
    physics: Physics,
    *,
    quantity: str = "line integrals",
    noise: int | torch.Generator | None = None,
    prepared: PreparedTissues | PreparedScene | None = None,
    marching: Marching | None = None,
    **placed: Any,
) -> Images:
    """Render what a detector sees, differentiable by poses, HU and every parameter of the physics.

    Args:
        source: a DRR, whose CT is in HU, or a scene, whose solids' materials have names.
        views: poses of the DRR (camera-to-world), or views.
        physics: spectrum, materials, detector and effects: see `Physics`.
        quantity: "counts" for the signal of each pixel, in keV, or photons of a sensor that counts; "line integrals"
            for -log(signal / open field), where the open field is the signal with nothing in the beam, calibrated pixel
            by pixel; "picture" for the physics' response to signal / open field or, without one, its presentation.
        noise: None for expected values; a seed, or a generator on the images' device, to draw noise from.
        prepared: the materials, if they are made already: see `path_lengths`.
        marching: how rays are marched through volumes; by default as the DRR does it, and as scenes do.
        placed: `poses` and `joints` of a scene, see `Scene.render`.

    Returns:
        (view, 1, height, width) in the dtype of the volumes. Line integrals of pixels that noise has left with less
        than half a photon are those of half a photon.

    Raises:
        ValueError: an unknown quantity; counts or noise without a dose, noise that the physics has none of, a picture
            without a response; an effect that these views have no geometry for; what `path_lengths` raises.
        TypeError: something of another kind.

    Warns:
        HounsfieldWarning, SceneWarning: as `PreparedTissues.of` and `Scene.render`.
    """
    _check(physics, quantity, noise)
    kev = physics.only_energy if prepared is None and isinstance(source, DRR) else None
    seen = path_lengths(source, views, physics.tissues, prepared=prepared, kev=kev, marching=marching, **placed)
    if quantity == "line integrals" and noise is None and not physics.effects:
        if not seen.materials:
            return seen.lengths  # of one energy
        return line_integrals(seen.lengths, *attenuation_and_weights(seen, physics, physics.sensor_weights[None]))
    counts, open_field, quantum = detect(seen, physics, noise)
    if quantity == "counts":
        return counts
    if quantity == "picture":
        return _picture(counts / open_field, seen, physics)
    if noise is not None:
        counts = torch.maximum(counts, quantum / 2)
    return -torch.log(counts / open_field)


def _picture(share: Images, seen: PathLengths, physics: Physics) -> Images:
    if physics.response is not None:
        return physics.response(share)
    assert physics.presentation is not None  # or it would have been refused
    field = None
    if physics.collimator is not None:
        height, width = share.shape[-2:]
        field = physics.collimator.field((height, width), pixel_mm=seen.pixel_mm, like=share)
    return physics.presentation(share, pixel_mm=seen.pixel_mm, field=field)


def _check(physics: Physics, quantity: str, noise: Any) -> None:
    if not isinstance(physics, Physics):
        raise TypeError(f"Expected Physics, as Physics.preset makes it. Got {type(physics).__name__}.")
    if quantity not in QUANTITIES:
        raise ValueError(f"Expected quantity as one of {', '.join(QUANTITIES)}. Got {quantity!r}.")
    if physics.dose_ugy is None and (quantity == "counts" or noise is not None):
        raise ValueError("Expected physics with a dose_ugy, for counts and noise. Got dose_ugy=None.")
    if quantity == "picture" and physics.response is None and physics.presentation is None:
        raise ValueError("Expected physics with a response or a presentation, for a picture. Got response=None.")
    if noise is not None and physics.noise is None:
        raise ValueError("Expected physics with noise, such as physics.replaced(noise=Noise()). Got noise=None.")
