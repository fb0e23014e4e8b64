"""Where raygrad's names and arguments are, in every version that `same_bits.py` compares: one table.

What moves or is renamed is written down here, and nowhere else.
"""

import importlib
import inspect
import sys
from collections.abc import Callable
from dataclasses import fields
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

PLACES: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(
        ("circular", "short_scan", "helical", "laminography", "c_arm_sweep", "parallel"),
        ("raygrad.geometry.trajectories", "raygrad.trajectories"),
    ),
    **dict.fromkeys(("ConeViews", "RayViews"), ("raygrad.geometry", "raygrad.views")),
    "Detector": ("raygrad.geometry", "raygrad.detector"),
    "VolumeGeometry": ("raygrad.pose", "raygrad.geometry", "raygrad.data"),
    "UnknownGeometry": ("raygrad.geometry",),
    "make_reorient": ("raygrad.pose", "raygrad.data"),
    **dict.fromkeys(("Subject", "Volume"), ("raygrad.data",)),
    **dict.fromkeys(("Ellipsoid", "Gaussian", "Phantom", "shepp_logan"), ("raygrad.phantoms",)),
    "load_example_ct": ("raygrad.phantoms", "raygrad.data"),
    "DRR": ("raygrad.drr",),
    "Projector": ("raygrad.projector",),
}
"""Where a name lives, the newest place first."""

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
    "calibration": ("unknown_geometry", "unknowns", "unknown", "geometry", "calibration"),
}
"""How an argument is called, the newest first; `call` takes the one that the function has."""

FIELDS: dict[str, tuple[str, ...]] = {"step": ("step_mm", "step")}
"""How an attribute is called, the newest first."""

STATUS = {"out of iterations": "ran out of iterations"}
"""Words of a status that are no longer said, and what stands for them."""

METHODS = {
    "raygrad.registration": {"lm": "LevenbergMarquardt", "adam": "Adam", "lbfgs": "QuasiNewton"},
    "raygrad.reconstruction": {
        "fdk": "Fdk",
        "sirt": "Sirt",
        "os_sart": "OsSart",
        "cgls": "Cgls",
        "osem": "Osem",
        "tv": "Tv",
        "adam": "Adam",
    },
}
"""Methods that are objects, where a room has them: their fields are options, others are the verb's."""


def register(*arguments: Any, **options: Any) -> Any:
    """A registration; options of the method are given as if they were the verb's."""
    return _by_method("raygrad.registration", "lm", find("register"), arguments, options)


def reconstruct(*arguments: Any, **options: Any) -> Any:
    """A reconstruction; options of the method are given as if they were the verb's."""
    return _by_method("raygrad.reconstruction", "os_sart", find("reconstruct"), arguments, options)


def _by_method(room: str, default: str, verb: Callable, arguments: tuple[Any, ...], options: dict[str, Any]) -> Any:
    method = options.get("method", default)
    made = getattr(importlib.import_module(room), METHODS[room][method], None)
    if made is not None:
        own = {name: options.pop(name) for name in list(options) if name in {field.name for field in fields(made)}}
        options |= {"method": made(**own)}
    return call(verb, *arguments, **options)


def unknown_geometry(
    pose_deg: float | None = None,
    pose_mm: float | None = None,
    sdd_mm: float | None = None,
    centre_mm: float | None = None,
    pixel_size: float | None = None,
) -> Any:
    """What a registration takes as not known exactly."""
    if not _takes(find("register"), "UnknownGeometry"):
        relative = None if pose_mm is None else (pose_mm, pose_deg)
        known = {"sdd": sdd_mm, "principal_point": centre_mm, "pixel_size": pixel_size, "relative_pose": relative}
        return find("Calibration")(**known)
    poses = {"pose_deg": pose_deg, "pose_mm": pose_mm}
    return find("UnknownGeometry")(**poses, sdd_mm=sdd_mm, x0_mm=centre_mm, y0_mm=centre_mm, pixel_size=pixel_size)


def unknown_sweep(
    pose_deg: float | None = None,
    pose_mm: float | None = None,
    sdd_mm: float | None = None,
    x0_mm: float | None = None,
    y0_mm: float | None = None,
    pixel_size: float | None = None,
) -> Any:
    """What `raygrad.reconstruction.calibrate` takes as not known exactly."""
    lengths = {"sdd_mm": sdd_mm, "x0_mm": x0_mm, "y0_mm": y0_mm}
    if _takes(find("calibrate"), "UnknownGeometry"):
        return find("UnknownGeometry")(pose_deg=pose_deg, pose_mm=pose_mm, **lengths, pixel_size=pixel_size)
    known = {name[:3].rstrip("_"): length for name, length in lengths.items()} | {"pixel_size": pixel_size}
    poses = None if pose_mm is None else (pose_deg, pose_mm)
    return {name: value for name, value in {"poses": poses, **known}.items() if value is not None}


def _takes(function: Callable, kind: str) -> bool:
    """Whether an argument of a function may be of this kind."""
    return any(kind in str(argument.annotation) for argument in inspect.signature(function).parameters.values())


def detector_of(**lengths: Any) -> Any:
    """A detector by the names of its arguments."""
    return find("Detector")(**lengths)


def described(status: Any) -> str:
    """A status in the words of today."""
    return STATUS.get(status.value, status.value)


# Names and arguments, wherever and however they are -----------------------------------------------------------------


@cache
def find(name: str) -> Any:
    """What has this name in the first place that has it."""
    for place in PLACES.get(name, ROOMS):
        try:
            room = importlib.import_module(place)
        except ModuleNotFoundError as error:
            if error.name is None or not place.startswith(error.name):
                raise
            continue
        found = getattr(room, name, None)
        if found is not None and not isinstance(found, ModuleType):
            return found
    raise ImportError(f"Expected {name} in one of {', '.join(PLACES.get(name, ROOMS))}. Got none.")


class Names:
    """All names of raygrad as attributes: `rg.DRR`, `rg.project`."""

    def __getattr__(self, name: str) -> Any:
        """What has this name."""
        return find(name)


def field(value: Any, name: str) -> Any:
    """An attribute, by whichever of the names in `FIELDS` it has."""
    return next(getattr(value, spelling) for spelling in FIELDS[name] if hasattr(value, spelling))


def spelling(function: Callable, name: str) -> str:
    """How a function calls an argument."""
    known, spellings = inspect.signature(function).parameters, KEYWORDS.get(name, (name,))
    return next((one for one in spellings if one in known), spellings[-1])


def call(function: Callable, *arguments: Any, **options: Any) -> Any:
    """`function(*arguments, **options)`, with options spelt as the function has them."""
    return function(*arguments, **{spelling(function, name): value for name, value in options.items()})


def cases(name: str) -> ModuleType:
    """The module of this name under the tests of the raygrad that runs, else under these."""
    package = importlib.import_module("raygrad").__file__
    assert package is not None
    for tests in (Path(package).parents[2] / "tests", Path(__file__).parents[1]):
        for file in sorted(tests.rglob(f"{name}.py")):
            sys.path.insert(0, str(file.parent))
            return importlib.import_module(name)
    raise FileNotFoundError(f"Expected {name}.py under the tests. Got none.")
