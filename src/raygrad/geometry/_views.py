"""Views: the rays of one or more X-ray images, made when they are asked for.

A view is what one image was taken with. `ConeViews` are a detector with poses, `ParallelViews` beams without a source,
`RayViews` any rays at all. Pixels are counted row by row.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import torch
from jaxtyping import Float
from torch import Tensor

from raygrad._errors import InputError
from raygrad.geometry._detector import Detector
from raygrad.geometry._intrinsics import pixel_to_camera_of
from raygrad.pose import RigidTransform
from raygrad.types import Matrices, Sources, Targets, Vectors

Indices = slice | Sequence[int] | Tensor
V = TypeVar("V", bound="Views")


class Cameras(NamedTuple):
    """Views as kernels take them that make the rays themselves: see `raygrad.kernels.project_cameras`."""

    camera_to_world: Matrices
    pixel_to_camera: Float[Tensor, "#view 4 4"]


class Views(ABC):
    """Images of one size, and the rays that they are made of.

    Views are equal (`==`) if they are of one kind and all their numbers are the same. To add a kind of views is to say
    what stands below as abstract; `raygrad.testing.check_views` sees that it holds together.
    """

    @property
    @abstractmethod
    def image_shape(self) -> tuple[int, int]:
        """Rows and columns of every image."""

    @abstractmethod
    def __len__(self) -> int:
        """Number of views."""

    @abstractmethod
    def __getitem__(self, indices: Indices) -> "Views":
        """Some of the views, by a slice, a list or a tensor of whole numbers."""

    @abstractmethod
    def rays(self) -> tuple[Sources, Targets]:
        """Sources (view, 1 or ray, 3) and targets (view, ray, 3) of all rays in world mm, differentiable."""

    @abstractmethod
    def parameters(self) -> list[Tensor]:
        """The tensors that decide where the rays run."""

    @abstractmethod
    def moved(self: V, motion: RigidTransform) -> V:
        """The same views of a patient that has moved in the world: sources and detectors go along with it.

        Args:
            motion: of the world, one for all views or one for each.
        """

    @classmethod
    @abstractmethod
    def concatenate(cls: type[V], parts: Sequence[V]) -> V:
        """All views of the parts, in order.

        Raises:
            ValueError: there is none, or their images differ in size.
        """

    def cameras(self) -> Cameras | None:
        """The views as cameras, for kernels that make rays; None where their rays are no pinhole camera's."""
        return None

    def __eq__(self, other: object) -> bool:
        """Whether the other is of the same kind, size and numbers."""
        if not isinstance(other, Views) or type(other) is not type(self) or other._shape() != self._shape():
            return False
        pairs = zip(self.parameters(), other.parameters(), strict=True)
        return all(mine.shape == theirs.shape and torch.equal(mine, theirs.to(mine)) for mine, theirs in pairs)

    def __hash__(self) -> int:
        return hash((type(self), self._shape()))

    def _shape(self) -> tuple[Any, ...]:
        """What views have beside their tensors."""
        return len(self), *self.image_shape, len(self.parameters())

    @property
    def device(self) -> torch.device:
        """Where rays are made."""
        return self.parameters()[0].device

    def to(self: V, device: torch.device | str) -> V:
        """The same views with their tensors on a device, where their rays are made then; gradients flow back."""
        device = torch.device(device)
        return self if all(tensor.device == device for tensor in self.parameters()) else self._moved(device)

    @abstractmethod
    def _moved(self: V, device: torch.device) -> V:
        """The views with tensors on a device."""

    def requires_grad(self) -> bool:
        """Whether a gradient is to flow to the rays."""
        return torch.is_grad_enabled() and any(tensor.requires_grad for tensor in self.parameters())

    def split(self, rays_at_once: int) -> "list[Views]":
        """Groups of neighbouring views, each of at most so many rays (or a single view)."""
        rows, columns = self.image_shape
        group = max(1, rays_at_once // (rows * columns))
        if group >= len(self) > 0:
            return [self]
        return [self[first : first + group] for first in range(0, len(self), group)]


@dataclass(frozen=True, eq=False)
class ConeViews(Views):
    """Views of one detector from the poses of its X-ray source.

    Attributes:
        detector: rows, columns and intrinsics; its `reorient` comes before every pose.
        pose: camera-to-world poses, one a view.
        calibration: (view, 4, 4) maps from pixel units to the camera frame, one a view, in place of the detector's
            own, where intrinsics change from view to view: see `Detector.forward`.

    Raises:
        TypeError: `detector` or `pose` are not of these types.
        ValueError: the detector leaves out pixels or has a parallel beam (see `ParallelViews.of`), or there is not a
            calibration for each pose.
    """

    detector: Detector
    pose: RigidTransform
    calibration: Matrices | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.detector, Detector) or not isinstance(self.pose, RigidTransform):
            kinds = f"{type(self.detector).__name__} and {type(self.pose).__name__}"
            raise TypeError(f"Expected a Detector and its poses as a RigidTransform. Got {kinds}.")
        if self.detector.n_subsample is not None:
            raise ValueError("Expected a detector with all its pixels. Got one that casts rays at random ones.")
        if self.detector.parallel:
            raise ValueError("Expected a cone beam. Got a parallel beam, of which ParallelViews.of makes views.")
        if self.calibration is not None and tuple(self.calibration.shape) != (len(self.pose), 4, 4):
            raise ValueError(
                f"Expected calibrations of shape ({len(self.pose)}, 4, 4). Got {tuple(self.calibration.shape)}."
            )

    @classmethod
    def of(cls, drr: Any, pose: RigidTransform) -> "ConeViews":
        """The views that a DRR has from poses.

        Args:
            drr: whose detector it is.
            pose: camera-to-world poses, one a view.
        """
        return cls(drr.detector, pose)

    @property
    def image_shape(self) -> tuple[int, int]:
        """Rows and columns of the detector."""
        return self.detector.height, self.detector.width

    def __len__(self) -> int:
        return len(self.pose)

    def __getitem__(self, indices: Indices) -> "ConeViews":
        calibration = None if self.calibration is None else self.calibration[indices]
        return ConeViews(self.detector, RigidTransform(self.pose.matrix[indices]), calibration)

    def rays(self) -> tuple[Sources, Targets]:
        """One source and height x width targets a view."""
        return self.detector(self.pose, self.calibration)

    def parameters(self) -> list[Tensor]:
        """Poses, calibrations, and those of the detector's intrinsics that are tensors."""
        own = [self.pose.matrix] if self.calibration is None else [self.pose.matrix, self.calibration]
        return [*own, *self.detector.tensors]

    def _moved(self, device: torch.device) -> "ConeViews":
        calibration = None if self.calibration is None else self.calibration.to(device)
        moved = ConeViews(self.detector.on(device), self.pose.to(device), calibration)
        moved.cameras()  # what of the detector has to go there as well goes now, not in the middle of a march
        return moved

    def cameras(self) -> Cameras:
        """Poses, and the map from pixels to the frame that they move."""
        return Cameras(self.pose.matrix, self.detector.pixel_map(self.pose.matrix, self.calibration))

    def moved(self, motion: RigidTransform) -> "ConeViews":
        """The same views with their poses moved."""
        matrices = motion.matrix.to(self.pose.matrix) @ self.pose.matrix
        return ConeViews(self.detector, RigidTransform(matrices), self.calibration)

    @classmethod
    def concatenate(cls, parts: "Sequence[ConeViews]") -> "ConeViews":
        """All views of the parts; with a calibration for each where their intrinsics differ.

        Raises:
            ValueError: there is none, or their images differ in size or orientation.
        """
        first = _check_parts(parts)
        for part in parts[1:]:
            reoriented = torch.equal(part.detector.reorient.matrix, first.detector.reorient.matrix)
            if not reoriented or part.detector.reverse_x_axis != first.detector.reverse_x_axis:
                raise ValueError("Expected views of one orientation and one reverse_x_axis. Got several.")
        pose = RigidTransform(torch.cat([part.pose.matrix for part in parts]))
        alike = all(part.detector.intrinsics == first.detector.intrinsics for part in parts)
        if alike and all(part.calibration is None for part in parts):
            return cls(first.detector, pose)
        return cls(first.detector, pose, torch.cat([part.calibrations for part in parts]))

    @property
    def calibrations(self) -> Matrices:
        """The map (view, 4, 4) from pixel units to the camera frame of every view, see `Detector.calibration`."""
        if self.calibration is not None:
            return self.calibration
        return self.detector.calibration.matrix.to(self.pose.matrix).expand(len(self), 4, 4)

    def _shape(self) -> tuple[Any, ...]:
        intrinsics = self.detector.intrinsics
        numbers = tuple(length for length in intrinsics.lengths if not isinstance(length, Tensor))
        return *super()._shape(), numbers, intrinsics.reverse_x_axis

    @property
    def source(self) -> Vectors:
        """Where the sources are, in world mm."""
        return (
            self.pose.matrix[:, :3, 3] + (self.pose.matrix[:, :3, :3] @ self._reorient_translation()[:, None])[..., 0]
        )

    @property
    def camera_to_world(self) -> Matrices:
        """The whole poses of the cameras, float64: the detector's `reorient` first."""
        return self.detector.camera_to_world(RigidTransform(self.pose.matrix.double())).matrix

    @property
    def pixel_to_camera(self) -> Float[Tensor, "view 3 3"]:
        """Maps (view, 3, 3), float64, from (column, row, 1), with pixel centres at whole numbers, to camera mm."""
        calibration = self.detector.calibration.matrix if self.calibration is None else self.calibration
        calibration = calibration.double().expand(len(self), 4, 4)
        pixel_to_camera = pixel_to_camera_of(calibration, self.detector.reverse_x_axis)[:, :3]
        across_and_down, middle = pixel_to_camera[..., :2], pixel_to_camera[..., 2:].sum(-1, keepdim=True)
        rows, columns = self.image_shape
        index_to_offset = calibration.new_tensor(
            [[1.0, 0.0, -(columns - 1) / 2], [0.0, 1.0, -(rows - 1) / 2], [0.0, 0.0, 1.0]]
        )
        return torch.cat([across_and_down, middle], dim=-1) @ index_to_offset

    @property
    def world_to_pixel(self) -> Float[Tensor, "view 3 4"]:
        """Projection matrices, float64: (x, y, z, 1) in world mm to (column w, row w, w).

        Pixel centres are at whole numbers, (0, 0) the first. w is the depth in mm: the distance from the source along
        the detector's normal.
        """
        world_to_camera = torch.linalg.inv(self.camera_to_world)[:, :3]
        camera_to_pixel = torch.linalg.inv(self.pixel_to_camera)
        # The last row is the plane through the source parallel to the detector: its normal, up to a factor.
        camera_to_pixel = camera_to_pixel / camera_to_pixel[:, 2:].norm(dim=-1, keepdim=True)
        return camera_to_pixel @ world_to_camera

    def _reorient_translation(self) -> Tensor:
        return self.detector.reorient.matrix[0, :3, 3].to(self.pose.matrix)


@dataclass(frozen=True, eq=False)
class ParallelViews(Views):
    """Views by parallel beams.

    Attributes:
        direction: (view, 3) the way the rays run, unit vectors.
        centre: (view, 3) the detector's centre in world mm.
        across, down: (view, 3) the steps from one column and from one row to the next in mm.
        height, width: rows and columns.
        length: how far before the detector the rays begin, in mm: far enough to be in front of the volume.

    Raises:
        ValueError: the shapes do not fit, or, on the CPU, a detector is parallel to its rays.
    """

    direction: Vectors
    centre: Vectors
    across: Vectors
    down: Vectors
    height: int
    width: int
    length: float | int

    def __post_init__(self) -> None:
        shapes = {tuple(tensor.shape) for tensor in self.parameters()}
        if shapes != {(len(self.direction), 3)}:
            raise ValueError(f"Expected direction, centre, across and down of one shape (view, 3). Got {shapes}.")
        if self.height < 1 or self.width < 1 or not self.length > 0:
            size = f"{self.height} x {self.width} and {self.length}"
            raise ValueError(f"Expected rows and columns of at least 1, and a positive length in mm. Got {size}.")
        # A GPU is not waited for; views that were moved there have been looked at before.
        if self.device.type == "cpu" and not (torch.linalg.det(self._axes()).abs() > 0).all():
            raise ValueError("Expected steps across and down that span a plane which the rays cross.")

    @classmethod
    def of(cls, drr: Any, pose: RigidTransform) -> "ParallelViews":
        """The views that a DRR with a parallel beam has from poses, differentiable in these.

        Args:
            drr: whose detector it is; of its sdd no gradient is kept.
            pose: camera-to-world poses, one a view.

        Raises:
            ValueError: the DRR's beam is not parallel.
        """
        detector = drr.detector
        if not detector.parallel:
            raise ValueError("Expected a DRR with a parallel beam. Got a cone beam, of which ConeViews.of makes views.")
        matrix = detector.camera_to_world(pose).matrix
        steps = matrix @ detector.intrinsics.pixel_to_camera(matrix)
        across, down, middle, origin = steps[:, :3].unbind(-1)
        length = float(detector.intrinsics.detached().sdd)
        return cls(matrix[:, :3, 2], middle + origin, across, down, detector.height, detector.width, length)

    @property
    def image_shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.height, self.width

    def __len__(self) -> int:
        return len(self.direction)

    def __getitem__(self, indices: Indices) -> "ParallelViews":
        direction, centre, across, down = (tensor[indices] for tensor in self.parameters())
        return ParallelViews(direction, centre, across, down, self.height, self.width, self.length)

    def rays(self) -> tuple[Sources, Targets]:
        """Height x width sources and targets a view."""
        dtype, device = self.centre.dtype, self.device
        columns = torch.arange(self.width, dtype=dtype, device=device) - (self.width - 1) / 2
        rows = torch.arange(self.height, dtype=dtype, device=device) - (self.height - 1) / 2
        by_row = self.centre[:, None] + rows[:, None] * self.down[:, None]
        target = (by_row[:, :, None] + (columns[:, None] * self.across[:, None])[:, None]).flatten(1, 2)
        return target - self.length * self.direction[:, None], target

    def parameters(self) -> list[Tensor]:
        """Direction, centre and steps."""
        return [self.direction, self.centre, self.across, self.down]

    def _moved(self, device: torch.device) -> "ParallelViews":
        direction, centre, across, down = (tensor.to(device) for tensor in self.parameters())
        return ParallelViews(direction, centre, across, down, self.height, self.width, self.length)

    def moved(self, motion: RigidTransform) -> "ParallelViews":
        """The same beams with detector and directions moved."""
        matrix = motion.matrix.to(self.centre)
        direction, across, down = (
            (matrix[:, :3, :3] @ vector[..., None])[..., 0] for vector in (self.direction, self.across, self.down)
        )
        centre = (matrix[:, :3, :3] @ self.centre[..., None])[..., 0] + matrix[:, :3, 3]
        return ParallelViews(direction, centre, across, down, self.height, self.width, self.length)

    @classmethod
    def concatenate(cls, parts: "Sequence[ParallelViews]") -> "ParallelViews":
        """All beams of the parts, which begin as far before the detector as the farthest."""
        first = _check_parts(parts)
        columns = zip(*(part.parameters() for part in parts), strict=True)
        direction, centre, across, down = (torch.cat(column) for column in columns)
        height, width = first.image_shape
        return cls(direction, centre, across, down, height, width, max(part.length for part in parts))

    def _shape(self) -> tuple[Any, ...]:
        return *super()._shape(), self.length

    @property
    def world_to_pixel(self) -> Float[Tensor, "view 3 4"]:
        """Matrices, float64, from (x, y, z, 1) in world mm to (column, row, 1); pixel centres at whole numbers."""
        to_pixel = torch.linalg.inv(self._axes())[:, :2]
        middle = to_pixel.new_tensor([(self.width - 1) / 2, (self.height - 1) / 2])
        offset = middle - (to_pixel @ self.centre.double()[:, :, None])[..., 0]
        affine = torch.cat([to_pixel, offset[:, :, None]], dim=-1)
        return torch.cat([affine, affine.new_tensor([0.0, 0.0, 0.0, 1.0]).expand(len(self), 1, 4)], dim=1)

    def _axes(self) -> Tensor:
        """Columns: across, down and direction, float64."""
        return torch.stack([self.across, self.down, self.direction], dim=-1).double()


@dataclass(frozen=True, eq=False)
class RayViews(Views):
    """Any rays.

    Attributes:
        source: (view, 1 or ray, 3) in world mm.
        target: (view, ray, 3) in world mm.
        shape: rows and columns of an image, if the rays are the pixels of one, row by row; by default (1, ray).

    Raises:
        ValueError: shapes that do not fit.
    """

    source: Sources
    target: Targets
    shape: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        source, target = tuple(self.source.shape), tuple(self.target.shape)
        if len(target) != 3 or target[2] != 3 or source not in ((target[0], 1, 3), target):
            raise ValueError(
                f"Expected sources (view, 1 or ray, 3) and targets (view, ray, 3). Got {source}, {target}."
            )
        rows, columns = self.image_shape
        if rows * columns != target[1]:
            raise ValueError(f"Expected {rows} x {columns} rays a view. Got {target[1]}.")

    @property
    def image_shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return (1, self.target.shape[1]) if self.shape is None else self.shape

    def __len__(self) -> int:
        return len(self.target)

    def __getitem__(self, indices: Indices) -> "RayViews":
        return RayViews(self.source[indices], self.target[indices], self.image_shape)

    def rays(self) -> tuple[Sources, Targets]:
        """The rays as they were given."""
        return self.source, self.target

    def parameters(self) -> list[Tensor]:
        """Sources and targets."""
        return [self.source, self.target]

    def _moved(self, device: torch.device) -> "RayViews":
        return RayViews(self.source.to(device), self.target.to(device), self.shape)

    def moved(self, motion: RigidTransform) -> "RayViews":
        """The same rays with both ends moved."""
        motion = motion.to(self.source)
        return RayViews(motion(self.source), motion(self.target), self.shape)

    @classmethod
    def concatenate(cls, parts: "Sequence[RayViews]") -> "RayViews":
        """All rays of the parts; each with a source of its own if one part's rays have."""
        first = _check_parts(parts)
        shared = all(part.source.shape[1] == 1 for part in parts)
        sources = [part.source if shared else part.source.expand_as(part.target) for part in parts]
        return cls(torch.cat(sources), torch.cat([part.target for part in parts]), first.shape)


def _check_parts(parts: Sequence[V]) -> V:
    if not parts or len({(type(part), part.image_shape) for part in parts}) > 1:
        got = ", ".join(f"{type(part).__name__} of {part.image_shape}" for part in parts) or "none"
        raise ValueError(f"Expected views of one kind and size to join. Got {got}.")
    return parts[0]


def check_cone(views: Views, purpose: str) -> None:
    """Raise an InputError that names the purpose unless the views have sources and poses."""
    if not isinstance(views, ConeViews):
        raise InputError(f"Expected a cone beam's ConeViews for {purpose}. Got {type(views).__name__}.")


def views_from(detector: Detector, pose: RigidTransform, calibration: Matrices | None = None) -> Views:
    """What a detector with all its pixels sees from poses, with exact derivatives by all that makes its rays.

    Args:
        detector: of a cone beam or a parallel one.
        pose: camera-to-world poses, one a view.
        calibration: one for each view, in place of the detector's own.
    """
    if detector.parallel:
        source, target = detector(pose, calibration)
        return RayViews(source, target, detector.intrinsics.shape)
    return ConeViews(detector, pose, calibration)
