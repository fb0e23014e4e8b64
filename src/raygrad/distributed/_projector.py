"""The views of a sweep as each process of a group holds its part of them."""

import torch
import torch.distributed as dist
from torch import Tensor

from raygrad._processes import Processes
from raygrad.distributed._group import Group, block_of
from raygrad.geometry import Indices, Views
from raygrad.projector import Projector, bit_reversal


class ShardedProjector(Projector):
    """The views of a sweep that this process holds, of those that all processes of a group share.

    `A(x)` makes this process's images. `A.T(y)` takes them and makes the sum over all processes' views, the same volume
    to the bit in all; so are gradients with respect to the volume, of the sum of all processes' losses. A and A.T are
    adjoint as operators of all views. Back projecting, `norm`, `subsets` and gradients are exchanges: every
    process calls them, in the same order.

    Args:
        own: the projector of this process's views.
        processes: those that share the views.
        numbers: (view,) int64, this process's views' numbers among all.

    Raises:
        ValueError: there is not a number for each view.
    """

    def __init__(self, own: Projector, processes: Group, numbers: Tensor) -> None:
        super().__init__(own.volume_geometry, own.views, own.marching, rays_at_once=own.rays_at_once, mask=own.mask)
        if tuple(numbers.shape) != (len(own.views),):
            raise ValueError(f"Expected the numbers of {len(own.views)} views. Got shape {tuple(numbers.shape)}.")
        self.processes: Group = processes
        self.numbers = numbers.to(own.views.device)

    def __getitem__(self, indices: Indices) -> "ShardedProjector":
        """Some of the views that this process holds, counted among them; the other processes choose of theirs."""
        return ShardedProjector(super().__getitem__(indices), self.processes, self.numbers[indices])

    def with_own_views(self, views: Views) -> "ShardedProjector":
        """For other rays of the same views that this process holds, such as from refined poses: shared, and masked, as
        before.

        Raises:
            ValueError: they are not as many.
        """
        return ShardedProjector(self._of(views, self.mask), self.processes, self.numbers)

    def with_views(self, views: Views) -> Projector:
        """A projector of this process alone for other views; no other process knows of it."""
        return super().with_views(views)

    def to(self, device: torch.device | str) -> "ShardedProjector":
        """The same projector with its views on a device."""
        views = self.views.to(device)
        return self if views is self.views else self.with_own_views(views)

    def subsets(self, count: int) -> list[tuple[Projector, Tensor]]:
        """Ordered subsets of all processes' views, the same ones whatever the number of processes.

        A process may hold none of a subset's views.

        Raises:
            ValueError: there are fewer views than subsets.
        """
        views = int(self.processes.sum(torch.tensor(len(self.views))))
        if not 1 <= count <= views:
            raise ValueError(f"Expected 1 to {views} subsets, as there are views. Got {count}.")
        positions = [(self.numbers % count == first).nonzero()[:, 0] for first in bit_reversal(count)]
        return [(self[chosen], chosen) for chosen in positions]

    def _project_differentiably(self, volume: Tensor) -> Tensor:
        volume = _Shared.apply(volume, self.processes)
        if len(self.views) == 0:
            return volume.flatten()[:0].reshape(self.range_shape)
        return super()._project_differentiably(volume)

    def _backproject(self, images: Tensor, out: Tensor | None = None) -> Tensor:
        return self.processes.sum_(super()._backproject(images, out))


class _Shared(torch.autograd.Function):
    """A volume that all processes have: its gradient is the sum of theirs."""

    @staticmethod
    def forward(ctx, volume, processes):
        ctx.processes = processes
        return volume.view_as(volume)

    @staticmethod
    def backward(ctx, cotangent):
        return ctx.processes.sum(cotangent), None


def shard(
    projector: Projector, images: Tensor, processes: Processes | dist.ProcessGroup | None = None
) -> tuple[Projector, Tensor]:
    """This process's part of a problem that every process names as a whole.

    Args:
        projector: of all views.
        images: of all views (view, height, width); only this process's are read, so they may be memory-mapped.
        processes: those that share the views, as `join_processes` gives them, or a group of `torch.distributed`; by
            default all. A single process keeps everything.

    Returns:
        (projector, images): of this process's views.

    Raises:
        ValueError: there are fewer views than processes, or not an image for each view.
    """
    if not isinstance(processes, Processes):
        processes = Group(processes)
    if not isinstance(processes, Group):
        return projector, images
    views = len(projector.views)
    if len(images) != views:
        raise ValueError(f"Expected an image for each of {views} views. Got {len(images)}.")
    if views < processes.count:
        raise ValueError(f"Expected at least one view a process. Got {views} views and {processes.count} processes.")
    block = block_of(views, processes.rank, processes.count)
    return ShardedProjector(projector[block], processes, torch.arange(views)[block]), images[block]
