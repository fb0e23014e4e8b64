"""Physics: spectra, materials and detectors, all differentiable.

```python
physics = Physics.preset("fluoroscopy", kvp=75)
image = render(drr, pose, physics)
```
"""

from raygrad.physics._blur import DetectorBlur as DetectorBlur
from raygrad.physics._bone_correction import BoneCorrection as BoneCorrection
from raygrad.physics._collimator import Collimator as Collimator
from raygrad.physics._dual_energy import Decomposition as Decomposition
from raygrad.physics._dual_energy import decompose as decompose
from raygrad.physics._focal_spot import FocalSpot as FocalSpot
from raygrad.physics._gain import Gain as Gain
from raygrad.physics._glare import Glare as Glare
from raygrad.physics._heel import Heel as Heel
from raygrad.physics._lag import Lag as Lag
from raygrad.physics._multiscale import Multiscale as Multiscale
from raygrad.physics._noise import Noise as Noise
from raygrad.physics._paths import PathLengths as PathLengths
from raygrad.physics._paths import path_lengths as path_lengths
from raygrad.physics._physics import PRESETS as PRESETS
from raygrad.physics._physics import Physics as Physics
from raygrad.physics._prepared import PreparedTissues as PreparedTissues
from raygrad.physics._presentation import PRESENTATIONS as PRESENTATIONS
from raygrad.physics._presentation import FilmCurve as FilmCurve
from raygrad.physics._presentation import PercentileWindow as PercentileWindow
from raygrad.physics._presentation import Presentation as Presentation
from raygrad.physics._render import render as render
from raygrad.physics._response import Chain as Chain
from raygrad.physics._response import Gamma as Gamma
from raygrad.physics._response import Inverted as Inverted
from raygrad.physics._response import Log as Log
from raygrad.physics._response import LookUpTable as LookUpTable
from raygrad.physics._response import Quantized as Quantized
from raygrad.physics._response import Response as Response
from raygrad.physics._response import Saturation as Saturation
from raygrad.physics._response import Sigmoid as Sigmoid
from raygrad.physics._response import Window as Window
from raygrad.physics._scatter import AntiScatterGrid as AntiScatterGrid
from raygrad.physics._scatter import Scatter as Scatter
from raygrad.physics._scene import PreparedScene as PreparedScene
from raygrad.physics._sensor import SENSORS as SENSORS
from raygrad.physics._sensor import Sensor as Sensor
from raygrad.physics._sensor import sensor_named as sensor_named
from raygrad.physics._spectrum import Spectrum as Spectrum
from raygrad.physics._spectrum import TubeSettings as TubeSettings
from raygrad.physics._tissues import Tissues as Tissues
from raygrad.physics._transmission import line_integrals as line_integrals
from raygrad.physics._transmission import transmitted as transmitted
from raygrad.physics._transmission import transmitted_with_derivatives as transmitted_with_derivatives
from raygrad.physics._water_correction import WaterCorrection as WaterCorrection

__all__ = [
    "Physics",
    "PRESETS",
    "render",
    "Spectrum",
    "TubeSettings",
    "Sensor",
    "sensor_named",
    "SENSORS",
    "Tissues",
    "PreparedTissues",
    "PreparedScene",
    "path_lengths",
    "PathLengths",
    "transmitted",
    "transmitted_with_derivatives",
    "line_integrals",
    "WaterCorrection",
    "BoneCorrection",
    "decompose",
    "Decomposition",
    "Heel",
    "FocalSpot",
    "Scatter",
    "AntiScatterGrid",
    "DetectorBlur",
    "Glare",
    "Noise",
    "Gain",
    "Lag",
    "Response",
    "Chain",
    "Log",
    "Window",
    "Sigmoid",
    "Gamma",
    "Saturation",
    "LookUpTable",
    "Inverted",
    "Quantized",
    "Collimator",
    "Presentation",
    "PRESENTATIONS",
    "Multiscale",
    "PercentileWindow",
    "FilmCurve",
]

# Lent to other rooms; not for users.
from raygrad.physics._beam import Beam as Beam
from raygrad.physics._beam import line_integrals_with_derivatives as line_integrals_with_derivatives
from raygrad.physics._beam import without_channel as without_channel
from raygrad.physics._detector import detect as detect
