"""Trajectories: the views of sources and detectors that move around a patient.

All turn about an `axis` through the `isocentre`. At 0 degrees the source is in front of the patient (+y), and the image
is the AP view of a `DRR` whose pose is a translation of (0, sid, 0). About an axis that leans, 0 degrees is as near to
the front as it allows (above the head, +z, if the axis is y). Positive angles turn the source by the right-hand rule
about the axis: for +z towards the patient's left. Row 0 of an image is towards the end of the axis and rows run across
it, so that patients stand upright, their right side on the left of the AP view.

Views are spread evenly from the start to the end, both included unless the end repeats the start, as after a full turn.
Poses are those that a `DRR` of orientation AP takes; they are worked out in float64 and rounded to `dtype` at the end.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from raygrad.geometry._detector import Detector
from raygrad.geometry._intrinsics import Intrinsics, as_count
from raygrad.geometry._views import ConeViews, ParallelViews
from raygrad.pose import RigidTransform, convert, make_matrix, make_reorient

__all__ = ["circular", "short_scan", "helical", "c_arm_sweep", "laminography", "parallel"]

Angles = float | int | Sequence[float | int] | Tensor
Point = Sequence[float | int] | Tensor


def circular(
    n_views: int,
    *,
    start_deg: float | int = 0.0,
    range_deg: float | int = 360.0,
    clockwise: bool = False,
    **system: Any,
) -> ConeViews:
    """A source and a flat detector on a circle about the patient.

    Args:
        n_views: number of views.
        start_deg: angle of the first view in degrees.
        range_deg: how far they turn, in degrees.
        clockwise: turn the other way, seen from the end of the axis; `start_deg` stays where it is.
        **system: the X-ray system, for all trajectories by the same names:
            sdd, sid: distance in mm from the source to the detector and to the isocentre;
            height, width: number of rows and columns (`width` defaults to `height`);
            delx, dely: size of a pixel along a row and along a column in mm (`dely` defaults to `delx`);
            x0, y0: where the detector's centre lies in the camera frame in mm, for offset detectors (0, 0). Columns run
            from +x to -x, so that a positive x0 shifts the isocentre by x0 / delx columns to the right of the middle;
            axis: of the rotation, in the world, of any length ((0, 0, 1), from feet to head);
            isocentre: in world mm ((0, 0, 0));
            dtype: of the poses (float32).

    Raises:
        ValueError: numbers, lengths or angles that make no such system.
        TypeError: a number of views, rows or columns that is not whole, an argument that is missing or unknown.
    """
    turn = _spread(n_views, start_deg, range_deg, clockwise, period_deg=360.0)
    return _cone_views(turn, **system)


def short_scan(
    n_views: int,
    *,
    sdd: float | int,
    height: int,
    width: int | None = None,
    delx: float | int,
    x0: float | int = 0.0,
    extra_deg: float | int = 0.0,
    start_deg: float | int = 0.0,
    clockwise: bool = False,
    **system: Any,
) -> ConeViews:
    """The shortest arc that measures every line through the field of view: 180 degrees and the fan's angle.

    Parker, "Optimal short scan convolution reconstruction for fan beam CT", Med Phys 9(2), 1982. The fan is taken to be
    twice its wider half, which is more than an offset detector sees.

    Args:
        n_views: number of views, of which one is at each end.
        sdd, height, width, delx, x0, start_deg, clockwise: as for `circular`.
        extra_deg: how much longer than that the arc is, in degrees.
        **system: the rest of the X-ray system, as for `circular`.

    Raises:
        ValueError, TypeError: as for `circular`, or an arc of a full turn or more.
    """
    width = height if width is None else width
    half_width = as_count("width", width) * _positive("delx", delx) / 2 + abs(_finite("x0", x0))
    fan_deg = 2 * math.degrees(math.atan(half_width / _positive("sdd", sdd)))
    range_deg = 180.0 + fan_deg + _finite("extra_deg", extra_deg)
    if not (extra_deg >= 0 and range_deg < 360):
        raise ValueError(f"Expected extra_deg of 0 to {180 - fan_deg:.4g}, for less than a full turn. Got {extra_deg}.")
    system |= {"sdd": sdd, "height": height, "width": width, "delx": delx, "x0": x0}
    return circular(n_views, start_deg=start_deg, range_deg=range_deg, clockwise=clockwise, **system)


def helical(
    n_views: int,
    *,
    pitch: float | int,
    turns: float | int,
    start_deg: float | int = 0.0,
    clockwise: bool = False,
    **system: Any,
) -> ConeViews:
    """A source on a helix about the patient, whose middle is at the isocentre; n_views / turns views a turn.

    Args:
        n_views: number of views.
        pitch: how far a turn brings the source along the axis in mm; negative for the other way.
        turns: number of turns, which need not be whole.
        start_deg, clockwise: as for `circular`.
        **system: the X-ray system, as for `circular`.

    Raises:
        ValueError, TypeError: as for `circular`.
    """
    n_views, turns = as_count("n_views", n_views), _positive("turns", turns)
    progress = torch.arange(n_views, dtype=torch.float64) / n_views
    turn = _finite("start_deg", start_deg) + 360 * turns * progress * (-1 if clockwise else 1)
    return _cone_views(turn, along=_finite("pitch", pitch) * turns * (progress - progress.mean()), **system)


def laminography(
    n_views: int,
    *,
    tilt_deg: float | int,
    start_deg: float | int = 0.0,
    range_deg: float | int = 360.0,
    clockwise: bool = False,
    **system: Any,
) -> ConeViews:
    """A source that turns about an axis which its beam meets at a slant, as for objects too flat to be seen edge-on.

    The source moves on a circle on the +axis side of the isocentre, `sid` away from that. The detector faces it.

    Args:
        n_views: number of views.
        tilt_deg: between the beam and the plane across the axis, in degrees: 0 is `circular`, less than 90. (The angle
            between beam and axis is 90 - tilt_deg.)
        start_deg, range_deg, clockwise: as for `circular`.
        **system: the X-ray system, as for `circular`.

    Raises:
        ValueError, TypeError: as for `circular`.
    """
    if not 0 <= _finite("tilt_deg", tilt_deg) < 90:
        raise ValueError(f"Expected a tilt of at least 0 and less than 90 degrees. Got {tilt_deg}.")
    turn = _spread(n_views, start_deg, range_deg, clockwise, period_deg=360.0)
    return _cone_views(turn, torch.full_like(turn, float(tilt_deg)), **system)


def c_arm_sweep(
    lao_rao_deg: Angles,
    cran_caud_deg: Angles = 0.0,
    *,
    n_views: int | None = None,
    tube: str = "behind",
    **system: Any,
) -> ConeViews:
    """The views of a C-arm, by its two rotations.

    With the tube behind the patient (under the table), angles are DICOM's Positioner Primary and Secondary Angle
    (PS3.3, C.8.7.5): they say where the detector is. At 0, 0 it is in front of the patient; LAO brings it to the
    patient's left, CRAN towards the head. Images are shown as angiographers see them, the patient's right side on
    the left, so columns are turned round (`reverse_x_axis=False`) against those of a tube in front.

    With `tube="front"` 0, 0 is the AP view of `circular`, and the angles say where the source is.

    Args:
        lao_rao_deg: rotation about the patient's long axis in degrees, LAO positive, RAO negative: one angle a view,
            one for all, or with `n_views` the first and the last one, as in (-100, 100).
        cran_caud_deg: rotation towards head (CRAN, positive) or feet (CAUD, negative), likewise; between -90 and 90.
        n_views: number of views from the first angles to the last ones.
        tube: "behind" or "front".
        **system: as for `circular`.

    Raises:
        ValueError, TypeError: as for `circular`, or angles of which there are not as many as views.
    """
    if tube not in ("behind", "front"):
        raise ValueError(f"Expected the tube 'behind' the patient or in 'front'. Got {tube!r}.")
    primary = _angles_of("lao_rao_deg", lao_rao_deg, n_views)
    secondary = _angles_of("cran_caud_deg", cran_caud_deg, n_views)
    if 1 not in (len(primary), len(secondary)) and len(primary) != len(secondary):
        raise ValueError(f"Expected as many lao_rao_deg as cran_caud_deg. Got {len(primary)} and {len(secondary)}.")
    primary, secondary = torch.broadcast_tensors(primary, secondary)
    if secondary.abs().max() > 90:
        raise ValueError(f"Expected cran_caud_deg between -90 and 90. Got {secondary.tolist()}.")
    if tube == "front":
        return _cone_views(primary, secondary, **system)
    return _cone_views(primary + 180, -secondary, reverse_x_axis=False, **system)


def parallel(
    n_views: int,
    *,
    height: int,
    width: int | None = None,
    delx: float | int,
    dely: float | int | None = None,
    x0: float | int = 0.0,
    y0: float | int = 0.0,
    start_deg: float | int = 0.0,
    range_deg: float | int = 180.0,
    clockwise: bool = False,
    axis: Point = (0.0, 0.0, 1.0),
    isocentre: Point = (0.0, 0.0, 0.0),
    distance: float | int = 1000.0,
    dtype: torch.dtype = torch.float32,
) -> ParallelViews:
    """Parallel beams across the axis.

    Args:
        n_views: number of views.
        height, width, delx, dely, x0, y0, start_deg, clockwise, axis, isocentre, dtype: as for `circular`.
        range_deg: how far they turn, in degrees; half a turn repeats the first view, mirrored.
        distance: rays begin that far before the isocentre and end that far behind it, in mm: further than the volume
            reaches.

    Raises:
        ValueError, TypeError: as for `circular`.
    """
    turn = _spread(n_views, start_deg, range_deg, clockwise, period_deg=180.0)
    delx = _positive("delx", delx)
    dely = delx if dely is None else _positive("dely", dely)
    distance = _positive("distance", distance)
    camera_to_world = _orbit(turn, torch.zeros_like(turn), -distance).compose(_axis_to_world(axis, isocentre))
    x_axis, y_axis, z_axis, centre = (camera_to_world.matrix @ make_reorient("AP").double())[:, :3].unbind(-1)
    centre = centre + x_axis * _finite("x0", x0) + y_axis * _finite("y0", y0)
    return ParallelViews(
        direction=z_axis.to(dtype),
        centre=centre.to(dtype),
        across=(-delx * x_axis).to(dtype),
        down=(-dely * y_axis).to(dtype),
        height=as_count("height", height),
        width=as_count("width", height if width is None else width),
        length=2 * distance,
    )


def _cone_views(
    turn_deg: Tensor,
    tilt_deg: Tensor | None = None,
    along: Tensor | None = None,
    *,
    sdd: float | int,
    sid: float | int,
    height: int,
    width: int | None = None,
    delx: float | int,
    dely: float | int | None = None,
    x0: float | int = 0.0,
    y0: float | int = 0.0,
    axis: Point = (0.0, 0.0, 1.0),
    isocentre: Point = (0.0, 0.0, 0.0),
    dtype: torch.dtype = torch.float32,
    reverse_x_axis: bool = True,
) -> ConeViews:
    """Sources turned about the axis, lifted towards its end by `tilt_deg`, and moved along it by `along` mm."""
    reorient = make_reorient("AP")
    width, dely = height if width is None else width, delx if dely is None else dely
    detector = Detector.of(Intrinsics(sdd, height, width, delx, dely, x0, y0, reverse_x_axis), reorient)
    if not 0 < _finite("sid", sid) < sdd:
        raise ValueError(f"Expected the isocentre between source and detector: 0 < sid < sdd. Got {sid} and {sdd} mm.")
    tilt_deg = torch.zeros_like(turn_deg) if tilt_deg is None else tilt_deg
    orbit = _orbit(turn_deg, tilt_deg, float(sid))
    if along is not None:
        unturned = torch.eye(3, dtype=torch.float64)
        orbit = orbit.compose(RigidTransform(make_matrix(unturned[None], along[:, None] * unturned[2])))
    return ConeViews(detector, orbit.compose(_axis_to_world(axis, isocentre)).to(dtype))


def _orbit(turn_deg: Tensor, tilt_deg: Tensor, distance: float) -> RigidTransform:
    """Poses at a distance from the origin in front, turned about +z after they were lifted towards +z; float64."""
    angles = torch.stack([turn_deg, tilt_deg, torch.zeros_like(turn_deg)], dim=-1)
    in_front = torch.tensor([[0.0, distance, 0.0]], dtype=torch.float64)
    return convert(angles, in_front, parameterization="euler_angles", convention="ZXY", degrees=True)


def _axis_to_world(axis: Point, isocentre: Point) -> RigidTransform:
    """The map that takes +z to the axis, +y as near as may be to +y (else +z), and the origin to the isocentre."""
    along, origin = _vector("axis", axis), _vector("isocentre", isocentre)
    if not along.norm() > 0:
        raise ValueError("Expected an axis of rotation that is not 0, 0, 0.")
    along = along / along.norm()
    up, front = torch.eye(3, dtype=torch.float64)[[2, 1]]
    across = [direction - (direction @ along) * along for direction in (front, up)]
    front = across[0] if across[0].norm() > 1e-6 else across[1]
    front = front / front.norm()
    rotation = torch.stack([torch.linalg.cross(front, along), front, along], dim=-1)
    return RigidTransform(make_matrix(rotation[None], origin[None]))


def _spread(
    n_views: int, start_deg: float | int, range_deg: float | int, clockwise: bool, period_deg: float
) -> Float[Tensor, " view"]:
    """Angles from the start on; one at the end too, unless that is a whole number of periods away."""
    n_views, extent = as_count("n_views", n_views), _positive("range_deg", range_deg)
    intervals = n_views if math.remainder(extent, period_deg) == 0 else max(1, n_views - 1)
    step = (-extent if clockwise else extent) / intervals
    return _finite("start_deg", start_deg) + step * torch.arange(n_views, dtype=torch.float64)


def _angles_of(name: str, angles: Angles, n_views: int | None) -> Float[Tensor, " angle"]:
    """One angle for all views, one for each, or the first and the last of `n_views`."""
    found = torch.as_tensor(angles, dtype=torch.float64).detach().cpu().flatten()
    if len(found) == 0 or not found.isfinite().all():
        raise ValueError(f"Expected {name} as finite angles in degrees. Got {angles}.")
    if n_views is None:
        return found
    if len(found) > 2:
        raise ValueError(
            f"Expected {name} as one angle, or the first and the last of n_views. Got {len(found)} angles."
        )
    return torch.linspace(found[0].item(), found[-1].item(), as_count("n_views", n_views), dtype=torch.float64)


def _vector(name: str, values: Point) -> Float[Tensor, "3"]:
    vector = torch.as_tensor(values, dtype=torch.float64).detach().cpu()
    if vector.shape != (3,) or not vector.isfinite().all():
        raise ValueError(f"Expected {name} as three finite numbers x, y, z. Got {values}.")
    return vector


def _finite(name: str, value: float | int) -> float:
    if not math.isfinite(value):
        raise ValueError(f"Expected a finite {name}. Got {value}.")
    return float(value)


def _positive(name: str, value: float | int) -> float:
    if not 0 < value < math.inf:
        raise ValueError(f"Expected a positive and finite {name}. Got {value}.")
    return float(value)
