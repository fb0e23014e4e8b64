"""Which view of a patient a beam makes: AP, PA, a lateral or the nearest oblique, as radiographers name them."""

import math
from collections.abc import Sequence

import numpy as np

Beam = Sequence[float | int] | np.ndarray

SQUARE_ON_DEG = 10.0
"""A view within so many degrees of AP, PA or a lateral is called that."""
ALONG_DEG = 70.0
"""Views that run more nearly along the patient than this are named by the end that they run to."""


def positioner_angles(beam: Beam) -> tuple[float, float]:
    """Where a C-arm's detector stands for such a beam: DICOM's positioner primary and secondary angle.

    PS3.3, C.8.7.5.1.2: 0, 0 has the detector in front of the patient; the first angle turns it to the patient's left
    (+90), the second to the head (+90).

    Args:
        beam: from the source to the detector, in the patient's world (RAS+), of length 1.

    Returns:
        Both in degrees, from -180 to 180 and from -90 to 90.
    """
    x, y, z = (float(part) for part in beam)
    secondary = math.asin(max(-1.0, min(1.0, z)))
    primary = math.atan2(-x, y) if abs(z) < 1 - 1e-12 else 0.0
    return math.degrees(primary), math.degrees(secondary)


def name_view(beam: Beam) -> str:
    """What a radiographer calls the view that a beam makes.

    AP runs from front to back, PA from back to front; of a left lateral the patient's left is at the detector. Others
    are named by what of the patient is at the detector, and by degrees: LAO and RAO from PA, LPO and RPO from AP; CRA
    or CAU where the detector is that much nearer to the head or the feet.

    Args:
        beam: from the source to the detector, in the patient's world (RAS+: to the right, the front, the head), of any
            length but 0.

    Raises:
        ValueError: no direction.
    """
    length = math.hypot(*(float(part) for part in beam))
    if len(beam) != 3 or not 0 < length < math.inf:
        raise ValueError(f"Expected a beam as a direction of three numbers. Got {list(beam)}.")
    primary, secondary = positioner_angles([float(part) / length for part in beam])
    if abs(secondary) > ALONG_DEG:
        return f"axial, to the {'head' if secondary > 0 else 'feet'}"
    side = "L" if primary > 0 else "R"
    from_pa = abs(primary)
    if from_pa <= SQUARE_ON_DEG:
        name = "PA"
    elif from_pa >= 180 - SQUARE_ON_DEG:
        name = "AP"
    elif abs(from_pa - 90) <= SQUARE_ON_DEG:
        name = "left lateral" if primary > 0 else "right lateral"
    elif from_pa < 90:
        name = f"{side}AO {from_pa:.0f}"
    else:
        name = f"{side}PO {180 - from_pa:.0f}"
    if abs(secondary) <= SQUARE_ON_DEG:
        return name
    return f"{name}, {'CRA' if secondary > 0 else 'CAU'} {abs(secondary):.0f}"
