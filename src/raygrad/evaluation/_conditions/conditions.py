"""The conditions that registration is tried under: what the X-rays are like, and when a registration is a success."""

from dataclasses import dataclass

from raygrad.data import Subject
from raygrad.evaluation._conditions.processing import Processing
from raygrad.evaluation._conditions.technique import Technique
from raygrad.evaluation._exposure import Exposure
from raygrad.evaluation._targets import has_vertebrae

REAL = Exposure()
SPOILT = Exposure(scatter=0.1, gamma=0.8, aperture=360.0, wires=3)
USUAL = Technique()
OPEN = Technique(scatter=2.0)
"""No grid, and a thick patient near to the detector."""
FAINT = Technique(least_quanta=8.0)
PLAIN = Processing()
SMALL_FIELD_MM = 120.0
"""Side of a detector that sees 100 mm of the patient: with 200 pixels of 0.6 mm."""


@dataclass(frozen=True)
class Condition:
    """What the X-rays are like, and what a success is.

    Attributes:
        what: the condition in a few words.
        exposure: how idealised images are taken; None for the renderer's own image, at the final resolution.
        mtre: a success ends below this error in mm, where there is a limit.
        in_plane: and below this one, where there is a limit.
        angles: of the views about the patient's long axis, from the true pose, in degrees.
        moves: what has moved within the body, "spine" or "vertebra", or nothing: errors of both have to be below the
            limits.
        technique: how realistic images are taken, of the CT's materials by `raygrad.physics`; None for idealised ones,
            which are of the registration's density.
        patient: what the patient is in the X-ray and in the CT: "same", "beyond", "table", "breathing" or "thick".
        carries: what the X-ray shows and the CT does not: "leads", "screws".
        processing: what is done to the image after it was taken.
        field_mm: side of a small detector in mm, looking at a vertebra in the middle of the CT; None for a large one.
        may_refuse: no rigid pose is right: not to be accepted is a success too.
        degrees, mm: how far starts are from the truth on every axis, if not said otherwise.
    """

    what: str
    exposure: Exposure | None
    mtre: float | None = None
    in_plane: float | None = None
    angles: tuple[float, ...] = (0.0,)
    moves: str = ""
    technique: Technique | None = None
    patient: str = "same"
    carries: tuple[str, ...] = ()
    processing: Processing = PLAIN
    field_mm: float | None = None
    may_refuse: bool = False
    degrees: float = 20.0
    mm: float = 30.0

    @property
    def needs_spine(self) -> bool:
        """Whether the labelmap has to name the spine."""
        of_spine = self.patient == "breathing" or self.field_mm is not None or "screws" in self.carries
        return of_spine or bool(self.moves)


def _real(what: str, **options: object) -> Condition:
    given: dict = {"in_plane": 1.0, "technique": USUAL, "degrees": 10.0, "mm": 15.0} | options
    return Condition(what, None, **given)


CONDITIONS = {
    "a": Condition("clean: the same renderer", None, mtre=0.1),
    "b": Condition("another renderer, finer detector, noise", REAL, mtre=0.3),
    "c": Condition("as b; scatter, gamma, collimator, wires", SPOILT, mtre=0.8, in_plane=0.3),
    "d": Condition("as c; two views at 90 degrees", SPOILT, mtre=0.3, angles=(0.0, 90.0)),
    # The spine's excess over the tissue about it is faint, and one view says little of its depth.
    "e": Condition("as b; the spine has moved", REAL, mtre=5.0, in_plane=0.6, moves="spine"),
    "f": _real("tissues at 100 kV, hardening, scatter"),
    "g": _real("as f; sigmoid display curve, clipped, 8 bits", processing=Processing(curve=True)),
    "h": _real("as f; edges and local contrast enhanced, 8 bits", processing=Processing(local=True)),
    "i": _real("as f; collimator and text, no mask", processing=Processing(collimated=True)),
    "j": _real("as f; field of 100 mm, pixels of 0.6 mm", field_mm=SMALL_FIELD_MM),
    "k": _real("as j; a vertebra has moved", field_mm=SMALL_FIELD_MM, moves="vertebra"),
    "l": _real("as f; the patient goes on beyond the CT", patient="beyond"),
    "m": _real("as f; a table that is in the CT alone", patient="table"),
    "n": _real("as f; breathed in by 10 mm, may be refused", patient="breathing", in_plane=2.0, may_refuse=True),
    "o": _real("as f; no grid: twice as much scatter as primary", technique=OPEN),
    "p": _real("as f; low dose: 8 photons a pixel behind the spine", technique=FAINT),
    "q": _real("as f; leads and pedicle screws that the CT lacks", carries=("leads", "screws")),
    "r": _real("as f; a CT of 5 mm slices", patient="thick"),
    "s": _real(
        "all of it: scatter 1, low dose, 8-bit curve, collimator, text, leads, table",
        technique=Technique(scatter=1.0, least_quanta=30.0),
        processing=Processing(curve=True, collimated=True),
        patient="table",
        carries=("leads",),
    ),
}
"""By the letters that the command takes: a to e see the CT as the registration does, f to s do not."""


def conditions_of(subject: Subject) -> list[str]:
    """The letters of all conditions that a CT allows: some need a labelmap that names the vertebrae."""
    named = has_vertebrae(subject)
    return [letter for letter, condition in CONDITIONS.items() if named or not condition.needs_spine]
