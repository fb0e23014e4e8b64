"""What a hand does to the anatomy: motions in the world, from pointer positions on a view and steps along its axes.

Axes are those of the view: right and down as it shows the anatomy, and depth along the beam, away from the source.
"""

import math

import torch
from torch import Tensor

from raygrad._errors import InputError
from raygrad.geometry import Intrinsics
from raygrad.pose import RigidTransform, se3_exp_map

Pixel = tuple[float, float]
"""(u, v): columns and rows from the outer corner of the first pixel of the view's own grid."""

AXES = ("right", "down", "depth", "pitch", "yaw", "roll")
"""Motions along the axes of a view, and turns about them through the body's centre."""


def shift(
    camera_to_world: RigidTransform, intrinsics: Intrinsics, centre: Tensor, start: Pixel, end: Pixel
) -> RigidTransform:
    """The translation across the beam that keeps what lies as deep as the centre under the pointer."""
    depth = _in_camera(camera_to_world, centre)[2].item()
    step = _at_depth(intrinsics, end, depth) - _at_depth(intrinsics, start, depth)
    return translation(_axes(camera_to_world) @ step)


def turn(
    camera_to_world: RigidTransform,
    intrinsics: Intrinsics,
    centre: Tensor,
    start: Pixel,
    end: Pixel,
    radius: float = 100.0,
) -> RigidTransform:
    """The rotation about the centre under which what is `radius` mm nearer the source goes with the pointer."""
    step = shift(camera_to_world, intrinsics, centre, start, end).translation[0]
    nearer = -_axes(camera_to_world)[:, 2]
    return about(centre, torch.linalg.cross(nearer, step) / radius)


def roll(
    camera_to_world: RigidTransform, intrinsics: Intrinsics, centre: Tensor, start: Pixel, end: Pixel
) -> RigidTransform:
    """The rotation about the beam's axis, through the centre, that keeps the pointer's bearing from the centre."""
    middle, axes = _in_camera(camera_to_world, centre), _axes(camera_to_world)
    depth, along = middle[2].item(), axes[:, 2]
    one, other = (axes @ (_at_depth(intrinsics, pixel, depth) - middle) for pixel in (start, end))
    angle = math.atan2(along @ torch.linalg.cross(one, other), one @ other)
    return about(centre, along * angle)


def deepen(camera_to_world: RigidTransform, intrinsics: Intrinsics, centre: Tensor, factor: float) -> RigidTransform:
    """The translation along the ray through the centre to so many times its distance from the source."""
    if not 0 < factor < math.inf:
        raise InputError(f"Expected a positive factor of the depth. Got {factor}.")
    if intrinsics.parallel:
        return translation(torch.zeros(3, dtype=torch.float64))
    source = camera_to_world.matrix[0, :3, 3]
    return translation((centre - source) * (factor - 1.0))


def step(
    camera_to_world: RigidTransform, intrinsics: Intrinsics, centre: Tensor, axis: str, amount: float
) -> RigidTransform:
    """So many mm along an axis of the view, or degrees about it through the centre."""
    if axis not in AXES:
        raise InputError(f"Expected an axis among {', '.join(AXES)}. Got {axis!r}.")
    if not math.isfinite(amount):
        raise InputError(f"Expected a finite amount. Got {amount}.")
    column = -1.0 if intrinsics.reverse_x_axis else 1.0
    directions = {"right": (column, 0, 0), "down": (0, -1, 0), "depth": (0, 0, 1)}
    turns = {"pitch": (1.0, 0, 0), "yaw": (0, 1.0, 0), "roll": (0, 0, 1.0)}
    direction = torch.tensor({**directions, **turns}[axis], dtype=torch.float64)
    in_world = _axes(camera_to_world) @ direction
    return translation(in_world * amount) if axis in directions else about(centre, in_world * math.radians(amount))


def unlocked(
    camera_to_world: RigidTransform, centre: Tensor, motion: RigidTransform, locked: set[str] | frozenset[str]
) -> RigidTransform:
    """The motion without its parts along and about axes of the view that are locked."""
    if not locked:
        return motion
    axes = _axes(camera_to_world)
    moved = axes.T @ (motion(centre[None, None])[0, 0] - centre)
    turned = axes.T @ motion.get_se3_log()[0, 3:]
    for number, (along, around) in enumerate(zip(AXES[:3], AXES[3:], strict=True)):
        moved[number] = 0 if along in locked else moved[number]
        turned[number] = 0 if around in locked else turned[number]
    return about(centre, axes @ turned).compose(translation(axes @ moved))


def translation(vector: Tensor) -> RigidTransform:
    """A translation by a vector in mm."""
    matrix = torch.eye(4, dtype=torch.float64)
    matrix[:3, 3] = vector
    return RigidTransform(matrix[None])


def about(centre: Tensor, rotation_vector: Tensor) -> RigidTransform:
    """A rotation, by a vector along its axis as long as its angle in radians, about a point."""
    twist = torch.cat([torch.zeros(3, dtype=torch.float64), rotation_vector])
    turned = RigidTransform(se3_exp_map(twist[None]))
    return translation(-centre).compose(turned).compose(translation(centre))


def _axes(camera_to_world: RigidTransform) -> Tensor:
    """The camera's axes in the world, as columns. Those of PA are mirrored."""
    return camera_to_world.matrix[0, :3, :3]


def _in_camera(camera_to_world: RigidTransform, point: Tensor) -> Tensor:
    return camera_to_world.inverse()(point[None, None])[0, 0]


def _at_depth(intrinsics: Intrinsics, pixel: Pixel, depth: float) -> Tensor:
    """The point of the ray through a pixel that is so many mm along the beam."""
    on_detector = intrinsics.place(torch.tensor([[pixel]], dtype=torch.float64))[0, 0]
    scale = 1.0 if intrinsics.parallel else depth / float(intrinsics.sdd)
    return torch.stack([on_detector[0] * scale, on_detector[1] * scale, on_detector.new_tensor(depth)])
