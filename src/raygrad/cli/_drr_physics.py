"""`raygrad drr --physics`: the X-ray that a detector takes, written as a picture, as counts or as line integrals."""

from pathlib import Path
from typing import TYPE_CHECKING

from raygrad.cli._physics_options import PhysicsOptions

if TYPE_CHECKING:
    from torch import Tensor

    from raygrad.drr import DRR
    from raygrad.physics import Physics
    from raygrad.pose import RigidTransform


def taken(system: "DRR", pose: "RigidTransform", physics: "Physics", options: PhysicsOptions, output: Path) -> "Tensor":
    """The image (rows, columns) of what a file of this name is to hold."""
    from raygrad.physics import render

    values = options.values_in(output)
    quantity = {"intensity": "line integrals", "line-integrals": "line integrals"}.get(values, values)
    image = render(system, pose, physics, quantity=quantity, noise=options.seed)[0, 0].cpu()
    return (-image).exp() if values == "intensity" else image


def written(
    output: Path,
    image: "Tensor",
    system: "DRR",
    pose: "RigidTransform",
    physics: "Physics",
    options: PhysicsOptions,
    window: tuple[float, float] | None,
    bits: int,
    invert: bool,
) -> list[str]:
    """Write it; what the file cannot hold is returned as sentences."""
    from raygrad.formats import Technique, View, write_image, write_xray

    values = options.values_in(output)
    if output.suffix.lower() != ".dcm":
        spacing = (float(system.detector.delx), float(system.detector.dely))
        window = (0.0, 1.0) if values == "picture" and window is None else window
        write_image(output, image, spacing, window, bits, invert)
        return []
    kvp, filters = settings(options)
    technique = Technique.of(physics, float(system.detector.sdd), kvp, filters, options.preset == "fluoroscopy")
    if values == "picture":
        dark = physics.presentation is not None and physics.presentation.bone == "dark"
        values = "inverted-display" if dark else "display"
    relationship = "LOG" if values == "line-integrals" else "LIN"
    values = "intensity" if values == "counts" else values
    return write_xray(output, image, View.of(system, pose), relationship, values=values, technique=technique)


def settings(options: PhysicsOptions) -> tuple[float, dict[str, float]]:
    """The tube's voltage and its filters: what was typed, else the preset's."""
    from raygrad.physics import PRESETS

    usual = PRESETS[str(options.preset)]
    return options.kvp or usual["kvp"], options.filters() or usual["filtration"]


def described(image: "Tensor", physics: "Physics", options: PhysicsOptions, output: Path) -> str:
    """What was taken, for a line on the terminal."""
    kvp, filters = settings(options)
    beam = f"{kvp:g} kV, " + " + ".join(f"{mm:g} mm {name}" for name, mm in filters.items())
    values = options.values_in(output)
    unit = "" if values != "counts" else " photons" if physics.sensor.counting else " keV"
    extent = "" if values == "picture" else f" {image.min():.3g} to {image.max():.3g}{unit}"
    dose = f"{float(physics.dose_ugy or 0):g} microgray"
    return f"{values.replace('-', ' ')}{extent} at {beam}, {dose}"
