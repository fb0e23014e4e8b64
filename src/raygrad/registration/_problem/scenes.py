"""From a scene, and what of it moves, to the models of a registration."""

from collections.abc import Callable, Iterable

import torch
from jaxtyping import Float
from torch import Tensor

from raygrad.march import Prepared
from raygrad.pose import RigidTransform
from raygrad.registration._problem.bodies import middle, reach
from raygrad.registration._problem.linkage import Linkage, Ways, seen_part, way_of
from raygrad.registration._problem.model import Model, Models, Reported
from raygrad.scene import Fixed, Free, Joint, PreparedBodies, Scene

TYPICAL = 0.6
"""Points of a solid are about so many times the radius of the ball around it from its middle."""
NO_WAY = torch.zeros(6, 0, dtype=torch.float64)


def bodies_that_move(scene: Scene, free: Iterable[str] | str | None) -> tuple[int, ...]:
    """The numbers of the bodies that are free, in the scene's order; by default all that move freely in the world.

    Raises:
        ValueError: there is none, or one that cannot move.
    """
    roots = [
        name
        for name, parent in zip(scene.names, scene.parents, strict=True)
        if parent is None and isinstance(scene.joint(name), Free)
    ]
    wanted = roots if free is None else [free] if isinstance(free, str) else list(free)
    known = ", ".join(scene.names)
    if unknown := [name for name in wanted if name not in scene.names]:
        raise ValueError(f"Expected free bodies among {known}. Got {', '.join(map(repr, unknown))}.")
    if fixed := [name for name in wanted if isinstance(scene.joint(name), Fixed)]:
        raise ValueError(f"Expected free bodies that can move. Got {', '.join(map(repr, fixed))} with a Fixed joint.")
    if not wanted:
        raise ValueError(f"Expected at least one body to move among {known}. Got none: name some in free=[...].")
    return tuple(place for place, name in enumerate(scene.names) if name in wanted)


def models_of_scene(scene: Scene, free: tuple[int, ...], views: int) -> Models:
    """What moves, and how.

    Args:
        scene: of bodies.
        free: the numbers of those that move; the others stay where they are in the world, or to their parents.
        views: the number of X-rays.
    """
    prepared, names, parents = scene.prepared, scene.names, scene.parents
    pivots, radii = zip(*(_middle_and_reach(part) for part in prepared.parts), strict=True)
    frames = [scene.poses()[name].inverse().matrix[0].detach().double().cpu() for name in names]
    moves = [_way_of_body(scene, place, free, pivots[place], radii[place]) for place in range(len(names))]
    ways, reported = zip(*moves, strict=True)

    def above(place: int) -> list[int]:
        parent = parents[place]
        return [] if parent is None else [parent, *above(parent)]

    # What moves in any way, whatever else does; these and all that hangs on them move as one at first.
    loose = [p for p in free if isinstance(scene.joint(names[p]), Free) and not set(above(p)) & set(free)]
    main = max(loose or free, key=lambda place: radii[place])
    along = [bool({place, *above(place)} & set(loose)) for place in range(len(names))]

    def model(linkage: Linkage) -> Model:
        return Model(
            names, (prepared,) * views, linkage, torch.stack(pivots), torch.tensor(radii, dtype=torch.float64), main,
            torch.stack(frames), tuple(not moves for moves in along), reported, _subpixels(prepared),
        )  # fmt: skip

    apart, solid = model(Linkage(parents, ways)), not prepared.volumes
    centre = torch.linalg.inv(frames[main])[:3, :3] @ pivots[main] + torch.linalg.inv(frames[main])[:3, 3]
    if free == (main,):
        return Models(apart, None, centre, radii[main], bool(loose), solid)
    if not loose:
        return Models(apart, None, centre, radii[main], False, solid)
    one = Linkage(
        tuple(main if moves and place != main else None for place, moves in enumerate(along)),
        tuple(None if place == main else NO_WAY for place in range(len(names))),
    )
    return Models(model(one), apart, centre, radii[main], True, solid)


def _subpixels(prepared: PreparedBodies) -> int:
    """Rays along each side of a coarse pixel: edges stay sharp however coarse the image is, and wires thin.

    Measured on a stem, a wire and beads in two views of 200 x 200 pixels, from 20 mm and 17 degrees on every axis: of
    10 starts of the stem 6 converged with one ray a pixel, one was lost and 3 ended as ambiguous; with 2 x 2 none was
    lost and 9 converged, in two thirds of the time. 4 x 4 help thin wires, and cost too much where there are volumes.
    """
    if not prepared.solids:
        return 1
    return 2 if prepared.volumes else 4


def _middle_and_reach(part: object) -> tuple[Float[Tensor, " 3"], float]:
    if isinstance(part, Prepared):
        return middle(part), reach(part)
    centre, radius = part.ball  # type: ignore[attr-defined]
    return centre.detach().double().cpu(), TYPICAL * float(radius)


def _way_of_body(
    scene: Scene, place: int, free: tuple[int, ...], pivot: Float[Tensor, " 3"], radius: float
) -> tuple[Ways | None, Reported]:
    """The twists that a body moves by, and what is told of it."""
    name, body = scene.names[place], scene.bodies[place]
    joint, rest = scene.joint(name), scene.rest(name)
    values = None if isinstance(joint, Free | Fixed) else _values_of(joint, rest)
    if place not in free:
        return NO_WAY, Reported(asked=False, values_of=values)
    way: Ways | None = None if isinstance(joint, Free) else way_of(joint.twists_of_child(rest), pivot)
    # What carries others is seen by them.
    unseen = body.unseen if place not in scene.parents else body.unseen[:0]
    if len(unseen):
        whole = way_of(torch.eye(6, dtype=torch.float64), pivot) if way is None else way
        left, _ = seen_part(whole, way_of(unseen, pivot), radius)
        if left.shape[1] == whole.shape[1]:  # its joint does not make such motions
            unseen = unseen[:0]
        else:
            way = left
    return way, Reported(unseen, values)


def _values_of(joint: Joint, rest: RigidTransform) -> Callable[[RigidTransform], Tensor]:
    before = rest.to(torch.float64).inverse()
    return lambda child_to_parent: joint.values_of(before.to(child_to_parent.matrix.device).compose(child_to_parent))
