"""Sweeps as the command line names them: one kind, a number of views, and an X-ray system."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from raygrad._errors import InputError
from raygrad.cli._parsing import parse_numbers
from raygrad.cli._sizes import check_images
from raygrad.formats import Frames, has_centred_world, read_geometry
from raygrad.geometry import ConeViews, trajectories

# Trajectories, and which options each has beside the X-ray system.
KINDS: Mapping[str, tuple[str, ...]] = {
    "circular": ("start_deg", "range_deg", "clockwise"),
    "short_scan": ("start_deg", "clockwise"),
    "helical": ("start_deg", "clockwise", "pitch", "turns"),
    "laminography": ("start_deg", "range_deg", "clockwise", "tilt_deg"),
    "c_arm": ("lao_rao_deg", "cran_caud_deg"),
}
_FLAGS = {
    "start_deg": "--start",
    "range_deg": "--range",
    "tilt_deg": "--tilt",
    "lao_rao_deg": "--lao-rao",
    "cran_caud_deg": "--cran-caud",
}
_NEEDED = {"helical": ("pitch", "turns"), "laminography": ("tilt_deg",), "c_arm": ("lao_rao_deg",)}


# What sees all of the example CT.
_SYSTEM = {"sdd": 1500.0, "sid": 1000.0, "height": 256}
_ROW_MM = 614.4


def read_or_make_views(
    geometry: Path | None, counts: Mapping[str, int | None], path: Mapping[str, Any], system: Mapping[str, Any]
) -> tuple[ConeViews, bool]:
    """The views of a geometry file, or of a sweep (see `make_sweep`), and whether a CT's centre is their origin.

    Of `system`, None stands for the default. A geometry file says it all, but RTK's and some others may leave it to
    `height`, `width`, `delx` and `dely`.

    Raises:
        InputError: both a file and a sweep, or neither.
        ValueError, OSError: see `read_geometry` and `make_sweep`.
    """
    asked = {name: value for name, value in system.items() if value is not None}
    if geometry is None:
        camera: dict[str, Any] = _SYSTEM | asked
        if "delx" not in asked:
            camera["delx"] = _ROW_MM / (asked.get("width") or camera["height"])
        return make_sweep(counts, path, camera), True
    flags = [f"--{kind.replace('_', '-')}" for kind, count in counts.items() if count is not None]
    flags += [flag_of(name) for name, value in path.items() if value is not None and value is not False]
    flags += [flag_of(name) for name in asked if name not in ("height", "width", "delx", "dely")]
    if flags:
        raise InputError(
            f"'{geometry}' says where the views are taken from; leave out {', '.join(flags)}, or the file."
        )
    frames = None
    if "height" in asked and "delx" in asked:
        shape = (asked["height"], asked.get("width", asked["height"]))
        frames = Frames(shape, (asked["delx"], asked.get("dely", asked["delx"])))
    elif asked:
        raise InputError("Beside a geometry file that leaves the detector open, give --height and --delx.")
    return read_geometry(geometry, frames), has_centred_world(geometry)


def make_sweep(counts: Mapping[str, int | None], path: Mapping[str, Any], system: Mapping[str, Any]) -> ConeViews:
    """The views of the one kind of trajectory that has a number of views.

    Args:
        counts: kind -> number of views; the one that is not None is meant.
        path: options of the trajectory, None where they were not given; `lao_rao_deg` and `cran_caud_deg` as they were
            typed.
        system: sdd, sid, height, width, delx, dely, x0, y0.

    Raises:
        InputError: not exactly one kind, options of another kind, or some that are missing.
        ValueError: numbers that make no such sweep.
    """
    chosen = [(kind, count) for kind, count in counts.items() if count is not None]
    if len(chosen) != 1:
        kinds = ", ".join(f"--{kind.replace('_', '-')} N" for kind in KINDS)
        raise InputError(f"Say where the views are taken from: a geometry file, or one of {kinds}.")
    kind, count = chosen[0]
    given = {name: value for name, value in path.items() if value is not None and value is not False}
    for name in given:
        if name not in KINDS[kind]:
            raise InputError(f"{flag_of(name)} does not go with --{kind.replace('_', '-')}.")
    for name in _NEEDED.get(kind, ()):
        if name not in given:
            raise InputError(f"--{kind.replace('_', '-')} needs {flag_of(name)}.")
    for name in ("lao_rao_deg", "cran_caud_deg"):
        if name in given:
            given[name] = _first_and_last(given[name], flag_of(name))
    if count > 0 and min(system["height"], system.get("width", 1)) > 0:
        flags = f"--{kind.replace('_', '-')}, --height and --width"
        check_images(system["height"], system.get("width"), count, flags)
    make: Callable[..., ConeViews] = trajectories.c_arm_sweep if kind == "c_arm" else getattr(trajectories, kind)
    return make(n_views=count, **given, **system)


def flag_of(name: str) -> str:
    """How an option is typed."""
    return _FLAGS.get(name, f"--{name}")


def _first_and_last(text: str, option: str) -> list[float]:
    angles = parse_numbers(text, option)
    if len(angles) not in (1, 2):
        raise InputError(f"{option} takes the first and the last angle in degrees, such as -100,100; not '{text}'.")
    return angles
