"""Source and image receptor of enhanced RT images, which say by matrices where each is (PS3.3, C.36.2.4.2)."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from raygrad._dicom import numbers

MATRIX = "DevicePositionToEquipmentMappingMatrix"
_CLASSES = ("1.2.840.10008.5.1.4.1.1.481.23", "1.2.840.10008.5.1.4.1.1.481.24")


def is_enhanced_rt(layers: Sequence[Any]) -> bool:
    """Whether a header is that of an Enhanced RT Image or an Enhanced Continuous RT Image."""
    return any(str(layer.get("SOPClassUID") or "") in _CLASSES for layer in layers)


def source_and_receptor(layers: Sequence[Any]) -> tuple[np.ndarray, np.ndarray] | None:
    """From the axes of the source and of the receptor to the equipment's, 4 x 4 each; None unless both are there.

    The receptor's x and y are along its edges and z passes its middle (C.36.1.1.12); the source's z runs from the
    receptor to it (C.36.1.1.11).
    """
    found = [_matrix_in(layers, f"{name}PositionSequence") for name in ("ImagingSource", "ImageReceptor")]
    source, receptor = found
    return None if source is None or receptor is None else (source, receptor)


def distance_to_receptor(layers: Sequence[Any]) -> float | None:
    """From the source to the receptor's plane in mm."""
    found = source_and_receptor(layers)
    if found is None:
        return None
    source, receptor = found
    distance = abs(float((source[:3, 3] - receptor[:3, 3]) @ receptor[:3, 2]))
    return distance if distance > 0 else None


def is_rigid(matrix: np.ndarray) -> bool:
    """Whether a 4 x 4 matrix turns and shifts, and nothing else."""
    rotation = matrix[:3, :3]
    near = np.allclose(rotation @ rotation.T, np.eye(3), atol=1e-3) and np.allclose(matrix[3], [0, 0, 0, 1], atol=1e-6)
    return bool(near and np.linalg.det(rotation) > 0)


def _matrix_in(layers: Sequence[Any], sequence: str) -> np.ndarray | None:
    for layer in layers:
        for item in layer.get(sequence) or ():
            values = numbers(item, MATRIX)
            if len(values) == 16 and is_rigid(matrix := np.array(values).reshape(4, 4)):
                return matrix
    return None
