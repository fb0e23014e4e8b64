"""The table of a C-arm: how it is turned, and how far the patient has moved with it since the first frame.

PS3.3, C.8.7.4, C.8.19.6.11 and C.8.19.6.13.1.3.
"""

import numpy as np

from raygrad.formats._dicom_geometry.header import Elements, Header
from raygrad.formats._dicom_geometry.patient import SUPINE, about, patient_position, patient_to_table, position_of

UNKNOWN_MM = 50.0
ANGLES = ("TableHorizontalRotationAngle", "TableHeadTiltAngle", "TableCradleTiltAngle")
PLACE = tuple(f"Table{axis}PositionToIsocenter" for axis in "XYZ")
_TABLE_TOP = ("TableTopLongitudinalPosition", "TableTopVerticalPosition", "TableTopLateralPosition")
_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0])


def increment(header: Header, name: str, keyword: str, unit: str) -> float:
    """How far this frame is from the first one by an element of increments."""
    step = header.of_frame(keyword)
    if step is None:
        return 0.0
    motion = header.text("TableMotion" if keyword.startswith("Table") else "PositionerMotion")
    if motion == "STATIC":
        if any(header.numbers(keyword) or ()):
            header.warn(f"{keyword} moves what the header says did not move: not used.")
        header.leave(name, unit, [keyword], "nothing moved")
        return 0.0
    kind = "an offset a frame" if len(header.numbers(keyword) or ()) > 1 else "one step for all frames"
    header.found(name, step, unit, keyword, note=f"frame {header.frame + 1}; {kind}")
    return step


def room_to_patient(header: Header) -> tuple[np.ndarray, bool]:
    """From the room's axes (left, down and head of one who lies supine, head first) to RAS+; whether all is said.

    PS3.17, Z.3: the table is turned by its angles in the room; the patient lies on it as PatientPosition says.
    """
    position = patient_position(header)
    for name, value in zip(ANGLES, _angles(header.elements), strict=True):
        if value:
            header.found("table's angle", value, "degrees", name)
    known = position is not None
    return _LPS_TO_RAS @ patient_to_table(position or SUPINE).T @ _table_to_room(header.elements).T, known


def _angles(elements: Elements) -> tuple[float, ...]:
    return tuple(elements.number(name) or 0.0 for name in ANGLES)


def _table_to_room(elements: Elements) -> np.ndarray:
    """Horizontal rotation is from head to left; with the head or the left raised, the others are positive."""
    horizontal, head, cradle = _angles(elements)
    return about(1, horizontal) @ about(0, head) @ about(2, -cradle)


def table_shift(header: Header) -> tuple[np.ndarray, float]:
    """How far the patient has moved with the table since the first frame, in RAS+ mm, and how unsure that is."""
    left = increment(header, "table's move to the left", "TableLongitudinalIncrement", "mm")
    head = increment(header, "table's move to the head", "TableLateralIncrement", "mm")
    lower = increment(header, "table's move downwards", "TableVerticalIncrement", "mm")
    if lower:
        header.warn(
            "The table moved up or down; its sign is not settled among vendors: downwards is taken as positive."
        )
    if left or head or lower:
        return np.array([-left, -lower, head]), abs(lower)
    moved = _moved_in_room(header)
    if moved is not None:
        return moved, 0.0
    if header.text("TableMotion") == "DYNAMIC" and header.frame:
        header.warn("The table moved during the frames, and the header does not say how.")
        return np.zeros(3), UNKNOWN_MM
    return np.zeros(3), 0.0


def _moved_in_room(header: Header) -> np.ndarray | None:
    """The patient's move since the first frame by the table's place in the enhanced classes' macros, in RAS+."""
    for keywords, note in ((PLACE, "against the isocentre"), (_TABLE_TOP, "longitudinal, vertical, lateral")):
        here, first = ([place.number(name) for name in keywords] for place in (header.elements, header.first))
        if None in here or None in first:
            continue
        move = np.array(here, float) - np.array(first, float)
        if not move.any():
            continue
        for name, value in zip(keywords, here, strict=True):
            header.found("table's position", value, "mm", name, note=f"{note}; its move since the first frame is used")
        position = position_of(header)[0]
        if position is None:
            header.warn("The table moved, and how the patient lay on it is not said: supine, head first, is assumed.")
        on_table = patient_to_table(position or SUPINE).T
        if keywords is _TABLE_TOP:  # as seen from a patient who lies supine, head first, on a table that is level
            return _LPS_TO_RAS @ on_table @ move
        # The isocentre among the table's axes, at this frame and at the first: the patient moves the other way.
        now, before = (
            _table_to_room(place).T @ -np.array(where, float)
            for place, where in ((header.elements, here), (header.first, first))
        )
        return _LPS_TO_RAS @ on_table @ (before - now)
    return None
