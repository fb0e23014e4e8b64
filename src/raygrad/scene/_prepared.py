"""The bodies of a scene, ready to be marched: what all views see of them, and the derivatives by each one's rays.

Solids take the place of volumes, and of solids before them. What a volume loses to solids is its own line integral
along the pieces of rays that are in solids, which are marched as rays of their own: renderers are sums over pieces, so
nothing is approximated. A piece begins and ends where its ray crosses a surface, and moves with that.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import Any, cast

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from raygrad import kernels
from raygrad.geometry import ConeViews, ParallelViews, RayViews, Views
from raygrad.kernels import sums_in
from raygrad.march import Derivatives, Marching, Prepared, march, march_with_jacobian
from raygrad.pose import RigidTransform
from raygrad.scene._crossings import Pieces, Rays, lengths, owned_pieces, whole_pieces
from raygrad.scene._materials import attenuation_of
from raygrad.scene._mesh import Mesh
from raygrad.scene._pyramid import Pyramid
from raygrad.scene._solid import Solid
from raygrad.types import RayImages

RAYS_AT_ONCE = 2**21
Part = Prepared | Solid


@dataclass(frozen=True, eq=False)
class PreparedBodies:
    """Bodies as `raygrad.march.Bodies` has them.

    Attributes:
        parts: volumes in 1/mm, and solids; of solids, later ones take the place of earlier ones.
        energy_kev: for materials by name.
        displace: whether solids take the place of others, or are added to them.
        where: the device that images are made on; by default that of the volumes, without any that of the views.
    """

    parts: Sequence[Part]
    energy_kev: float | int = 60.0
    displace: bool = True
    where: torch.device | str | None = None

    def __len__(self) -> int:
        return len(self.parts)

    def march(self, views: Sequence[Views], marching: Marching) -> RayImages:
        """What every view sees of all bodies (view, 1, ray); `views[b]` are in the frame of body b. Differentiable.

        Raises:
            ValueError: marching for maxima, or not as many views as bodies.
        """
        return self.channels(views, marching).sum(1, keepdim=True)

    def channels(self, views: Sequence[Views], marching: Marching) -> Float[Tensor, "view body ray"]:
        """What every view sees of each body, as for `march`, which is the sum."""
        return torch.cat([self._channels(some, marching) for some in self._groups(views, marching)])

    def march_with_jacobian(self, views: Sequence[Views], marching: Marching) -> tuple[RayImages, list[Derivatives]]:
        """Images as from `march`, without a gradient, and for each body their derivatives by ends in its own frame."""
        images, by_ends = [], []
        for some in self._groups(views, marching):
            image, derivatives = self._image_and_derivatives(some, marching)
            images.append(image)
            by_ends.append(derivatives)
        columns = [torch.cat(column) for column in zip(*by_ends, strict=True)]
        return torch.cat(images), [Derivatives(one, seen, None) for one, seen in zip(columns, views, strict=True)]

    def coarser(self, pixel: float) -> "PreparedBodies":
        """For pixels of that size in mm at the bodies: volumes averaged, solids as they are."""
        parts = [self._pyramids[place].level(pixel) if place in self._pyramids else part for place, part in self._each]
        return PreparedBodies(parts, self.energy_kev, self.displace, self.where)

    @property
    def volumes(self) -> Mapping[int, Prepared]:
        """Those of the bodies that are volumes, by their place."""
        return {place: part for place, part in self._each if isinstance(part, Prepared)}

    @property
    def solids(self) -> Mapping[int, Solid]:
        """Those of the bodies that are solids, by their place."""
        return {place: part for place, part in self._each if isinstance(part, Solid)}

    @property
    def _each(self) -> list[tuple[int, Part]]:
        return list(enumerate(self.parts))

    @cached_property
    def _pyramids(self) -> dict[int, Pyramid]:
        return {place: Pyramid(volume) for place, volume in self.volumes.items()}

    def _groups(self, views: Sequence[Views], marching: Marching) -> list[list[Views]]:
        """The views in groups that are marched at once."""
        if marching.reducefn != "sum":
            raise ValueError(f"Expected sums along rays of a scene. Got reducefn={marching.reducefn!r}.")
        if len(views) != len(self):
            raise ValueError(f"Expected the views in the frame of each of {len(self)} bodies. Got {len(views)}.")
        moved = [seen.to(self.device(views)) for seen in views]
        return [list(some) for some in zip(*(seen.split(RAYS_AT_ONCE) for seen in moved), strict=True)]

    def device(self, views: Sequence[Views]) -> torch.device:
        """Where images are made."""
        if self.where is not None:
            return torch.device(self.where)
        for volume in self.volumes.values():
            return volume.values.device
        return views[0].device

    def _dtype(self, rays: torch.dtype) -> torch.dtype:
        """Of images: that of the volumes' sums; without any, that of rays."""
        sums = [sums_in(volume.values.dtype) for volume in self.volumes.values()]
        dtype = sums[0] if sums else rays
        for other in sums[1:]:
            dtype = torch.promote_types(dtype, other)
        return dtype

    def _channels(self, views: list[Views], marching: Marching) -> Float[Tensor, "view body ray"]:
        dtype = self._dtype(views[0].parameters()[0].dtype)
        seen = {place: march(volume, views[place], marching)[:, 0] for place, volume in self.volumes.items()}
        if self.solids:
            rays = [Rays.of(one, marching.backend) for one in views]
            for place, change in self._changes(rays, views, marching).items():
                seen[place] = seen[place] + change.to(seen[place]) if place in seen else change
        return torch.stack([seen[place].to(dtype) for place in range(len(self))], dim=1)

    def _image_and_derivatives(self, views: list[Views], marching: Marching) -> tuple[Tensor, list[Tensor]]:
        """A pixel depends on the ends of its own ray only, so the gradient of the sum is each ray's own derivative."""
        dtype = self._dtype(views[0].parameters()[0].dtype)
        total: list[Tensor] = []
        by_ends: dict[int, Tensor] = {}
        for place, volume in self.volumes.items():
            image, derivatives = march_with_jacobian(volume, views[place], marching)
            total.append(image.detach().to(dtype))
            by_ends[place] = derivatives.by_ends.to(dtype)
        if self.solids:
            with torch.enable_grad():
                rays = [Rays.of(one, marching.backend).with_ends_of_their_own() for one in views]
                changes = torch.stack([change.double() for change in self._changes(rays, views, marching).values()])
                ends = [end for one in rays for end in (one.source, one.target)]
                found = torch.autograd.grad(changes.sum(), ends, allow_unused=True, materialize_grads=True)
            total.append(changes.detach().sum(0)[:, None].to(dtype))
            for place in range(len(self)):
                gradient = torch.cat(found[2 * place : 2 * place + 2], dim=-1)[:, None].to(dtype)
                by_ends[place] = by_ends[place] + gradient if place in by_ends else gradient
        return torch.stack(total).sum(0), [by_ends[place] for place in range(len(self))]

    def _changes(self, rays: list[Rays], views: list[Views], marching: Marching) -> dict[int, Tensor]:
        """What solids add to the image, each by itself, and what they take from each volume: (view, ray)."""
        thickness: dict[int, Tensor] = {}
        changes: dict[int, Tensor] = {}
        sorted_out = self._displacing(views)
        if sorted_out:
            owned, of_any = owned_pieces([self.solids[place].crossings(rays[place]) for place in sorted_out])
            for number, place in enumerate(sorted_out):
                mine = Pieces(*(column[owned.owner == number] for column in owned))
                thickness[place] = lengths(mine, rays[place])
            for place, volume in self.volumes.items():
                changes[place] = -_along(of_any, volume, rays[place], marching)
        for place, solid in self.solids.items():
            if place not in thickness:
                thickness[place] = self._alone(solid, rays[place], views[place])
            attenuation = attenuation_of(solid.material, self.energy_kev)
            if isinstance(attenuation, Tensor):
                attenuation = attenuation.to(thickness[place])
            changes[place] = thickness[place] * attenuation
        return changes

    def _displacing(self, views: list[Views]) -> list[int]:
        """The solids of which one may take another's place, or a volume's; their crossings have to be put in order."""
        if not self.displace or self.volumes:
            return list(self.solids) if self.displace else []
        if not all(isinstance(seen, ConeViews) for seen in views):
            return list(self.solids) if len(self.solids) > 1 else []
        balls = {}
        for place, solid in self.solids.items():
            seen, (centre, radius) = views[place], solid.ball
            body_to_camera = RigidTransform(cast(ConeViews, seen).pose.matrix.detach().double()).inverse()
            balls[place] = body_to_camera(centre.detach().to(body_to_camera.matrix)[None, None])[:, 0], radius.detach()
        meets = set()
        for (one, (here, a)), (other, (there, b)) in combinations(balls.items(), 2):
            if bool((torch.linalg.vector_norm(here - there, dim=-1) < (a + b) * (1 + 1e-6) + 1e-3).any()):
                meets |= {one, other}
        return [place for place in self.solids if place in meets]

    def _alone(self, solid: Solid, rays: Rays, views: Views) -> Tensor:
        """How much of every ray is in a solid that nothing displaces."""
        if not isinstance(solid, Mesh) or solid.n_parts > 1:
            return lengths(whole_pieces(solid.crossings(rays)), rays)
        hints: dict[str, Any] = {}
        if isinstance(views, (ConeViews, ParallelViews)):
            hints = {"world_to_pixel": views.world_to_pixel.detach(), "image_width": views.image_shape[1]}
        vertices, faces = solid.vertices.to(rays.source), solid.faces.to(rays.source.device)
        return kernels.project_mesh(vertices, faces, rays.source, rays.target, backend=rays.backend, **hints)

    @torch.no_grad()
    def silhouette(self, place: int, views: Views) -> Bool[Tensor, "view ray"]:
        """Which rays of the views, which are in the frame of the body at this place, meet it, whatever hides it."""
        part = self.parts[place]
        if isinstance(part, Solid):
            return self._alone(part, Rays.of(views), views) > 0
        there = Prepared((part.values != 0).to(torch.float32), part.world_to_voxel)
        return march(there, views, Marching("siddon"))[:, 0] > 0

    @torch.no_grad()
    def is_met(self, place: int, views: Views) -> bool:
        """Whether any ray of the views, which are in the frame of the body at this place, meets it or its voxels."""
        part = self.parts[place]
        rays = Rays.of(views)
        if isinstance(part, Solid):
            return len(part.crossings(rays).row) > 0
        voxels = torch.tensor(part.values.shape, dtype=torch.float64, device=rays.target.device)
        to_voxel = part.world_to_voxel.to(voxels)
        start, end = (points @ to_voxel[:3, :3].mT + to_voxel[:3, 3] for points in (rays.source, rays.target))
        step = end - start
        slope = torch.where(step == 0, 1e-300, step)
        at = torch.stack([(-0.5 - start) / slope, (voxels - 0.5 - start) / slope])
        enter, leave = at.amin(0).amax(-1).clamp(min=0), at.amax(0).amin(-1).clamp(max=1)
        return bool((enter < leave).any())


def _along(pieces: Pieces, volume: Prepared, rays: Rays, marching: Marching) -> Float[Tensor, "view ray"]:
    """The line integrals of a volume along pieces of rays, added up for every ray."""
    dtype, device = sums_in(volume.values.dtype), rays.target.device
    total = torch.zeros(rays.shape.numel(), dtype=dtype, device=device)
    if len(pieces.row):
        source, target = rays.at(pieces.row)
        begin, end = (source + share[:, None] * (target - source) for share in (pieces.start, pieces.end))
        part = march(volume, RayViews(begin[None], end[None]), marching)[0, 0]
        total = total.index_add(0, pieces.row, part.to(total))
    return total.reshape(rays.shape)
