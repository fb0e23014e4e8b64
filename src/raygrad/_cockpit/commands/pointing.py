"""Where a pointer is: a pixel's ray through the CT, and where the views see a point."""

from typing import Any

import torch

from raygrad._cockpit._commands import command
from raygrad._cockpit._placement import CT
from raygrad._cockpit._session import Session
from raygrad.geometry import VolumeGeometry


@command
def ray(session: Session, view: int, pixel: tuple[float, float]) -> dict[str, Any] | None:
    """What the ray of a pixel (u, v) has in the CT's box: the end nearer to the source, and the other one.

    Returns:
        Both ends in the world ("world", mm) and in voxel coordinates of the CT ("voxel"); None if it misses the CT.
    """
    placement, grid = session.placement, VolumeGeometry.of(session.subject)
    intrinsics = placement.intrinsics[view].detached()
    target = intrinsics.place(torch.tensor([[pixel]], dtype=torch.float64))
    source = target * target.new_tensor([1, 1, 0]) if intrinsics.parallel else torch.zeros_like(target)
    body_to_world = placement.bodies[CT]
    camera_to_body = placement.camera_to_world(view, session.subject.orientation).compose(body_to_world.inverse())
    ends = grid.clip(camera_to_body(source)[0], camera_to_body(target)[0])[0]
    if ends.isnan().any():
        return None
    to_voxel = grid.world_to_voxel
    voxels = ends @ to_voxel[:3, :3].T + to_voxel[:3, 3]
    return {"world": body_to_world(ends[None])[0].tolist(), "voxel": voxels.tolist()}


@command
def project(session: Session, point: tuple[float, float, float]) -> list[list[float] | None]:
    """The pixels (u, v) at which the views see a point of the world (mm); None where it is not before the source."""
    pixels: list[list[float] | None] = []
    for view, intrinsics in enumerate(session.placement.intrinsics):
        camera_to_world = session.placement.camera_to_world(view, session.subject.orientation)
        in_camera = camera_to_world.inverse()(torch.tensor([[point]], dtype=torch.float64))
        seen = intrinsics.parallel or in_camera[0, 0, 2] > 0
        pixels.append(intrinsics.detached().project(in_camera)[0, 0].tolist() if seen else None)
    return pixels
