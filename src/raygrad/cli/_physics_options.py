"""Options of X-rays that are simulated with physics, and what they say together."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from raygrad._errors import InputError

if TYPE_CHECKING:
    from raygrad.physics import Collimator, Physics

PHYSICS = "Physics: what a detector makes of it"
PRESETS = "fluoroscopy, radiography or cbct"
DETECTORS = "csi, gos, selenium, cdte-counting, ideal or ideal-counting"
VALUES = ("picture", "intensity", "counts", "line-integrals")
"""What files hold: a picture; the signal as a share of the open field, calibrated pixel by pixel, as systems give it;
the signal itself; or the logarithm of that share."""

Preset = Annotated[
    str | None,
    typer.Option(
        "--physics",
        metavar="PRESET",
        help=f"Simulate the X-ray system, rather than sum up densities: {PRESETS}.",
        show_default=False,
        rich_help_panel=PHYSICS,
    ),
]
Kvp = Annotated[
    float | None,
    typer.Option(help="Tube voltage, 40 to 150 kV.", show_default="the preset's", rich_help_panel=PHYSICS),
]
Filtration = Annotated[
    str | None,
    typer.Option(
        help="Filters of the tube in mm: aluminium=3,copper=0.1.", show_default="the preset's", rich_help_panel=PHYSICS
    ),
]
Dose = Annotated[
    float | None,
    typer.Option(
        help="Air kerma at the detector with nothing in the beam, in microgray.",
        show_default="the preset's",
        rich_help_panel=PHYSICS,
    ),
]
DetectorName = Annotated[
    str | None,
    typer.Option(
        "--detector",
        help=f"{DETECTORS}.",
        show_default="the preset's",
        rich_help_panel=PHYSICS,
    ),
]
ScatterRatio = Annotated[
    float | None,
    typer.Option(
        "--scatter",
        help="Scatter over primary behind the patient, before the grid; 0 for none.",
        show_default="the preset's",
        rich_help_panel=PHYSICS,
    ),
]
Noise = Annotated[
    int | None,
    typer.Option(
        metavar="SEED", min=0, max=2**63 - 1, help="The noise's seed.", show_default="0", rich_help_panel=PHYSICS
    ),
]
NoNoise = Annotated[bool, typer.Option("--no-noise", help="What is expected, without noise.", rich_help_panel=PHYSICS)]
Collimated = Annotated[
    str | None,
    typer.Option(
        "--collimator",
        help="What is open on the detector in mm: the diameter of a round field, or height,width of a rectangle.",
        show_default="all of it",
        rich_help_panel=PHYSICS,
    ),
]
Metal = Annotated[
    str | None,
    typer.Option(
        help="What voxels at the end of the CT's numbers (3071 HU) are: titanium, steel, ...; none makes bone of them, "
        "as where it is contrast medium.",
        show_default="titanium",
        rich_help_panel=PHYSICS,
    ),
]
Values = Annotated[
    str | None,
    typer.Option(
        help="What is written: picture, intensity (share of the open field), counts or line-integrals.",
        show_default="PNG: picture; DICOM: intensity; else line-integrals",
        rich_help_panel=PHYSICS,
    ),
]


@dataclass(frozen=True)
class PhysicsOptions:
    """What was typed: see the options above."""

    preset: str | None = None
    kvp: float | None = None
    filtration: str | None = None
    dose: float | None = None
    detector: str | None = None
    scatter: float | None = None
    noise: int | None = None
    no_noise: bool = False
    collimator: str | None = None
    metal: str | None = None
    values: str | None = None

    def check_alone(self) -> None:
        """Raise InputError if something was typed that means nothing without --physics."""
        typed = [name for name in vars(self) if name != "preset" and getattr(self, name) not in (None, False)]
        if typed:
            raise InputError(f"--{typed[0].replace('_', '-')} goes with --physics, which is {PRESETS}.")

    def physics(self) -> "Physics":
        """The X-ray system.

        Raises:
            InputError, ValueError: something unknown, or a number beyond its range.
        """
        from raygrad.physics import Physics, Scatter, Tissues

        if self.noise is not None and self.no_noise:
            raise InputError("--noise has a seed and --no-noise has none; leave out one of them.")
        if self.values is not None and self.values not in VALUES:
            raise InputError(f"--values is one of {', '.join(VALUES)}, not '{self.values}'.")
        changes: dict[str, Any] = {"collimator": self.opened()}
        if self.scatter is not None:
            changes["scatter"] = Scatter(self.scatter) if self.scatter != 0 else None
        if self.metal is not None:
            changes["tissues"] = Tissues(metal=None if self.metal.lower() == "none" else self.metal)
        return Physics.preset(str(self.preset), self.kvp, self.filters(), self.dose, self.detector, **changes)

    def filters(self) -> dict[str, float] | None:
        """Mm of each material of --filtration, by the tables' names."""
        from raygrad._attenuation import material_named

        if self.filtration is None:
            return None
        found: dict[str, float] = {}
        for word in self.filtration.split(","):
            name, _, length = word.partition("=")
            try:
                mm = float(length)
            except ValueError:
                raise InputError(
                    f"--filtration takes mm of materials such as aluminium=3,copper=0.1, not '{self.filtration}'."
                ) from None
            material = material_named(name.strip())
            if material in found:
                raise InputError(f"--filtration has {material} twice: '{self.filtration}'. Add the mm up.")
            found[material] = mm
        return found

    def opened(self) -> "Collimator | None":
        """The collimator of --collimator."""
        from raygrad.cli._parsing import parse_numbers
        from raygrad.physics import Collimator

        if self.collimator is None:
            return None
        sides = parse_numbers(self.collimator, "--collimator")
        if len(sides) not in (1, 2):
            raise InputError(f"--collimator takes a diameter or height,width in mm, not '{self.collimator}'.")
        return Collimator(sides[0], sides[1]) if len(sides) == 2 else Collimator(sides[0], shape="round")

    def values_in(self, output: Path) -> str:
        """Which of `VALUES` a file of this name is to hold."""
        return self.values or {".png": "picture", ".dcm": "intensity"}.get(output.suffix.lower(), "line-integrals")

    @property
    def seed(self) -> int | None:
        """Of the noise."""
        return None if self.no_noise else self.noise or 0
