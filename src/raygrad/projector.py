"""The X-ray transform of a sweep as a linear operator: A(x), and its exact adjoint A.T(y)."""

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from raygrad._errors import Interrupted
from raygrad._processes import Processes
from raygrad.geometry import Indices, Views, VolumeGeometry
from raygrad.march import Marching, Prepared, march, spread

__all__ = ["Projector", "Adjoint"]

Volumes = Float[Tensor, "x y z"]
ViewImages = Float[Tensor, "view height width"]
Mask = Bool[Tensor, "view height width"]
WORTH_A_COPY = 4
"""Views from which on a volume that is not z-fastest is copied: scans about z are marched several times as fast."""


class Projector:
    """Line integrals of a volume along the rays of all views: `images = A(volume)`, `volume = A.T(images)`.

    A and A.T are adjoint to rounding: <A(x), y> = <x, A.T(y)>. Both are differentiable, and A also in whatever makes
    the rays, where it requires a gradient (poses, intrinsics; see `raygrad.geometry`). Views are marched in groups of
    `rays_at_once` rays, so memory beyond the volume and the images stays bounded; a gradient marches again.

    Args:
        volume_geometry: the grid of the volume: a `VolumeGeometry`, `Volume`, `Subject` or `DRR`.
        views: a `raygrad.geometry.Views`, see also `raygrad.geometry.trajectories`.
        renderer: "joseph", "siddon" or "trilinear", see `raygrad.march.Marching`; or a `Marching` of sums.
        n_points: samples a ray of "trilinear".
        backend: which kernels march, see `raygrad.kernels.choose_backend`.
        rays_at_once: how many rays are in memory at a time; at least one view's are.
        mask: False for pixels (view, height, width) whose rays do not count, as if the detector had none there: A makes
            0 of them, and A.T reads nothing of them.
        interrupt: asked before every group of views whether to end: True raises `Interrupted`.

    Attributes:
        domain_shape: the volume's (x, y, z).
        range_shape: the images' (view, height, width).
        processes: those that the views are shared among, see `raygrad.distributed`.
        T: the adjoint, whose `T` is this projector.

    Raises:
        TypeError, ValueError: an argument is not as described.
    """

    def __init__(
        self,
        volume_geometry: Any,
        views: Views,
        renderer: str | Marching = "joseph",
        *,
        n_points: int = 500,
        backend: str = "auto",
        rays_at_once: int = 1 << 22,
        mask: Mask | None = None,
        interrupt: Callable[[], bool] | None = None,
    ) -> None:
        if not isinstance(views, Views):
            raise TypeError(f"Expected views as made by raygrad.geometry. Got {type(views).__name__}.")
        if rays_at_once < 1:
            raise ValueError(f"Expected rays_at_once of at least 1. Got {rays_at_once}.")
        self.volume_geometry = VolumeGeometry.of(volume_geometry)
        self.views = views
        if isinstance(renderer, str):
            renderer = Marching(renderer, n_points, backend=backend)
        self.marching: Marching = renderer
        if self.marching.reducefn != "sum":
            raise ValueError(f"Expected a marching of sums: a maximum is not linear. Got {self.marching}.")
        self.rays_at_once = rays_at_once
        if mask is not None and (mask.dtype != torch.bool or tuple(mask.shape) != self.range_shape):
            got = f"{mask.dtype} of shape {tuple(mask.shape)}"
            raise ValueError(f"Expected a mask of bools of shape {self.range_shape}. Got {got}.")
        self.mask = None if mask is None else mask.to(views.device)
        self.interrupt = interrupt
        self.processes = Processes()
        self.T = Adjoint(self)

    @property
    def renderer(self) -> str:
        """The renderer's name."""
        return self.marching.renderer

    @property
    def n_points(self) -> int:
        """Samples a ray of "trilinear"."""
        return self.marching.n_points

    @property
    def backend(self) -> str:
        """Which kernels march."""
        return self.marching.backend

    @property
    def domain_shape(self) -> tuple[int, int, int]:
        """Shape of the volumes that A takes."""
        return self.volume_geometry.shape

    @property
    def range_shape(self) -> tuple[int, int, int]:
        """Shape of the images that A makes."""
        return (len(self.views), *self.views.image_shape)

    def __call__(self, volume: Volumes) -> ViewImages:
        """Project: line integrals (value x mm) of a volume on this projector's grid.

        Raises:
            ValueError: the volume is on another grid, or holds NaN or infinity where rays pass.
        """
        if tuple(volume.shape) != self.domain_shape:
            raise ValueError(f"Expected a volume of shape {self.domain_shape}. Got {tuple(volume.shape)}.")
        if self.views.requires_grad():
            return self._project_differentiably(volume)
        return _Apply.apply(volume, self)

    def norm(self, iterations: int = 30) -> float:
        """The operator's 2-norm, its largest singular value, by so many power iterations from a volume of ones.

        A lower bound that comes near soon: A.T A has no negative entry, so that (Perron-Frobenius) its first
        eigenvector has none either and a volume of ones lies close to it.
        """
        with torch.no_grad():
            volume = self.zeros() + 1
            norm = 0.0
            for _ in range(iterations):
                volume = self.T(self(volume / volume.norm()))
                previous, estimate = norm, float(volume.norm()) ** 0.5
                if previous and abs(estimate - previous) <= 1e-5 * previous:
                    break
                norm = estimate
                if norm == 0:
                    break
        return norm

    def zeros(self) -> Volumes:
        """A volume of zeros on this projector's grid, with the rays' dtype and device."""
        return self.volume_geometry.zeros(self.views.parameters()[0].dtype, self.views.device)

    def __getitem__(self, indices: Indices) -> "Projector":
        """The projector of some of the views."""
        mask = None if self.mask is None else self.mask[indices]
        return self._of(self.views[indices], mask)

    def to(self, device: torch.device | str) -> "Projector":
        """The same projector with its views on a device: rays are made where the volumes and images are.

        A projector whose views are elsewhere moves them there each time.
        """
        views = self.views.to(device)
        return self if views is self.views else self._of(views, self.mask)

    def with_views(self, views: Views) -> "Projector":
        """The same projector for other views, of which all pixels count."""
        return self._of(views, None)

    def masked(self, images: ViewImages) -> ViewImages:
        """The images with 0 where pixels do not count, whatever is there, be it NaN."""
        return images if self.mask is None else torch.where(self.mask.to(images.device), images, 0)

    def _of(self, views: Views, mask: Tensor | None) -> "Projector":
        options: dict[str, Any] = {"rays_at_once": self.rays_at_once, "mask": mask, "interrupt": self.interrupt}
        return Projector(self.volume_geometry, views, self.marching, **options)

    def check_interrupt(self) -> None:
        """Between two groups of views: see whether the work is still wanted.

        Raises:
            Interrupted: it is not.
        """
        if self.interrupt is not None and self.interrupt():
            raise Interrupted("The work was interrupted.")

    def subsets(self, count: int) -> list[tuple["Projector", Tensor]]:
        """Ordered subsets: every count-th view, with the positions of its images among those of all views.

        Their order is that of bit reversal, so that one subset's views lie far from the one's before.

        Raises:
            ValueError: there are fewer views than subsets.
        """
        if not 1 <= count <= len(self.views):
            raise ValueError(f"Expected 1 to {len(self.views)} subsets, as there are views. Got {count}.")
        device = self.views.device
        positions = [torch.arange(first, len(self.views), count, device=device) for first in bit_reversal(count)]
        return [(self[chosen], chosen) for chosen in positions]

    def _project_differentiably(self, volume: Tensor) -> Tensor:
        """Project with gradients to the views: rays are made, and marched, again in the backward pass."""
        groups = self.views.split(self.rays_at_once)
        if len(groups) == 1:
            return self.masked(self._march(volume, self.views))
        images = [checkpoint(self._march, volume, views, use_reentrant=False) for views in groups]
        return self.masked(torch.cat(images))

    def _march(self, volume: Tensor, views: Views) -> Tensor:
        image = march(self._prepared(volume), views, self.marching)
        return image[:, 0].unflatten(-1, views.image_shape)

    def _prepared(self, volume: Tensor) -> Prepared:
        return Prepared(volume, self.volume_geometry.world_to_voxel)

    def _apply(self, volume: Tensor) -> Tensor:
        images = volume.new_empty(self.range_shape)
        if self.renderer == "joseph" and len(self.views) >= WORTH_A_COPY:
            volume = volume.contiguous()
        first = 0
        for views in self.views.split(self.rays_at_once):
            self.check_interrupt()
            images[first : first + len(views)] = self._march(volume, views)
            first += len(views)
        return images if self.mask is None else images.masked_fill_(~self.mask.to(images.device), 0)

    def _backproject(self, images: Tensor, out: Tensor | None = None) -> Tensor:
        # Values of `like` are never read, and memory that nobody touches costs nothing.
        like = images.new_empty(self.domain_shape) if out is None else out
        images = self.masked(images)
        volume: Tensor | None = None
        first = 0
        for views in self.views.split(self.rays_at_once):
            self.check_interrupt()
            cotangent = images[first : first + len(views)].reshape(len(views), 1, -1)
            into = out if volume is None else None
            part = spread(cotangent, self._prepared(like), views, self.marching, out=into)
            volume = part if volume is None else volume.add_(part)
            first += len(views)
        return like.zero_() if volume is None else volume

    def __repr__(self) -> str:
        """What it maps to what."""
        views, rows, columns = self.range_shape
        return f"Projector({self.volume_geometry} -> {views} views of {rows} x {columns} pixels, {self.renderer})"


class Adjoint:
    """The adjoint of a projector: spreads every pixel's value over the voxels that its ray reads."""

    def __init__(self, projector: Projector) -> None:
        self.T = projector

    @property
    def domain_shape(self) -> tuple[int, int, int]:
        """Shape of the images that it takes."""
        return self.T.range_shape

    @property
    def range_shape(self) -> tuple[int, int, int]:
        """Shape of the volumes that it makes."""
        return self.T.domain_shape

    def __call__(self, images: ViewImages, out: Volumes | None = None) -> Volumes:
        """Back project images (view, height, width) to a volume (x, y, z), differentiable in the images.

        With `out`, a volume of the images' dtype, the result is written there, without a gradient: what runs many times
        need not wait for fresh memory each time.

        Raises:
            ValueError: the images do not fit the views, or `out` the result.
        """
        if tuple(images.shape) != self.domain_shape:
            raise ValueError(f"Expected images of shape {self.domain_shape}. Got {tuple(images.shape)}.")
        if out is not None:
            if tuple(out.shape) != self.range_shape or out.dtype != images.dtype:
                raise ValueError(
                    f"Expected an output of shape {self.range_shape} and {images.dtype}. "
                    f"Got {tuple(out.shape)} and {out.dtype}."
                )
            with torch.no_grad():
                return self.T._backproject(images.detach(), out)
        return _Apply.apply(images, self)

    def _apply(self, images: Tensor) -> Tensor:
        return self.T._backproject(images)

    def norm(self) -> float:
        """The operator's 2-norm, which is the projector's."""
        return self.T.norm()


class _Apply(torch.autograd.Function):
    """A linear operator, streamed: its gradient is its adjoint, and its own derivative forwards is itself."""

    @staticmethod
    def forward(value, operator):
        return operator._apply(value)

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.operator = inputs[1]

    @staticmethod
    def backward(ctx, cotangent):
        return _Apply.apply(cotangent, ctx.operator.T), None

    @staticmethod
    def jvp(ctx, tangent, _):
        return _Apply.apply(tangent, ctx.operator)


def bit_reversal(count: int) -> list[int]:
    """The numbers below `count` in the order of their reversed binary digits: neighbours come far apart."""
    digits = max(1, (count - 1).bit_length())
    return sorted(range(count), key=lambda number: f"{number:0{digits}b}"[::-1])
