"""How an X-ray was taken, as a DICOM header tells it: voltage, filters, exposure, collimator (PS3.3, C.8.7)."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from raygrad.physics import Collimator, Physics

if TYPE_CHECKING:
    from pydicom import Dataset

_NAMES = {"aluminium": "ALUMINUM"}
"""DICOM's terms, where they differ from ours (C.8.7.10)."""
_CORNERS = 64
"""Of the polygon that an ellipse becomes."""


@dataclass(frozen=True)
class Technique:
    """How an X-ray was taken. What is None is not known.

    Attributes:
        kvp: tube voltage in kV.
        filtration: mm of each material in the beam.
        mas: tube current times exposure time.
        scintillator: whether the detector is one, or converts directly.
        grid: whether there was one against scatter.
        fluoroscopic: whether the dose was that of fluoroscopy.
        collimator: what was open on the detector.
    """

    kvp: float | None = None
    filtration: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    mas: float | None = None
    scintillator: bool | None = None
    grid: bool | None = None
    fluoroscopic: bool = False
    collimator: Collimator | None = None

    @classmethod
    def of(
        cls,
        physics: Physics,
        sdd: float,
        kvp: float | None = None,
        filtration: Mapping[str, float] | None = None,
        fluoroscopic: bool = False,
    ) -> "Technique":
        """What physics says of it.

        Args:
            physics: whose dose, detector, grid and collimator are taken.
            sdd: source-to-detector distance in mm, by which the exposure follows from the dose at the detector.
            kvp, filtration: of the tube, which a spectrum does not say any more.
            fluoroscopic: see above.
        """
        dose, material = physics.dose_ugy, physics.sensor.material
        mas = None if dose is None else float(dose) * (sdd / 1000) ** 2 / float(physics.spectrum.air_kerma())
        scintillator = None if material is None else material not in ("selenium", "cdte")
        return cls(
            kvp,
            MappingProxyType(dict(filtration or {})),
            mas,
            scintillator,
            physics.grid is not None,
            fluoroscopic,
            physics.collimator,
        )


def describe_technique(dataset: "Dataset", technique: Technique, text: Any) -> None:
    """Put it into a header that has pixels and their size already; `text` makes decimal strings of numbers."""
    dataset.RadiationSetting = "SC" if technique.fluoroscopic else "GR"
    if technique.kvp is not None:
        dataset.KVP = text(technique.kvp)
    if technique.mas is not None:
        dataset.Exposure, dataset.ExposureInuAs = round(technique.mas), round(1000 * technique.mas)
    if technique.filtration:
        dataset.FilterType = "FLAT"
        dataset.FilterMaterial = [_NAMES.get(name, name.upper()) for name in technique.filtration]
        thickness = [text(mm) for mm in technique.filtration.values()]
        dataset.FilterThicknessMinimum = dataset.FilterThicknessMaximum = thickness
    if technique.scintillator is not None:
        dataset.DetectorType = "SCINTILLATOR" if technique.scintillator else "DIRECT"
    if technique.grid is not None:
        dataset.Grid = "IN" if technique.grid else "NONE"
    if technique.collimator is not None:
        _describe_collimator(dataset, technique.collimator)


def _describe_collimator(dataset: "Dataset", collimator: Collimator) -> None:
    """Edges are the last pixels that are seen, and a radius is counted in columns (C.8.7.3)."""
    dely, delx = (float(side) for side in dataset.ImagerPixelSpacing)
    rows, columns = int(dataset.Rows), int(dataset.Columns)
    height = float(collimator.height_mm)
    width = height if collimator.width_mm is None else float(collimator.width_mm)
    turn = math.radians(float(collimator.turn_deg))
    middle_row, middle_column = (rows + 1) / 2, (columns + 1) / 2
    if collimator.shape == "rectangle" and math.remainder(turn, math.pi) == 0:
        dataset.CollimatorShape = "RECTANGULAR"
        dataset.CollimatorLeftVerticalEdge = math.ceil(middle_column - width / 2 / delx)
        dataset.CollimatorRightVerticalEdge = math.floor(middle_column + width / 2 / delx)
        dataset.CollimatorUpperHorizontalEdge = math.ceil(middle_row - height / 2 / dely)
        dataset.CollimatorLowerHorizontalEdge = math.floor(middle_row + height / 2 / dely)
    elif collimator.shape == "round" and width == height and middle_row % 1 == middle_column % 1 == 0:
        dataset.CollimatorShape = "CIRCULAR"
        dataset.CenterOfCircularCollimator = [int(middle_row), int(middle_column)]
        dataset.RadiusOfCircularCollimator = math.floor(width / 2 / delx)
    else:
        dataset.CollimatorShape = "POLYGONAL"
        vertices: list[int] = []
        for u, v in _outline(collimator.shape, width / 2, height / 2):
            right, up = math.cos(turn) * u - math.sin(turn) * v, math.sin(turn) * u + math.cos(turn) * v
            vertices += [_inwards(middle_row, -up / dely), _inwards(middle_column, right / delx)]
        dataset.VerticesOfThePolygonalCollimator = vertices


def _inwards(middle: float, offset: float) -> int:
    """A pixel's number, rounded towards the middle."""
    return math.floor(middle + offset) if offset > 0 else math.ceil(middle + offset)


def _outline(shape: str, a: float, b: float) -> list[tuple[float, float]]:
    """Corners about the middle, counterclockwise."""
    if shape == "round":
        angles = [2 * math.pi * k / _CORNERS for k in range(_CORNERS)]
        return [(a * math.cos(angle), b * math.sin(angle)) for angle in angles]
    if shape == "rectangle":
        return [(a, b), (-a, b), (-a, -b), (a, -b)]
    c = math.sqrt(2) - 1
    eighth = [(a, c * b), (c * a, b)]
    mirrored = [(-u, v) for u, v in reversed(eighth)]
    return [*eighth, *mirrored, *[(-u, -v) for u, v in (*eighth, *mirrored)]]
