"""Names, parents and places of bodies: where each is, when some have moved."""

from collections.abc import Mapping, Sequence
from functools import reduce

import torch
from torch import Tensor

from raygrad.pose import RigidTransform
from raygrad.scene._joints import Free
from raygrad.scene._solid import Placed

Poses = Mapping[str, RigidTransform]
Joints = Mapping[str, Tensor | Sequence[float] | float]


def names_of(bodies: Sequence[Placed]) -> tuple[str, ...]:
    """The bodies' names; those without one are called by their kind, and numbered from the second on.

    Raises:
        ValueError: two have one name.
    """
    given = [body.name for body in bodies if body.name is not None]
    twice = sorted({name for name in given if given.count(name) > 1})
    if twice:
        raise ValueError(f"Expected bodies of different names. Got {', '.join(map(repr, twice))} several times.")
    names: list[str] = []
    for body in bodies:
        name, number = body.name or body.kind, 1
        while body.name is None and (name in names or name in given):
            number += 1
            name = f"{body.kind} {number}"
        names.append(name)
    return tuple(names)


def parents_of(bodies: Sequence[Placed], names: Sequence[str]) -> tuple[int | None, ...]:
    """The place of each body's parent in the scene; None for those that have none.

    Raises:
        ValueError: a parent is not in the scene, or bodies are parents of one another in a circle.
    """
    parents: list[int | None] = []
    for body, name in zip(bodies, names, strict=True):
        if body.parent is not None and body.parent not in names:
            raise ValueError(f"Expected the parent of {name!r} to be one of {', '.join(names)}. Got {body.parent!r}.")
        parents.append(None if body.parent is None else list(names).index(body.parent))
    for place in range(len(bodies)):
        seen: list[int] = []
        at: int | None = place
        while at is not None:
            if at in seen:
                circle = " -> ".join(names[one] for one in [*seen[seen.index(at) :], at])
                raise ValueError(f"Expected parents that lead to a body without one. Got a circle: {circle}.")
            seen.append(at)
            at = parents[at]
    return tuple(parents)


def placed(
    bodies: Sequence[Placed],
    names: Sequence[str],
    parents: Sequence[int | None],
    poses: Poses,
    joints: Joints,
) -> list[RigidTransform | None]:
    """Where every body is, body_to_world: one transform or one for each view; None where its frame is the world's.

    Args:
        bodies, names, parents: of the scene.
        poses: body_to_world of some, in place of their own.
        joints: values of the joints of some.

    Raises:
        ValueError: a name that is none, both a pose and joint values for one body, or another number of values.
        TypeError: a pose that is none.
    """
    for given, what in ((poses, "poses"), (joints, "joints")):
        unknown = [name for name in given if name not in names]
        if unknown:
            raise ValueError(f"Expected {what} of {', '.join(names)}. Got {', '.join(map(repr, unknown))}.")
    wrong = [name for name, pose in poses.items() if not isinstance(pose, RigidTransform)]
    if wrong:
        raise TypeError(f"Expected poses as RigidTransforms. Got {type(poses[wrong[0]]).__name__} of {wrong[0]!r}.")
    both = sorted(set(poses) & set(joints))
    if both:
        raise ValueError(f"Expected a pose or values of the joint. Got both for {', '.join(map(repr, both))}.")
    where: dict[int, RigidTransform | None] = {}
    moved: dict[int, bool] = {}

    def locate(place: int) -> None:
        """Parents first."""
        if place in where:
            return
        body, name, parent = bodies[place], names[place], parents[place]
        if parent is not None:
            locate(parent)
        carried = parent is not None and moved[parent]
        moved[place] = carried or name in poses or name in joints
        if name in poses:
            where[place] = poses[name]
        elif not moved[place]:
            where[place] = body.pose
        else:
            steps = [] if body.pose is None else [body.pose]
            if parent is not None and (pose := bodies[parent].pose) is not None:
                steps.append(pose.inverse())
            if name in joints:
                steps.append((Free() if body.joint is None else body.joint).motion(joints[name]))
            if parent is not None and (moved_to := where[parent]) is not None:
                steps.append(moved_to)
            # The first is applied first.
            where[place] = reduce(RigidTransform.compose, steps) if steps else None

    for place in range(len(bodies)):
        locate(place)
    return [where[place] for place in range(len(bodies))]


def at_rest(body: Placed, parent: Placed | None) -> RigidTransform:
    """The pose of a body in its parent's frame before anything moves: `rest` in child_to_world."""
    steps = [RigidTransform(torch.eye(4, dtype=torch.float64))] if body.pose is None else [body.pose]
    if parent is not None and parent.pose is not None:
        steps.append(parent.pose.inverse())
    return reduce(RigidTransform.compose, steps)
