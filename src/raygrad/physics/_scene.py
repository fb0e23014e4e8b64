"""A scene ready to be marched for physics: volumes of its CTs' materials, and solids whatever they are made of."""

from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from raygrad._attenuation import material_named
from raygrad.data import take_out
from raygrad.march import Prepared
from raygrad.physics._prepared import Held, PreparedTissues, keep_present, look_at
from raygrad.physics._tissues import AIR_HU, TISSUE, Tissues
from raygrad.scene import Body, PreparedBodies, Scene, Solid


@dataclass(frozen=True, eq=False)
class PreparedScene:
    """The bodies of a scene as materials.

    Attributes:
        materials: names of all that are there.
        bodies: CTs as volumes of materials (material, x, y, z), solids as they are.
        owned: for each body which of the materials its channels are.
        tissues: what the CTs were made with.
    """

    materials: tuple[str, ...]
    bodies: PreparedBodies
    owned: tuple[tuple[int, ...], ...]
    tissues: Tissues

    @classmethod
    def of(cls, scene: Scene, tissues: Tissues) -> "PreparedScene":
        """The materials of a scene's bodies. What is cut out of a CT leaves a hole that is filled in HU.

        Args:
            scene: its solids' materials have names; of its CTs the HU are taken, whatever `Body.values` says.
            tissues: what the HU of its CTs are made of.

        Raises:
            ValueError: a solid's material is a number rather than a name, which says nothing of other energies; or
                what `PreparedTissues.of` raises.

        Warns:
            HounsfieldWarning: as `PreparedTissues.of`.
        """
        parts: dict[int, Prepared | Solid] = {}
        names: dict[int, tuple[str, ...]] = {}
        for place, (name, body) in enumerate(zip(scene.names, scene.bodies, strict=True)):
            if not isinstance(body, Solid):
                continue
            if not isinstance(body.material, str):
                raise ValueError(
                    f"Expected the name of the material of {name!r}: physics needs it at every energy. "
                    f"Got {body.material!r}."
                )
            parts[place], names[place] = body, (material_named(body.material),)
        volumes = {place: body for place, body in enumerate(scene.bodies) if isinstance(body, Body)}
        for ct in {id(body.ct): body.ct for body in volumes.values()}.values():
            family = {place: body for place, body in volumes.items() if body.ct is ct}
            for place, prepared in _family(family, tissues, scene.device).items():
                parts[place], names[place] = prepared.volume, prepared.materials
        materials = tuple(dict.fromkeys(name for place in range(len(parts)) for name in names[place]))
        owned = tuple(tuple(materials.index(name) for name in names[place]) for place in range(len(parts)))
        bodies = PreparedBodies(
            [parts[place] for place in range(len(parts))], scene.energy_kev, scene.displace, scene.device
        )
        return cls(materials, bodies, owned, tissues)

    def attenuation(self, energies_kev: Any) -> Float[Tensor, "material energy"]:
        """Of the materials, in 1/mm at the energies in keV."""
        return self.tissues.attenuation(energies_kev, self.materials)

    def add_up(
        self, of_bodies: list[Float[Tensor, "view _ height width"]]
    ) -> Float[Tensor, "view material height width"]:
        """The path lengths of bodies through each material, as those of all bodies."""
        views, _, *shape = of_bodies[0].shape
        total = of_bodies[0].new_zeros(views, len(self.materials), *shape)
        for found, owned in zip(of_bodies, self.owned, strict=True):
            total = total.index_add(1, torch.tensor(owned, device=total.device), found)
        return total


def prepared_scene(scene: Scene, tissues: Tissues) -> PreparedScene:
    """The materials of a scene's bodies, kept with the scene unless a CT carries a gradient."""
    subjects = [body.subject for body in scene.bodies if isinstance(body, Body)]
    tensors = [part.data for one in subjects for part in (one.volume, one.mask) if part is not None]
    held: Held[PreparedScene] = vars(scene).setdefault("_materials", Held())
    prepared = held.get(tensors, (tissues,), lambda: PreparedScene.of(scene, tissues))
    return replace(prepared, tissues=tissues)  # whose densities may be others


@torch.no_grad()
def middle_of(scene: Scene, **placed: Any) -> Float[Tensor, " 3"]:
    """The mean of the middles of all bodies in the world, of the first view."""
    middles = []
    for body, pose in zip(scene.bodies, scene.poses(**placed).values(), strict=True):
        if isinstance(body, Body):
            own = torch.tensor(body.subject.volume.get_center())
        elif isinstance(body, Solid):
            own = body.ball[0]
        else:
            continue
        matrix = pose.matrix[0].cpu().double()
        middles.append(matrix[:3, :3] @ own.cpu().double() + matrix[:3, 3])
    return torch.stack(middles).mean(0)


def _family(bodies: dict[int, Body], tissues: Tissues, device: torch.device | str | None) -> dict[int, PreparedTissues]:
    """The bodies of one CT, cut out of one another."""
    first = next(iter(bodies.values()))
    subject = first.subject
    hu, region, dtype = look_at(subject, tissues, _dtype_of(subject.volume.data))
    all_of_it = tissues.volumes(hu, region=region, dtype=dtype)
    own = {place: body.chosen for place, body in bodies.items() if body.labels is not None}
    whole = bodies.keys() - own.keys()
    left = all_of_it if whole else torch.zeros_like(all_of_it)
    if whole and own:
        own, filled = _cut(hu.to(dtype), own, first.mask, subject.volume.spacing)
        taken = torch.stack(list(own.values())).any(0)
        kept = None if region is None else region.masked_fill(taken, TISSUE)
        left = tissues.volumes(torch.where(taken, filled, hu.to(dtype)), region=kept, dtype=dtype)
    prepared = {}
    for place in bodies:
        values, corner = left, (0, 0, 0)
        if place in own:
            x, y, z = _box_about(own[place])
            corner = x.start, y.start, z.start
            values = torch.where(own[place][x, y, z], all_of_it[:, x, y, z] - left[:, x, y, z], 0.0)
        prepared[place] = keep_present(values, subject.volume.world_to_voxel, corner, tissues, device)
    return prepared


def _dtype_of(hu: Tensor) -> torch.dtype:
    return torch.float64 if hu.dtype == torch.float64 else torch.float32


def _cut(
    hu: Float[Tensor, "x y z"],
    chosen: dict[int, Shaped[Tensor, "x y z"]],
    mask: Shaped[Tensor, "x y z"],
    spacing: tuple[float, float, float],
) -> tuple[dict[int, Shaped[Tensor, "x y z"]], Float[Tensor, "x y z"]]:
    """The voxels that go with each structure, and the HU that fill the holes."""
    relative = 1 + hu.detach().clamp(min=AIR_HU) / 1000  # what fills holes is a mixture by volume
    rest, excesses = take_out(relative, list(chosen.values()), spacing, claimed=mask != 0)
    own = {}
    for place, excess in zip(chosen, excesses, strict=True):
        own[place] = torch.zeros_like(mask, dtype=torch.bool)
        own[place][excess.box] = excess.values != 0
    return own, 1000 * (rest - 1)


def _box_about(chosen: Shaped[Tensor, "x y z"]) -> tuple[slice, slice, slice]:
    where = chosen.nonzero()
    first, last = where.amin(0).tolist(), where.amax(0).tolist()
    x, y, z = (slice(begin, end + 1) for begin, end in zip(first, last, strict=True))
    return x, y, z
