"""raygrad: differentiable X-ray imaging with exact derivatives.

Everything that most programs need is here, and every room of the library beside it:

```python
import raygrad as rg

drr = rg.DRR(rg.load_example_ct(), sdd=1020.0, height=200, delx=2.0)
pose = rg.convert(rotation, translation, parameterization="euler_angles", convention="ZXY")
result = rg.register(drr(pose), drr, start)
views = rg.geometry.trajectories.circular(64, sdd=1500.0, sid=1000.0, height=128, delx=3.0)
```

What comes in families stays in its room: metrics, trajectories, methods of registration and of reconstruction, plots,
kernels. Nothing is imported before it is asked for: `import raygrad` alone does without torch.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from raygrad import cli as cli
    from raygrad import data as data
    from raygrad import detector as detector
    from raygrad import distributed as distributed
    from raygrad import drr as drr
    from raygrad import evaluation as evaluation
    from raygrad import formats as formats
    from raygrad import geometry as geometry
    from raygrad import kernels as kernels
    from raygrad import landscape as landscape
    from raygrad import march as march
    from raygrad import metrics as metrics
    from raygrad import phantoms as phantoms
    from raygrad import physics as physics
    from raygrad import pose as pose
    from raygrad import projector as projector
    from raygrad import reconstruction as reconstruction
    from raygrad import registration as registration
    from raygrad import scene as scene
    from raygrad import testing as testing
    from raygrad import types as types
    from raygrad import visualization as visualization
    from raygrad._cockpit import cockpit as cockpit
    from raygrad.data import Subject as Subject
    from raygrad.data import Volume as Volume
    from raygrad.data import read as read
    from raygrad.data import write_volume as write_volume
    from raygrad.distributed import join_processes as join_processes
    from raygrad.drr import DRR as DRR
    from raygrad.evaluation import evaluate as evaluate
    from raygrad.formats import read_geometry as read_geometry
    from raygrad.formats import read_poses as read_poses
    from raygrad.formats import read_stack as read_stack
    from raygrad.formats import read_xray as read_xray
    from raygrad.formats import write_geometry as write_geometry
    from raygrad.formats import write_poses as write_poses
    from raygrad.formats import write_stack as write_stack
    from raygrad.geometry import ConeViews as ConeViews
    from raygrad.geometry import Detector as Detector
    from raygrad.geometry import Intrinsics as Intrinsics
    from raygrad.geometry import ParallelViews as ParallelViews
    from raygrad.geometry import RayViews as RayViews
    from raygrad.geometry import UnknownGeometry as UnknownGeometry
    from raygrad.geometry import VolumeGeometry as VolumeGeometry
    from raygrad.landscape import Landscape as Landscape
    from raygrad.landscape import compute_landscape as compute_landscape
    from raygrad.march import Marching as Marching
    from raygrad.march import Prepared as Prepared
    from raygrad.phantoms import load_example_ct as load_example_ct
    from raygrad.physics import Physics as Physics
    from raygrad.physics import render as render
    from raygrad.pose import RigidTransform as RigidTransform
    from raygrad.pose import convert as convert
    from raygrad.projector import Projector as Projector
    from raygrad.reconstruction import ReconstructionResult as ReconstructionResult
    from raygrad.reconstruction import calibrate as calibrate
    from raygrad.reconstruction import reconstruct as reconstruct
    from raygrad.registration import Registration as Registration
    from raygrad.registration import RegistrationResult as RegistrationResult
    from raygrad.registration import SearchRanges as SearchRanges
    from raygrad.registration import register as register
    from raygrad.registration import search as search
    from raygrad.registration import to_line_integrals as to_line_integrals
    from raygrad.scene import Body as Body
    from raygrad.scene import Capsule as Capsule
    from raygrad.scene import Cone as Cone
    from raygrad.scene import Cylinder as Cylinder
    from raygrad.scene import Mesh as Mesh
    from raygrad.scene import Scene as Scene
    from raygrad.scene import Spheres as Spheres
    from raygrad.visualization import plot_drr as plot_drr

__version__ = "0.1.0"

_NAMES_BY_ROOM = {
    "data": ("read", "Subject", "Volume", "write_volume"),
    "phantoms": ("load_example_ct",),
    "pose": ("RigidTransform", "convert"),
    "geometry": (
        "Detector",
        "Intrinsics",
        "ConeViews",
        "ParallelViews",
        "RayViews",
        "VolumeGeometry",
        "UnknownGeometry",
    ),
    "drr": ("DRR",),
    "projector": ("Projector",),
    "scene": ("Scene", "Body", "Mesh", "Capsule", "Cylinder", "Cone", "Spheres"),
    "physics": ("Physics", "render"),
    "march": ("Marching", "Prepared"),
    "registration": (
        "register",
        "search",
        "SearchRanges",
        "RegistrationResult",
        "Registration",
        "to_line_integrals",
    ),
    "reconstruction": ("reconstruct", "calibrate", "ReconstructionResult"),
    "landscape": ("compute_landscape", "Landscape"),
    "formats": (
        "read_xray",
        "read_stack",
        "write_stack",
        "read_geometry",
        "write_geometry",
        "read_poses",
        "write_poses",
    ),
    "visualization": ("plot_drr",),
    "evaluation": ("evaluate",),
    "distributed": ("join_processes",),
    "kernels": (),
    "metrics": (),
    "types": (),
    "detector": (),
    "testing": (),
    "cli": (),
}
_ROOM_OF = {name: room for room, names in _NAMES_BY_ROOM.items() for name in names}
_ROOM_OF["cockpit"] = "_cockpit"  # a function of that name would hide its room

__all__ = [*_ROOM_OF, *_NAMES_BY_ROOM, "__version__"]


if not TYPE_CHECKING:  # so that a name that is none is an error there

    def __getattr__(name: str) -> Any:
        """Import what is asked for (PEP 562)."""
        if name in _NAMES_BY_ROOM:
            return importlib.import_module(f"raygrad.{name}")
        if name in _ROOM_OF:
            return getattr(importlib.import_module(f"raygrad.{_ROOM_OF[name]}"), name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
