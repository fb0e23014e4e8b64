"""Where raygrad's names and arguments are, in every version that `same_bits.py` compares: one table.

What moves or is renamed is written down here, and nowhere else.
"""

import importlib
import inspect
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

PLACES: dict[str, tuple[str, ...]] = {
    "circular": ("raygrad.geometry.trajectories", "raygrad.geometry", "raygrad.trajectories"),
    "ConeViews": ("raygrad.geometry", "raygrad.views"),
    "Detector": ("raygrad.geometry", "raygrad.detector"),
    "DRR": ("raygrad.drr",),
    "load_example_ct": ("raygrad.phantoms", "raygrad.data"),
    "make_reorient": ("raygrad.pose", "raygrad.geometry", "raygrad.data"),
    "Ellipsoid": ("raygrad.phantoms",),
    "Gaussian": ("raygrad.phantoms",),
    "Phantom": ("raygrad.phantoms",),
    "shepp_logan": ("raygrad.phantoms",),
    "Projector": ("raygrad.projector",),
    "RayViews": ("raygrad.geometry", "raygrad.views"),
    "Subject": ("raygrad.data",),
    "UnknownGeometry": (
        "raygrad.geometry:UnknownGeometry",
        "raygrad.registration:UnknownGeometry",
        "raygrad.registration:Calibration",
    ),
    "Volume": ("raygrad.data",),
    "VolumeGeometry": ("raygrad.pose", "raygrad.geometry", "raygrad.data"),
}
"""Where a name may live, the newest place first; MODULE:NAME where it is called otherwise there."""
PLACES |= dict.fromkeys(("short_scan", "helical", "laminography", "c_arm_sweep", "parallel"), PLACES["circular"])

ROOMS = (
    "raygrad.kernels",
    "raygrad.pose",
    "raygrad.metrics",
    "raygrad.registration",
    "raygrad.reconstruction",
    "raygrad.landscape",
    "raygrad",
)
"""Where all other names are looked for."""

KEYWORDS: dict[str, tuple[str, ...]] = {
    "renderer": ("renderer", "method"),  # of a march; `reconstruct` and `register` have a method beside it
    "calibration": ("unknown_geometry", "unknowns", "calibration"),
}
"""How an argument may be called, the newest spelling first; `call` takes the one that the function has."""

STATUS: dict[str, str] = {}
"""Words of a status that changed: the new one, and the one that it stands for."""


def unknown_geometry(
    sdd: float | None = None,
    principal_point: float | None = None,
    pixel_size: float | None = None,
    relative_pose_mm_deg: tuple[float, float] | None = None,
) -> Any:
    """What a registration takes as not known exactly."""
    return find("UnknownGeometry")(
        sdd=sdd, principal_point=principal_point, pixel_size=pixel_size, relative_pose=relative_pose_mm_deg
    )


def unknown_sweep(poses_deg_mm: tuple[float, float] | None = None, **intrinsics: float) -> Any:
    """What `raygrad.reconstruction.calibrate` takes as not known exactly."""
    return intrinsics if poses_deg_mm is None else {"poses": poses_deg_mm, **intrinsics}


def detector_of(**lengths: Any) -> Any:
    """A detector by the names of its arguments."""
    return find("Detector")(**lengths)


def described(status: Any) -> str:
    """A status in the words that it had at first."""
    return STATUS.get(status.value, status.value)


# Names and arguments, wherever and however they are -----------------------------------------------------------------


@cache
def find(name: str) -> Any:
    """What has this name in the first place that has it."""
    for place in PLACES.get(name, ROOMS):
        module, _, other = place.partition(":")
        try:
            room = importlib.import_module(module)
        except ModuleNotFoundError as error:
            if error.name is None or not module.startswith(error.name):
                raise
            continue
        found = getattr(room, other or name, None)
        if found is not None and not isinstance(found, ModuleType):
            return found
    raise ImportError(f"Expected {name} in one of {', '.join(PLACES.get(name, ROOMS))}. Got none.")


class Names:
    """All names of raygrad as attributes: `rg.DRR`, `rg.project`."""

    def __getattr__(self, name: str) -> Any:
        """What has this name."""
        return find(name)


def call(function: Callable, *arguments: Any, **options: Any) -> Any:
    """`function(*arguments, **options)`, with options of `KEYWORDS` spelt as the function has them."""
    known = inspect.signature(function).parameters
    spelt = {}
    for name, value in options.items():
        spellings = KEYWORDS.get(name, (name,))
        spelt[next((spelling for spelling in spellings if spelling in known), spellings[-1])] = value
    return function(*arguments, **spelt)


def cases(name: str) -> ModuleType:
    """The module of this name under the tests of the raygrad that runs, else under these."""
    package = importlib.import_module("raygrad").__file__
    assert package is not None
    for tests in (Path(package).parents[2] / "tests", Path(__file__).parents[1]):
        for file in sorted(tests.rglob(f"{name}.py")):
            sys.path.insert(0, str(file.parent))
            return importlib.import_module(name)
    raise FileNotFoundError(f"Expected {name}.py under the tests. Got none.")
