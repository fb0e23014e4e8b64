"""What turned: the axis of a scan and the angles of its views, from where its rays run.

For analytic reconstruction, which needs sources on a circle (or parallel beams across one axis) and detectors whose
rows run across the axis. Real C-arms bend: `SOURCE_TOLERANCE` and `TILT_TOLERANCE_DEG` say how far they may.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from raygrad.data import VolumeGeometry
from raygrad.geometry._views import ConeViews, ParallelViews, Views

SOURCE_TOLERANCE = 0.03
"""How far a source may be from the circle, along its radius or its axis, as a part of the radius."""
TILT_TOLERANCE_DEG = 5.0
"""How far a detector's rows, and its normal, may be out of the plane of rotation, in degrees."""
USE_ANOTHER = "Use an iterative method (sirt, os_sart, cgls, ...), which takes any views."


@dataclass(frozen=True)
class Rotation:
    """A scan about one axis, float64.

    Attributes:
        radius: of the sources' circle in mm; None for parallel beams.
        angle: (view,) of the sources about the axis in radians, counter-clockwise.
        fan: (view, column) angles of the middle row's rays from the line to the axis, counter-clockwise in radians;
            for parallel beams their distances from the axis in mm.
        reach: the largest `fan` of any ray that could cross the volume.
        pitch: (view,) distance of neighbouring columns: mm for parallel beams, else divided by the depth.
        towards_axis: (view, 3) unit vectors from each source towards the axis.
    """

    radius: float | None
    angle: Tensor
    fan: Tensor
    reach: float
    pitch: Tensor
    towards_axis: Tensor


def find_rotation(views: Views, sources: Tensor, own: slice, geometry: VolumeGeometry) -> Rotation:
    """The rotation of `views`, which are the part `own` of all; see `positions` for `sources`.

    Raises:
        TypeError: the views are neither cone nor parallel beams.
        ValueError: they did not turn on a circle, or the detector's rows run not across the axis; says what was found.
    """
    if len(sources) < 3:
        raise ValueError(f"Expected at least 3 views, to find the axis of rotation. Got {len(sources)}.")
    if isinstance(views, ConeViews):
        return _of_cones(views, sources, own, geometry)
    assert isinstance(views, ParallelViews)
    return _of_beams(views, sources, own, geometry)


def positions(views: Views) -> Float[Tensor, "view 3"]:
    """Where the sources are, float64; for parallel beams the unit vectors towards where rays come from.

    Raises:
        TypeError: the views are neither cone nor parallel beams.
    """
    if isinstance(views, ConeViews):
        return views.camera_to_world[:, :3, 3].detach()
    if isinstance(views, ParallelViews):
        return -torch.nn.functional.normalize(views.direction.detach().double(), dim=-1)
    raise TypeError(f"Expected ConeViews or ParallelViews for an analytic method. Got {type(views).__name__}.")


def pixel_to_ray(views: ConeViews) -> Float[Tensor, "view 3 3"]:
    """Maps from (column, row, 1) to the vector in world mm from the source to that pixel, float64."""
    return (views.camera_to_world[:, :3, :3] @ views.pixel_to_camera).detach()


def _of_cones(views: ConeViews, sources: Tensor, own: slice, geometry: VolumeGeometry) -> Rotation:
    centre, axis, radius = _fit_circle(sources)
    to_ray = pixel_to_ray(views)
    normal = torch.linalg.inv(to_ray)[:, 2]  # its length is 1 / depth
    depth = 1 / normal.norm(dim=-1)
    _check_tilt("rows", to_ray[..., 0], axis)
    _check_tilt("normals", normal, axis)
    towards_axis = torch.nn.functional.normalize(centre - _in_plane(sources[own], centre, axis), dim=-1)
    rows, columns = views.image_shape
    pixels = torch.stack(
        [
            torch.arange(columns, dtype=torch.float64),
            torch.full((columns,), (rows - 1) / 2, dtype=torch.float64),
            torch.ones(columns, dtype=torch.float64),
        ]
    ).to(to_ray.device)
    rays = (to_ray @ pixels).mT
    sideways = torch.linalg.cross(axis.expand_as(towards_axis), towards_axis)
    fan = torch.atan2(rays @ sideways[..., None], rays @ towards_axis[..., None])[..., 0]
    reach = math.asin(min(1.0, _farthest(geometry, centre, axis) / radius))
    pitch = to_ray[..., 0].norm(dim=-1) / depth
    return Rotation(radius, _angles(sources - centre, axis), fan, reach, pitch, towards_axis)


def _of_beams(views: ParallelViews, sources: Tensor, own: slice, geometry: VolumeGeometry) -> Rotation:
    axis = torch.linalg.svd(sources).Vh[2]
    _check_tilt("rays", sources, axis)
    across = views.across.detach().double()
    _check_tilt("rows", across, axis)
    towards_axis = -sources[own]
    sideways = torch.linalg.cross(axis.expand_as(towards_axis), towards_axis)
    centre = geometry.centre.to(sources)
    columns = torch.arange(views.image_shape[1]).to(sources) - (views.image_shape[1] - 1) / 2
    pixels = (views.centre.detach().double() - centre)[:, None] + columns[:, None] * across[:, None]
    fan = (pixels @ sideways[..., None])[..., 0]
    pitch = (across * sideways).sum(-1).abs()
    return Rotation(None, _angles(sources, axis), fan, _farthest(geometry, centre, axis), pitch, towards_axis)


def _fit_circle(sources: Tensor) -> tuple[Tensor, Tensor, float]:
    """Centre, unit axis and radius of the circle nearest to the sources (Kasa's linear least squares, in their plane).

    Raises:
        ValueError: there is none within `SOURCE_TOLERANCE`.
    """
    mean = sources.mean(0)
    across, along, axis = torch.linalg.svd(sources - mean).Vh
    plane = torch.stack([across, along], dim=1)
    flat = (sources - mean) @ plane
    unknowns = torch.cat([2 * flat, torch.ones_like(flat[:, :1])], dim=1)
    solution = torch.linalg.lstsq(unknowns, flat.square().sum(1, keepdim=True), driver="gelsd").solution[:, 0]
    radius = math.sqrt(max(0.0, float(solution[2] + solution[:2].square().sum())))
    centre = mean + plane @ solution[:2]
    off_radius = float(((flat - solution[:2]).norm(dim=1) - radius).abs().max())
    off_plane = float(((sources - mean) @ axis).abs().max())
    if not (radius > 0 and max(off_radius, off_plane) <= SOURCE_TOLERANCE * radius):
        raise ValueError(
            f"Expected sources on a circle, to {SOURCE_TOLERANCE:.0%} of its radius. Got sources up to "
            f"{off_plane:.4g} mm out of the plane of one with a radius of {radius:.4g} mm, and {off_radius:.4g} mm "
            f"nearer or farther from its centre, as on a helix or a free path. {USE_ANOTHER}"
        )
    return centre, axis, radius


def _check_tilt(what: str, vectors: Tensor, axis: Tensor) -> None:
    sine = (torch.nn.functional.normalize(vectors, dim=-1) @ axis).abs().max()
    tilt = math.degrees(math.asin(min(1.0, float(sine))))
    if not tilt <= TILT_TOLERANCE_DEG:
        subject = {"rows": "the detector's rows", "normals": "the detector's normal", "rays": "the rays"}[what]
        raise ValueError(
            f"Expected {subject} across the axis of rotation, to {TILT_TOLERANCE_DEG:g} degrees. Got {tilt:.3g} "
            f"degrees out of the plane of rotation, as in laminography or with a detector turned in its plane. "
            f"{USE_ANOTHER}"
        )


def _in_plane(points: Tensor, centre: Tensor, axis: Tensor) -> Tensor:
    return points - ((points - centre) @ axis)[:, None] * axis


def _angles(arms: Tensor, axis: Tensor) -> Tensor:
    first = torch.nn.functional.normalize(arms[0] - (arms[0] @ axis) * axis, dim=0)
    return torch.atan2(arms @ torch.linalg.cross(axis, first), arms @ first)


def _farthest(geometry: VolumeGeometry, centre: Tensor, axis: Tensor) -> float:
    """How far from the axis the volume reaches, in mm."""
    arms = geometry.corners().to(axis) - centre
    return float((arms - (arms @ axis)[:, None] * axis).norm(dim=1).max())
