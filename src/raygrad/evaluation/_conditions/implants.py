"""What a patient carries in the X-ray, and the CT was taken without: leads on the chest, screws in the spine."""

from collections.abc import Callable
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor

from raygrad.data import Subject
from raygrad.evaluation._targets import middles_of_vertebrae
from raygrad.scene import Capsule, Cylinder, Solid, Spheres

SCREWED = 3
"""Vertebrae with screws, those nearest to the middle of the CT's length: two each, and a rod along either side."""
SCREW_RADIUS, HEAD_RADIUS, ROD_RADIUS = 2.75, 6.0, 2.75
APART_MM, CLOSER_MM = 16.0, 8.0
"""Of screws: how far their heads are from the middle of the spine, and their tips."""
BEHIND_MM, BEFORE_MM = 20.0, 18.0
"""Of screws: where heads and tips lie beside the middle of the vertebra, backwards and forwards."""

LEADS = ((-0.30, 0.25), (0.35, 0.20), (0.30, -0.25))
"""Electrodes, as shares of the body's width and of the CT's length from the middle."""
LEAD_RADIUS, BUTTON_RADIUS, BUTTON_MM = 0.4, 5.0, 1.5
CLEAR_MM = 3.0
"""How far above the skin leads lie."""
STEPS = 24


def screws(subject: Subject) -> list[Solid]:
    """Pedicle screws in the middle vertebrae, which lean inwards, and rods that join their heads."""
    middles = middles_of_vertebrae(subject)
    centre = float(subject.volume.get_center()[2])
    nearest = sorted(middles.values(), key=lambda middle: abs(middle[2] - centre))[:SCREWED]
    solids: list[Solid] = []
    for side in (-1.0, 1.0):
        heads = []
        for x, y, z in sorted(nearest, key=lambda middle: middle[2]):
            head, tip = (x + side * APART_MM, y - BEHIND_MM, z), (x + side * CLOSER_MM, y + BEFORE_MM, z)
            solids.append(Capsule(head, tip, SCREW_RADIUS, material="titanium"))
            heads.append(head)
        solids.append(Spheres(heads, HEAD_RADIUS, material="titanium"))
        solids += [Capsule(one, other, ROD_RADIUS, material="titanium") for one, other in pairwise(heads)]
    return solids


def leads(subject: Subject) -> list[Solid]:
    """Wires on the front of the chest from three electrodes to above the patient's left shoulder."""
    front, x, z = _front(subject)
    inside = front.isfinite()
    width = x[inside.any(1)]
    left, right = float(width.min()), float(width.max())
    low, high = float(z.min()), float(z.max())
    end = torch.tensor([left + 0.3 * (right - left), high])
    solids: list[Solid] = []
    for across, along in LEADS:
        begin = torch.tensor([(left + right) / 2 + across * (right - left), (low + high) / 2 + along * (high - low)])
        bent = (begin + end) / 2 + torch.tensor([0.25 * (end - begin)[1], -0.25 * (end - begin)[0]])
        way = torch.linspace(0, 1, STEPS + 1)[:, None]
        flat = (1 - way) ** 2 * begin + 2 * way * (1 - way) * bent + way**2 * end
        points = _on_skin(flat, front, x, z).tolist()
        solids += [Capsule(one, other, LEAD_RADIUS, material="steel") for one, other in pairwise(points)]
        button = list(points[0])
        button[1] -= BUTTON_MM
        solids.append(Cylinder(button, points[0], BUTTON_RADIUS, material="steel"))
    return solids


def _front(subject: Subject) -> tuple[Float[Tensor, "x z"], Float[Tensor, " x"], Float[Tensor, " z"]]:
    """How far to the front the patient reaches at each x and z, in mm of the world; -inf beside him."""
    matrix = subject.volume.voxel_to_world.float()
    x, y, z = (
        torch.arange(size) * matrix[axis, axis] + matrix[axis, 3]
        for axis, size in enumerate(subject.volume.spatial_shape)
    )
    tissue = subject.volume.voxels > -300
    skin = y + float(subject.volume.spacing[1]) / 2
    return torch.where(tissue, skin[None, :, None], -torch.inf).amax(1), x, z


def _on_skin(
    flat: Float[Tensor, "point 2"], front: Float[Tensor, "x z"], x: Float[Tensor, " x"], z: Float[Tensor, " z"]
) -> Float[Tensor, "point 3"]:
    """Points of x and z in the world, a little before the skin; beside the patient as far as the last one."""
    column = ((flat[:, 0] - x[0]) / (x[1] - x[0])).round().long().clamp(0, len(x) - 1)
    slice_ = ((flat[:, 1] - z[0]) / (z[1] - z[0])).round().long().clamp(0, len(z) - 1)
    height = front[column, slice_]
    for place in range(1, len(height)):
        if not bool(height[place].isfinite()):
            height[place] = height[place - 1]
    # A wire spans hollows rather than following every voxel.
    padded = torch.nn.functional.pad(height[None, None], (2, 2), mode="replicate")
    height = torch.nn.functional.max_pool1d(padded, 5, 1)[0, 0] + CLEAR_MM
    return torch.stack([flat[:, 0], height, flat[:, 1]], dim=-1)


CARRIED: dict[str, Callable[[Subject], list[Solid]]] = {"leads": leads, "screws": screws}
