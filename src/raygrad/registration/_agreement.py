"""Whether parts of the image tell the same pose as the whole."""

import math
from dataclasses import dataclass, fields
from typing import Any

from jaxtyping import Float
from torch import Tensor

HALVES = ("upper", "lower", "left", "right")
"""Of the image as it is shown: row 0 is above, column 0 at the left."""
QUARTERS = ("upper left", "upper right", "lower left", "lower right")
PARTS = (*HALVES, *QUARTERS)
APART_MM = 0.16
"""Parts of the image are inconsistent where one lies further in plane from where the pose puts it, noise aside.

Measured on X-rays of a chest CT by a simulator that shares no code with raygrad: of right poses quarters lie 0.01 to
0.06 mm away, 0.12 where the CT has a table that the X-ray lacks; where the diaphragm had moved by 10 mm, 0.33 mm and
more. Of the same CT with all but its back moved by 3 to 20 mm, 0.23 mm and more.
"""


@dataclass(frozen=True)
class Halves:
    """Whether halves and quarters of the image agree with the pose of the whole, of every start that converged.

    The image is cut where all parts have about as much to say: into four bands of rows, and each into four parts. From
    the pose found, one step of least squares says where the X-ray has each part, in mm at the body's depth, to the
    right and downwards as the image is shown. NaN for starts that did not converge, and for what sees too little.

    Attributes:
        mm: how far each of `PARTS`, halves and quarters, is from where the pose puts it (start, part): of several views
            the farthest.
        shifts: where to, in each view (start, view, part, 2).
        chance_mm: what noise alone would make of `mm` (start, part).
        cells: the shifts of the sixteen parts, band by band (start, view, 16, 2).
        rows, columns: where the image is cut, from 0 to 1: below the first three bands (start, view, 3), and right of
            the first three parts of each (start, view, 4, 3).
        alone_mm: how far each of `HALVES` alone, of all views together, moves the pose across the rays, on average
            (start, 4); only where the parts are inconsistent, else NaN.
    """

    mm: Float[Tensor, "start part"]
    shifts: Float[Tensor, "start view part 2"]
    chance_mm: Float[Tensor, "start part"]
    cells: Float[Tensor, "start view 16 2"]
    rows: Float[Tensor, "start view 3"]
    columns: Float[Tensor, "start view 4 3"]
    alone_mm: Float[Tensor, "start half"]

    def worst(self, start: int = 0) -> tuple[str, float] | None:
        """The half or quarter that disagrees most with the whole image, and by how many mm; None if none was asked.

        Args:
            start: of which start.
        """
        return _largest(PARTS, self.mm[start].tolist())

    def moved_most(self, start: int = 0) -> tuple[str, float] | None:
        """The half that alone moves the pose most, and by how many mm; None where the parts agree.

        Args:
            start: of which start.
        """
        return _largest(HALVES, self.alone_mm[start].tolist())

    def only(self, start: int) -> "Halves":
        """Those of one start alone.

        Args:
            start: its number.
        """
        return Halves(*(getattr(self, field.name)[start : start + 1] for field in fields(self)))

    def outcome(self, start: int = 0) -> dict[str, Any]:
        """In numbers and texts; None for what was not asked.

        Args:
            start: of which start.
        """
        numbers = {f"{name} (mm)": _finite(mm) for name, mm in zip(PARTS, self.mm[start].tolist(), strict=True)}
        outcome: dict[str, Any] = {
            "of": "how far parts of the image lie from where the pose puts them in plane",
            **numbers,
        }
        if self.moved_most(start) is not None:
            alone = zip(HALVES, self.alone_mm[start].tolist(), strict=True)
            outcome["pose moved by one half alone"] = {f"{name} (mm)": _finite(mm) for name, mm in alone}
        return outcome

    def summary(self, inconsistent: bool, start: int = 0) -> str | None:
        """In one line; None if nothing was asked.

        Args:
            inconsistent: what the verdict is.
            start: of which start.
        """
        worst, most = self.worst(start), self.moved_most(start)
        if worst is None:
            return None
        line = f"parts of the image {'disagree by' if inconsistent else 'agree to'} {worst[1]:.2f} mm in plane"
        line += f" (worst: the {worst[0]} {'half' if worst[0] in HALVES else 'quarter'}"
        return line + (")" if most is None else f"); the {most[0]} half alone moves the pose by {most[1]:.1f} mm")


def _largest(names: tuple[str, ...], values: list[float]) -> tuple[str, float] | None:
    known = {name: mm for name, mm in zip(names, values, strict=True) if math.isfinite(mm)}
    return max(known.items(), key=lambda part: part[1]) if known else None


def _finite(value: float) -> float | None:
    return float(f"{value:.6g}") if math.isfinite(value) else None
