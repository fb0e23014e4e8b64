"""What X-rays show and what of it moves, as a registration takes it: of a CT, its structures, or a scene."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from raygrad.march import Bodies, Prepared
from raygrad.pose import RigidTransform
from raygrad.registration._prepared import PreparedXRay
from raygrad.registration._problem.bodies import Structures, middle, reach, separate_bodies, whole_body
from raygrad.registration._problem.ct import AS_GIVEN, CTs
from raygrad.registration._problem.linkage import Linkage
from raygrad.registration._problem.tissue_cts import TissueCTs
from raygrad.types import Matrices

RIGID = "what is rigid"


@dataclass(frozen=True, eq=False)
class Reported:
    """What is told of a body beside its poses.

    Attributes:
        unseen: twists in its own frame that no image shows (twist, 6), and that were left out.
        values_of: from its pose in its parent's frame, or in the world, to the values of its joint; None without one.
        asked: whether it was to move.
    """

    unseen: Float[Tensor, "twist 6"] = field(default_factory=lambda: torch.zeros(0, 6, dtype=torch.float64))
    values_of: Callable[[RigidTransform], Tensor] | None = None
    asked: bool = True


@dataclass(frozen=True, eq=False)
class Model:
    """Bodies, and how they move.

    Attributes:
        names: of the bodies; "" for one that is not told of by itself.
        bodies: of every view, all of them.
        linkage: which of them move, and with what.
        pivots: the point that each turns about, (body, 3), in mm of its own frame, float64.
        radii: mm that a radian moves a typical point of each by.
        main: the number of the body that poses are of.
        at_rest: (body, 4, 4) from the world to the frame of each where it is at the start; None where all are the same.
        still: which of them stay where they are while the others move as one.
        reported: what is told of each.
        subpixels: rays along each side of a coarse pixel, at most: 1 for what can be averaged beforehand.
    """

    names: tuple[str, ...]
    bodies: tuple[Bodies, ...]
    linkage: Linkage
    pivots: Float[Tensor, "body 3"]
    radii: float | Float[Tensor, " body"]
    main: int = 0
    at_rest: Matrices | None = None
    still: tuple[bool, ...] = ()
    reported: tuple[Reported, ...] = ()
    subpixels: int = 1

    def radius_of(self, body: int) -> float:
        """The radius of a body."""
        return float(self.radii[body] if isinstance(self.radii, Tensor) else self.radii)

    def on(self, device: torch.device, dtype: torch.dtype) -> "Model":
        """With ways, pivots and frames on a device."""
        at_rest = None if self.at_rest is None else self.at_rest.to(device, dtype)
        radii = self.radii.to(device, dtype) if isinstance(self.radii, Tensor) else self.radii
        linkage = self.linkage.on(device, dtype)
        return replace(self, linkage=linkage, pivots=self.pivots.to(device, dtype), radii=radii, at_rest=at_rest)

    def begun(self, motions: Matrices) -> Float[Tensor, "batch body 4 4"]:
        """The bodies' motions where the views begin at some motions of what moves, as one."""
        if self.at_rest is None:
            return motions[:, None].repeat(1, len(self.names), 1, 1)
        at_rest = self.at_rest.to(motions)
        stays = torch.tensor(self.still, device=motions.device)[:, None, None]
        return torch.where(stays, at_rest, at_rest @ motions[:, None])


@dataclass(frozen=True, eq=False)
class Models:
    """What moves together at first, and each by itself later.

    Attributes:
        together: at the coarse stages.
        apart: from the first stage on whose bodies move apart; None if there is nothing but the whole.
        centre: of the main body, in mm of the world, in float64.
        radius: root mean square distance of the main body's points from there in mm.
        is_rigid: whether what moves together may be moved in any way.
        is_solid: whether nothing but solids is seen: of metal more often than not, and of known materials.
    """

    together: Model
    apart: Model | None
    centre: Float[Tensor, " 3"]
    radius: float
    is_rigid: bool = True
    is_solid: bool = False

    def on(self, device: torch.device, dtype: torch.dtype) -> "Models":
        """With centres, pivots and frames on a device."""
        together, apart = (model and model.on(device, dtype) for model in (self.together, self.apart))
        assert together is not None
        return replace(self, together=together, apart=apart, centre=self.centre.to(device, dtype))


def models_of_cts(
    xrays: Sequence[PreparedXRay],
    structures: Structures,
    rigid: Sequence[int] = (),
    cts: CTs | TissueCTs | None = None,
    form: str = AS_GIVEN,
) -> Models:
    """A CT as a whole, and its structures; in one of several forms, if there are any.

    Args:
        xrays: with a DRR each.
        structures: names and labels of what moves by itself.
        rigid: labels of what is the main body, about which all the rest moves as one; none for that rest itself.

    Raises:
        ValueError: structures that cannot be cut out; an X-ray without a CT.
    """
    drrs = [xray.drr for xray in xrays if xray.drr is not None]
    if len(drrs) < len(xrays):
        raise ValueError("Expected X-rays with a DRR each, or the models of what they show. Got neither.")
    body = whole_body(drrs[0])
    centre, radius = middle(body).to(xrays[0].init.matrix), reach(body)
    whole: Sequence[Any] = [xray.whole for xray in xrays] if cts is None else cts.volumes(form)
    together = _of_volumes(("",), whole, centre, [], radius)
    parted = {RIGID: rigid, **structures} if rigid else structures
    if not parted:
        return Models(together, None, centre, radius)
    densities = [one.parts[0].values for one in whole]
    parts = [separate_bodies(drr, parted, density) for drr, density in zip(drrs, densities, strict=True)]
    volumes = [one.parted(part) for one, part in zip(whole, parts, strict=True)]
    names = ("", *("" if name == RIGID else name for name in parted))
    apart = _of_volumes(names, volumes, centre, parts[0][1:], radius)
    return Models(together, replace(apart, main=1) if rigid else apart, centre, radius)


def _of_volumes(
    names: tuple[str, ...],
    bodies: Sequence[Bodies],
    centre: Float[Tensor, " 3"],
    others: Sequence[Prepared],
    radius: float,
) -> Model:
    pivots = torch.stack([centre, *(middle(part).to(centre) for part in others)])
    return Model(names, tuple(bodies), Linkage.free(len(names)), pivots, radius)
