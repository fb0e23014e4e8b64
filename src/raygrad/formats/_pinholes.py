"""Views as pinhole cameras K [R | t], with columns to the right and rows down, as computer vision writes them."""

from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from raygrad._errors import InputError
from raygrad.geometry import ConeViews, cone_vectors_of, views_of_cone_vectors

# How far, in mm at the edge of the image, the pixels of several views may be from those of the first.
_TOLERANCE = 1e-3

FROM_CENTRES = torch.tensor([[1.0, 0.0, 0.5], [0.0, 1.0, 0.5], [0.0, 0.0, 1.0]], dtype=torch.float64)
"""From pixels that count from the centre of the first one, as in OpenCV, to those that count from its outer corner."""


class Pinholes(NamedTuple):
    """A point X of the world in mm is at K (R X + t), up to a factor, in pixels from the outer corner of the first one.

    R are rotations, so K[0, 0] and K[1, 1] are positive and images are not mirrored.
    """

    intrinsic: Float[Tensor, "view 3 3"]
    rotation: Float[Tensor, "view 3 3"]
    translation: Float[Tensor, "view 3"]


def views_of_pinholes(pinholes: Pinholes, height: int, width: int, delx: float) -> ConeViews:
    """The views of pinhole cameras, whose detectors are so far away that pixels are `delx` mm wide.

    Raises:
        ValueError: R is no rotation to a thousandth, or K is not upper triangular with positive focal lengths; which
            view's it is is said.
    """
    intrinsic, rotation, translation = (part.double() for part in pinholes)
    off = (rotation @ rotation.mT - torch.eye(3, dtype=torch.float64)).abs().amax((-1, -2))
    for number, (k, r, far) in enumerate(zip(intrinsic, rotation, off, strict=True), start=1):
        if not far < 1e-3 or torch.linalg.det(r) < 0:
            raise ValueError(f"Expected a rotation. Got {r.tolist()} in view {number}.")
        lower = torch.stack([k[1, 0], k[2, 0], k[2, 1]])
        if not k.isfinite().all() or not (k.diagonal() > 0).all() or (lower != 0).any():
            raise ValueError(f"Expected K = [[fx, s, cx], [0, fy, cy], [0, 0, 1]]. Got {k.tolist()} in view {number}.")
    intrinsic = intrinsic / intrinsic[:, 2:, 2:]
    pixel_to_world = rotation.mT @ torch.linalg.inv(intrinsic) * (intrinsic[:, :1, :1] * delx)
    across, down, corner = pixel_to_world.unbind(-1)
    source = -(rotation.mT @ translation[:, :, None])[..., 0]
    middle = source + corner + width / 2 * across + height / 2 * down
    return views_of_cone_vectors(torch.cat([source, middle, across, down], dim=-1), height, width)


def pinholes_of(views: ConeViews) -> Pinholes:
    """The pinhole cameras of views, float64.

    Raises:
        InputError: mirror images.
    """
    source, middle, across, down = cone_vectors_of(views).reshape(-1, 4, 3).unbind(1)
    normal = torch.nn.functional.normalize(torch.linalg.cross(across, down), dim=-1)
    if (((middle - source) * normal).sum(-1) < 0).any():
        raise InputError("Expected images with their columns from the patient's right to the left. Got mirror images.")
    x_axis = torch.nn.functional.normalize(across, dim=-1)
    rotation = torch.stack([x_axis, torch.linalg.cross(normal, x_axis), normal], dim=1)
    intrinsic = (rotation @ matrices_of(views)[:, :, :3].mT).mT
    intrinsic = (intrinsic / intrinsic[:, 2:, 2:]).triu()
    return Pinholes(intrinsic, rotation, -(rotation @ source[:, :, None])[..., 0])


def pinhole_of(
    path: Path, views: ConeViews, whose: str
) -> tuple[Float[Tensor, "3 3"], Float[Tensor, "3 3"], Float[Tensor, "3 1"]]:
    """K, R and t of a file that holds one camera, in pixels from the *centre* of the first one.

    Raises:
        InputError: several views, or a mirror image.
    """
    if len(views) != 1:
        raise InputError(f"Expected one view for a camera of {whose}. Got {len(views)} for '{path}'.")
    camera, rotation, translation = (part[0] for part in pinholes_of(views))
    return torch.linalg.inv(FROM_CENTRES) @ camera, rotation, translation[:, None]


def matrices_of(views: ConeViews) -> Float[Tensor, "view 3 4"]:
    """Projection matrices, float64: (x, y, z, 1) in world mm to (u w, v w, w), w the depth in mm.

    u and v count columns and rows from the outer corner of the first pixel.
    """
    return FROM_CENTRES @ views.world_to_pixel.detach().cpu()


def pixel_width_of(views: ConeViews) -> float:
    """The width in mm of the pixels of all views.

    Raises:
        InputError: it is not one; which view differs is said.
    """
    width = cone_vectors_of(views)[:, 6:9].norm(dim=-1)
    apart = (width - width[0]).abs() * views.image_shape[1] / 2 > _TOLERANCE
    if apart.any():
        number = int(apart.nonzero()[0]) + 1
        raise InputError(f"Expected pixels of one width. Got {width[number - 1]:g} mm in view {number}.")
    return float(f"{width[0].item():.9g}")


def pixel_size_of(views: ConeViews) -> tuple[float, float]:
    """Width and height in mm of the pixels of all views.

    Raises:
        InputError: pixels that are no rectangles, or of another size than in the first view (its number is said).
    """
    across, down = cone_vectors_of(views)[:, 6:].reshape(-1, 2, 3).unbind(1)
    sizes = torch.stack([across.norm(dim=-1), down.norm(dim=-1)], dim=-1)
    skew = (across * down).sum(-1, keepdim=True) / sizes
    extent = torch.tensor(views.image_shape[::-1]) / 2
    wrong = (torch.cat([sizes - sizes[0], skew], dim=-1).abs() * extent.repeat(2) > _TOLERANCE).any(dim=-1)
    if wrong.any():
        number = int(wrong.nonzero()[0]) + 1
        raise InputError(f"Expected pixels that are rectangles, of one size in all views. Got others in view {number}.")
    width, height = (float(f"{size:.9g}") for size in sizes[0].tolist())
    return width, height
