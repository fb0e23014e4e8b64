"""What X-rays show and what of it moves, as a registration takes it: of a CT, its structures, or a scene."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from raygrad.march import Bodies, Prepared
from raygrad.registration._prepared import PreparedXRay
from raygrad.registration._problem.bodies import Structures, middle, reach, separate_bodies, whole_body
from raygrad.registration._problem.linkage import Linkage
from raygrad.registration._problem.volumes import Volumes
from raygrad.types import Matrices


@dataclass(frozen=True, eq=False)
class Model:
    """Bodies, and how they move.

    Attributes:
        names: of the bodies.
        bodies: of every view, all of them.
        linkage: which of them move, and with what.
        pivots: the point that each turns about, (body, 3), in mm of its own frame, float64.
        radii: mm that a radian moves a typical point of each by.
        main: the number of the body that poses are of.
        at_rest: (body, 4, 4) from the world to the frame of each where it is at the start; None where all are the same.
    """

    names: tuple[str, ...]
    bodies: tuple[Bodies, ...]
    linkage: Linkage
    pivots: Float[Tensor, "body 3"]
    radii: float | Float[Tensor, " body"]
    main: int = 0
    at_rest: Matrices | None = None

    def motions(self, whole: Float[Tensor, "batch _ 4 4"]) -> Float[Tensor, "batch body 4 4"]:
        """The bodies' motions where there was a motion of the whole (batch, 1, 4, 4) so far, or all of them."""
        return whole if whole.shape[1] == len(self.names) else whole.repeat(1, len(self.names), 1, 1)


@dataclass(frozen=True, eq=False)
class Models:
    """What moves together at first, and each by itself later.

    Attributes:
        together: at the coarse stages.
        apart: from the first stage on whose bodies move apart; None if there is nothing but the whole.
        centre: of the main body, in mm of the world, in float64.
        radius: root mean square distance of the main body's points from there in mm.
    """

    together: Model
    apart: Model | None
    centre: Float[Tensor, " 3"]
    radius: float


def models_of_cts(xrays: Sequence[PreparedXRay], structures: Structures) -> Models:
    """A CT as a whole, and its structures.

    Raises:
        ValueError: structures that cannot be cut out; an X-ray without a CT.
    """
    drrs = [xray.drr for xray in xrays if xray.drr is not None]
    if len(drrs) < len(xrays):
        raise ValueError("Expected X-rays with a DRR each, or the models of what they show. Got neither.")
    body = whole_body(drrs[0])
    centre, radius = middle(body).to(xrays[0].init.matrix), reach(body)
    together = _of_volumes(("ct",), [xray.whole for xray in xrays], centre, [], radius)
    if not structures:
        return Models(together, None, centre, radius)
    parts = [separate_bodies(drr, structures) for drr in drrs]
    volumes = [Volumes(part) for part in parts]
    return Models(together, _of_volumes(("", *structures), volumes, centre, parts[0][1:], radius), centre, radius)


def _of_volumes(
    names: tuple[str, ...],
    bodies: Sequence[Bodies],
    centre: Float[Tensor, " 3"],
    others: Sequence[Prepared],
    radius: float,
) -> Model:
    pivots = torch.stack([centre, *(middle(part).to(centre) for part in others)])
    return Model(names, tuple(bodies), Linkage.free(len(names)), pivots, radius)
