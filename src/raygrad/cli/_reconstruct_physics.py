"""`raygrad reconstruct --kvp`: line integrals whose beam hardening is corrected before anything is made of them."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated

import typer

from raygrad._errors import InputError
from raygrad.cli._physics_options import DETECTORS, PhysicsOptions

if TYPE_CHECKING:
    from raygrad.cli._reconstruct_inputs import Problem

BEAM = "Beam hardening"

Kvp = Annotated[
    float | None,
    typer.Option(
        help="Correct the images for the beam hardening of water in the beam of a tube of so many kV, 40 to 150.",
        show_default="no correction",
        rich_help_panel=BEAM,
    ),
]
Filtration = Annotated[
    str | None,
    typer.Option(
        help="The tube's filters in mm, as aluminium=3,copper=0.1.",
        show_default="those of a cone-beam CT",
        rich_help_panel=BEAM,
    ),
]
DetectorName = Annotated[
    str | None,
    typer.Option(
        "--detector",
        help=f"{DETECTORS}.",
        show_default="csi",
        rich_help_panel=BEAM,
    ),
]
ReferenceKev = Annotated[
    float | None,
    typer.Option(
        help="The energy that the volume is attenuation at, in keV.",
        show_default="the signal's mean",
        rich_help_panel=BEAM,
    ),
]


@dataclass(frozen=True)
class WaterOptions:
    """What was typed: see the options above."""

    kvp: float | None = None
    filtration: str | None = None
    detector: str | None = None
    reference_kev: float | None = None

    def correct(self, problem: "Problem", say: Callable[[str], None]) -> "Problem":
        """The problem with corrected images; as it is without --kvp.

        Raises:
            InputError, ValueError: options that go with --kvp alone, something unknown, or a number beyond its range.
        """
        from raygrad.physics import WaterCorrection

        if self.kvp is None:
            if typed := [name for name in vars(self) if getattr(self, name) is not None]:
                raise InputError(f"--{typed[0].replace('_', '-')} goes with --kvp, the tube's voltage.")
            return problem
        tube = PhysicsOptions("cbct", self.kvp, self.filtration, detector=self.detector).physics()
        correction = WaterCorrection.of(tube.spectrum, tube.sensor, reference_kev=self.reference_kev, beyond="linear")
        images = problem.images if problem.mask is None else problem.images * problem.mask
        beyond = int((images > correction.highest).sum())
        say(
            f"beam hardening of water corrected for {self.kvp:g} kV: "
            f"the volume is of {correction.reference_kev:.4g} keV"
            + (f"; {beyond} pixels show more than {correction.up_to_mm:g} mm and follow a line" if beyond else "")
        )
        return replace(problem, images=correction(images))
