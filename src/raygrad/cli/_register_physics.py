"""Options of `raygrad register` that say by what X-ray system the images that it compares with are made."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from raygrad._errors import InputError
from raygrad.cli._options import HOW
from raygrad.cli._physics_options import PRESETS

WHAT = ("kvp", "filtration", "scatter", "response")

Preset = Annotated[
    str | None,
    typer.Option(
        "--physics",
        metavar="PRESET",
        help=f"Compare with what such an X-ray system makes of the CT, which is in HU: {PRESETS}. Else with the CT's "
        "attenuation at one energy.",
        rich_help_panel=HOW,
    ),
]
Kvp = Annotated[
    float | None,
    typer.Option(
        help="Its tube voltage, 40 to 150 kV.", show_default="the DICOM header's, or the preset's", rich_help_panel=HOW
    ),
]
Estimate = Annotated[
    str | None,
    typer.Option(
        metavar="WHAT",
        help="With --physics, find how the X-rays were taken too: kvp, filtration, scatter, response, several with "
        "commas. Without response their numbers are line integrals as they are.",
        rich_help_panel=HOW,
    ),
]


def physics_options(
    preset: str | None, kvp: float | None, estimate: str | None, xrays: Sequence[Path], method: str, meshes: bool
) -> dict[str, Any]:
    """What `raygrad.registration.register` is given of a physics: nothing without one.

    Args:
        preset, kvp, estimate: as they were typed.
        xrays: the files, whose headers say kV.
        method: of the registration.
        meshes: whether there are some.

    Raises:
        InputError: what does not go together, or is unknown.
    """
    from raygrad.physics import Physics

    if preset is None:
        if kvp is not None or estimate is not None:
            option = "--kvp" if kvp is not None else "--estimate"
            raise InputError(f"{option} goes with --physics, which is {PRESETS}.")
        return {}
    if meshes:
        raise InputError("--physics goes without --mesh.")
    names = [] if estimate is None else [word.strip() for word in estimate.split(",")]
    if names and method != "lm":
        raise InputError(f"--estimate goes with --method lm, not '{method}'.")
    if unknown := [name for name in names if name not in WHAT]:
        raise InputError(f"--estimate takes {', '.join(WHAT)}, not '{unknown[0]}'.")
    try:
        found = [Physics.preset(preset, _voltage_of(path) if kvp is None else kvp) for path in xrays]
    except ValueError as error:
        raise InputError(f"--physics, --kvp: {error}") from error
    return {"physics": found, "estimate": tuple(names)}


def files_of(names: Sequence[str], files: Sequence[Path]) -> list[Path]:
    """The file of each X-ray, of which one may have several frames.

    Args:
        names: of the X-rays, which have that of their file in them.
        files: that were given.
    """
    return [next((path for path in files if path.name in name), files[0]) for name in names]


def _voltage_of(path: Path) -> float | None:
    """The kV of an X-ray's header (0018,0060), if it has them."""
    from raygrad._dicom import is_dicom, number, read_dataset

    kvp = number(read_dataset(path), "KVP") if is_dicom(path) else None
    return kvp if kvp else None
