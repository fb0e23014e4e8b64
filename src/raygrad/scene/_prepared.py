"""The bodies of a scene, ready to be marched: what all views see of them, and the derivatives by each one's rays.

Solids take the place of volumes, and of solids before them. What a volume loses to solids is its own line integral
along the pieces of rays that are in solids, which are marched as rays of their own: renderers are sums over pieces, so
nothing is approximated. A piece begins and ends where its ray crosses a surface, and moves with that.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, combinations
from typing import Any, NamedTuple, cast

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from raygrad import kernels
from raygrad.geometry import ConeViews, ParallelViews, RayViews, Views
from raygrad.kernels import sums_in
from raygrad.march import Derivatives, Marching, Prepared, march, march_materials, march_with_jacobian
from raygrad.pose import RigidTransform
from raygrad.scene._crossings import Pieces, Rays, Rows, lengths, owned_pieces, whole_pieces
from raygrad.scene._materials import attenuation_of
from raygrad.scene._mesh import Mesh
from raygrad.scene._pyramid import Pyramid
from raygrad.scene._solid import Solid, near_each
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

    def path_lengths(self, views: Sequence[Views], marching: Marching) -> list[Float[Tensor, "view _ ray"]]:
        """For each body the mm that rays run through it, displaced as in images; differentiable.

        Of solids (view, 1, ray), whatever they are made of; of volumes each material's, where `values` are several
        volumes (material, x, y, z). Arguments and errors are those of `march`.
        """
        groups = [self._seen(some, marching, attenuated=False) for some in self._groups(views, marching)]
        return [torch.cat(parts) for parts in zip(*groups, strict=True)]

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
        device = self.device(views)
        # Bodies of one frame share their views, whose rays are made once.
        split = {id(seen): seen.to(device).split(RAYS_AT_ONCE) for seen in views}
        return [list(some) for some in zip(*(split[id(seen)] for seen in views), strict=True)]

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
        return torch.cat(self._seen(views, marching), dim=1)

    def _seen(
        self, views: list[Views], marching: Marching, attenuated: bool = True
    ) -> list[Float[Tensor, "view _ ray"]]:
        """Of each body; of solids mm rather than what these attenuate, if asked for."""
        shape = len(views[0]), math.prod(views[0].image_shape)
        dtype = self._dtype(views[0].parameters()[0].dtype)
        seen = {place: _marched(volume, views[place], marching).to(dtype) for place, volume in self.volumes.items()}
        for group in self._together(views, marching):
            for place, change in self._changes(group, marching, attenuated).items():
                change = change.to(dtype)
                before = seen.get(place, change.new_zeros(shape[0], len(change), shape[1]))
                whole = before.transpose(0, 1).flatten(1).index_add(1, group.row, change)
                seen[place] = whole.unflatten(1, shape).transpose(0, 1)
        for place, mesh in self._plain(views).items():
            thickness = kernels.project_mesh(**_mesh_and_rays(mesh, views[place], marching))
            seen[place] = (thickness * self._attenuation(place, thickness, attenuated)).to(dtype)[:, None]
        return [seen[place] for place in range(len(self))]

    def _image_and_derivatives(self, views: list[Views], marching: Marching) -> tuple[Tensor, list[Tensor]]:
        shape = len(views[0]), math.prod(views[0].image_shape)
        dtype = self._dtype(views[0].parameters()[0].dtype)
        total: list[Tensor] = []
        by_ends: dict[int, Tensor] = {}
        for place, volume in self.volumes.items():
            image, derivatives = march_with_jacobian(volume, views[place], marching)
            total.append(image[:, 0].detach().to(dtype))
            by_ends[place] = derivatives.by_ends[:, 0].detach().to(dtype)
        for group in self._together(views, marching):
            with torch.inference_mode(False), torch.enable_grad():
                rays = {place: some.as_leaves() for place, some in group.rays.items()}
                ends = [end for some in rays.values() for end in (some.source, some.target)]
                changes = self._changes(group._replace(rays=rays), marching).values()
                change = torch.cat([one.double() for one in changes]).sum(0)
                # A pixel depends on the ends of its own ray: the gradient of the sum is every ray's own derivative.
                found = iter(torch.autograd.grad(change.sum(), ends, allow_unused=True, materialize_grads=True))
            blank = change.new_zeros(math.prod(shape), dtype=dtype)
            total.append(blank.index_add(0, group.row, change.detach().to(dtype)).reshape(shape))
            for place in rays:
                own = torch.cat([next(found), next(found)], dim=-1)[0].to(dtype)
                before = by_ends[place] if place in by_ends else own.new_zeros(*shape, 6)
                by_ends[place] = before.flatten(0, 1).index_add(0, group.row, own).reshape(*shape, 6)
        for place, mesh in self._plain(views).items():
            thickness, jacobian = kernels.project_mesh_with_jacobian(**_mesh_and_rays(mesh, views[place], marching))
            attenuation = self._attenuation(place, thickness)
            total.append((thickness * attenuation).detach().to(dtype))
            by_ends[place] = (jacobian * attenuation).detach().to(dtype)
        return torch.stack(total).sum(0)[:, None], [by_ends[place][:, None] for place in range(len(self))]

    def _changes(
        self, group: "_Together", marching: Marching, attenuated: bool = True
    ) -> dict[int, Float[Tensor, "material row"]]:
        """What solids that meet add to the image, each by itself, and what they take from each volume."""
        crossings = [self.solids[place].crossings(group.rays[place]) for place in group.solids]
        owned, of_any = owned_pieces(crossings)
        changes = {}
        for number, place in enumerate(group.solids):
            mine = Pieces(*(column[owned.owner == number] for column in owned))
            thickness = lengths(mine, group.rays[place])
            changes[place] = thickness * self._attenuation(place, thickness, attenuated)
        for place in group.rays.keys() - set(group.solids):
            changes[place] = -_along(of_any, self.volumes[place], group.rays[place], marching)[:, 0]
        return changes

    def _attenuation(self, place: int, like: Tensor, attenuated: bool = True) -> Tensor | float:
        """Of a solid, in 1/mm; or 1."""
        if not attenuated:
            return 1.0
        attenuation = attenuation_of(self.solids[place].material, self.energy_kev)
        return attenuation.to(like) if isinstance(attenuation, Tensor) else attenuation

    def _plain(self, views: list[Views]) -> dict[int, Mesh]:
        """The meshes that nothing displaces, which displace nothing, and which are one part: kernels do them alone."""
        displacing = self._displacing(views)
        meshes = {place: solid for place, solid in self.solids.items() if isinstance(solid, Mesh)}
        return {place: mesh for place, mesh in meshes.items() if mesh.n_parts == 1 and place not in displacing}

    def _together(self, views: list[Views], marching: Marching) -> "Iterator[_Together]":
        """The other solids, those that meet together, with the rays that come near them."""
        displacing, plain = self._displacing(views), self._plain(views)
        alone = [[place] for place in self.solids if place not in displacing and place not in plain]
        if not displacing and not alone:
            return
        rays = _rays_of(views, marching)
        close = self._close([*displacing, *chain(*alone)], rays)
        for solids in ([displacing] if displacing else []) + alone:
            row = torch.cat([close[place] for place in solids]).unique()
            members = [*solids, *self.volumes] if solids is displacing else solids
            yield _Together(solids, row, {place: rays[place].some(row) for place in members})

    def _close(self, places: Sequence[int], rays: list[Rays]) -> dict[int, Rows]:
        """The rays that come near each of the solids at these places; at once for those of one frame."""
        frames: dict[int, list[int]] = {}
        for place in places:
            frames.setdefault(id(rays[place]), []).append(place)
        close: dict[int, Rows] = {}
        for same in frames.values():
            centres, radii = zip(*(self.solids[place].ball for place in same), strict=True)
            first = centres[0]
            balls = torch.stack([one.to(first) for one in centres]), torch.stack([one.to(first) for one in radii])
            close |= dict(zip(same, near_each(rays[same[0]], *balls), strict=True))
        return close

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

    @torch.no_grad()
    def silhouette(self, place: int, views: Views) -> Bool[Tensor, "view ray"]:
        """Which rays of the views, which are in the frame of the body at this place, meet it, whatever hides it."""
        part = self.parts[place]
        if isinstance(part, Solid):
            if isinstance(part, Mesh) and part.n_parts == 1:
                return kernels.project_mesh(**_mesh_and_rays(part, views, Marching())) > 0
            rays = Rays.of(views)
            return lengths(whole_pieces(part.crossings(rays)), rays) > 0
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


class _Together(NamedTuple):
    """Solids that meet, and the rays that come near one of them.

    Attributes:
        solids: their places.
        row: which rays.
        rays: these, in the frame of each solid and of each volume that it displaces.
    """

    solids: list[int]
    row: Rows
    rays: dict[int, Rays]


def _mesh_and_rays(mesh: Mesh, views: Views, marching: Marching) -> dict[str, Any]:
    """What kernels of meshes take."""
    source, target = views.rays()
    hints: dict[str, Any] = {}
    if isinstance(views, (ConeViews, ParallelViews)):
        hints = {"world_to_pixel": views.world_to_pixel.detach(), "image_width": views.image_shape[1]}
    vertices, faces = mesh.vertices.to(target.device), mesh.faces.to(target.device)
    return {
        "vertices": vertices,
        "faces": faces,
        "source": source,
        "target": target,
        "backend": marching.backend,
    } | hints


def _rays_of(views: list[Views], marching: Marching) -> list[Rays]:
    """The rays in the frame of every body."""
    made = {id(seen): Rays.of(seen, marching.backend) for seen in {id(seen): seen for seen in views}.values()}
    return [made[id(seen)] for seen in views]


def _marched(volume: Prepared, views: Views, marching: Marching) -> Float[Tensor, "view material ray"]:
    """What views see of a volume, or of several materials' volumes."""
    return march_materials(volume, views, marching) if volume.values.dim() == 4 else march(volume, views, marching)


def _along(pieces: Pieces, volume: Prepared, rays: Rays, marching: Marching) -> Float[Tensor, "material view ray"]:
    """The line integrals of a volume along pieces of rays, added up for every ray."""
    dtype, device = sums_in(volume.values.dtype), rays.target.device
    materials = len(volume.values) if volume.values.dim() == 4 else 1
    total = torch.zeros(materials, rays.shape.numel(), dtype=dtype, device=device)
    if len(pieces.row):
        source, target = rays.at(pieces.row)
        begin, end = (source + share[:, None] * (target - source) for share in (pieces.start, pieces.end))
        part = _marched(volume, RayViews(begin[None], end[None]), marching)[0]
        total = total.index_add(1, pieces.row, part.to(total))
    return total.unflatten(1, rays.shape)
