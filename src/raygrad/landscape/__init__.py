"""How the similarity of X-ray images falls off around a pose: slices through the landscape that registration searches.

landscape = compute_landscape(drr, rotation, translation, parameterization="euler_angles", convention="ZYX")
print(landscape.summary())
landscape.save("landscape.npz")
raygrad.visualization.plot_landscape(landscape)
"""

from raygrad.landscape._compute import compute_landscape as compute_landscape
from raygrad.landscape._measures import Measures as Measures
from raygrad.landscape._measures import Reach as Reach
from raygrad.landscape._measures import measure_slice as measure_slice
from raygrad.landscape._parameters import PoseParameters as PoseParameters
from raygrad.landscape._result import Landscape as Landscape
from raygrad.landscape._slices import Slice as Slice

__all__ = [
    "compute_landscape",
    "Landscape",
    "Slice",
    "Measures",
    "Reach",
    "measure_slice",
    "PoseParameters",
]

# Lent to other rooms; not for users.
from raygrad.landscape._parameters import SYMBOLS as SYMBOLS
