"""How the patient lies on a table or couch, and how that is turned."""

import math

import numpy as np

from raygrad.formats._dicom_geometry.header import Header

SUPINE = "HFS"
_HEAD = {"HF": (0, 0, 1), "FF": (0, 0, -1)}
_LEFT = {"S": 1, "P": -1}
# PS3.16, CID 19, 20 and 21, in SNOMED CT and in the codes before that.
_FACING = {"40199007": "S", "F-10340": "S", "1240000": "P", "F-10310": "P"}
_RIGHT_SIDE = {"102535000": "DR", "F-10317": "DR", "102536004": "DL", "F-10319": "DL"}
_FIRST = {"102540001": "HF", "F-10470": "HF", "102541002": "FF", "F-10480": "FF"}


def patient_position(header: Header, unused: str = "") -> str | None:
    """PatientPosition's code, or that of the enhanced classes' sequences (PS3.3, 10.15); None if there is none.

    Args:
        unused: why nothing follows from it, if that is so.
    """
    position, keyword = position_of(header)
    if position is None:
        header.leave("patient's position", "", ["PatientPosition"], "none that is known")
    else:
        header.found("patient's position", position, "", keyword, note=unused, used=not unused)
    return position


def position_of(header: Header) -> tuple[str | None, str]:
    """The same without an account, and the keyword of it."""
    said = header.text("PatientPosition")
    if said[:2] in _HEAD and said[2:] in (*_LEFT, "DR", "DL"):
        return said, "PatientPosition"
    keyword, facing = "PatientOrientationCodeSequence", "PatientOrientationModifierCodeSequence"
    side = (_FACING | _RIGHT_SIDE).get(_code(header.elements.get(keyword), facing))
    first = _FIRST.get(_code(header.elements.get("PatientGantryRelationshipCodeSequence")))
    return (None if side is None or first is None else first + side), keyword


def _code(sequence: object, inner: str | None = None) -> str:
    """The code of a sequence's first item, or of a sequence in that."""
    items = list(sequence) if hasattr(sequence, "__iter__") else []
    if not items:
        return ""
    return str(items[0].get("CodeValue") or "") if inner is None else _code(items[0].get(inner))


def patient_to_table(position: str) -> np.ndarray:
    """From the patient's LPS to the table's axes: left, down and head of one who lies supine, head first.

    PS3.3, C.7.3.1.1.2; these are the table's axes of C.8.19.6.13.1.3.
    """
    head = np.array(_HEAD[position[:2]], float)
    if position[2:] in _LEFT:
        left = np.array([_LEFT[position[2:]] * head[2], 0.0, 0.0])
    else:
        left = np.array([0.0, -1.0 if position[2:] == "DR" else 1.0, 0.0])  # up with the right side down
    return np.stack([left, np.cross(head, left), head], axis=1)


def about(axis: int, degrees: float) -> np.ndarray:
    """A turn about x, y or z (0, 1, 2) by the right-hand rule."""
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    one, other = (axis + 1) % 3, (axis + 2) % 3
    turn = np.eye(3)
    turn[one, one] = turn[other, other] = cosine
    turn[one, other], turn[other, one] = -sine, sine
    return turn
