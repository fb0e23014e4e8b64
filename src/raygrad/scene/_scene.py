"""Scenes: bones, implants, instruments, each with its own pose, in one image."""

import warnings
from collections.abc import Iterable, Sequence
from copy import copy
from dataclasses import dataclass, field
from functools import cached_property

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from raygrad.geometry import Views
from raygrad.kernels import can_read
from raygrad.march import Derivatives, Marching, Prepared
from raygrad.pose import RigidTransform
from raygrad.scene._body import Body, prepare_volumes
from raygrad.scene._crossings import Rays, whole_pieces
from raygrad.scene._joints import Free, Joint
from raygrad.scene._placement import Joints, Poses, at_rest, names_of, parents_of, placed
from raygrad.scene._prepared import PreparedBodies
from raygrad.scene._solid import Placed, SceneWarning, Solid
from raygrad.types import Images

DEFAULT = Marching()


@dataclass(frozen=True, eq=False)
class Scene:
    """Several bodies in one X-ray.

    A pixel is the sum over bodies of what each takes from the ray. Where solids overlap, the one that is later in the
    list displaces the others; solids displace volumes wherever these are in the list; volumes add up.

    Args:
        bodies: `Body`, `Mesh`, `Capsule`, `Cylinder`, `Cone` and `Spheres`.
        energy_kev: the photon energy of the image, from 20 to 150, for materials by name and for HU.
        displace: False to add all bodies up instead.
        device: where images are made and volumes are; by default where the CTs are, without any where the views are.

    Attributes:
        names: of the bodies: those that they were given, or made of their kind: "ct", "mesh", "mesh 2".
        parents: the place of each body's parent in the list, or None.
        prepared: the bodies ready to be marched, as `raygrad.march.Bodies`.

    Raises:
        ValueError: no bodies, a name twice, a parent that is not there, parents in a circle, or a label in two bodies.
        TypeError: something that is no body.
    """

    bodies: Sequence[Placed]
    energy_kev: float | int = 60.0
    displace: bool = True
    device: torch.device | str | None = None
    names: tuple[str, ...] = field(init=False)
    parents: tuple[int | None, ...] = field(init=False)

    def __post_init__(self) -> None:
        bodies = tuple(self.bodies) if isinstance(self.bodies, Iterable) else (self.bodies,)
        wrong = [type(body).__name__ for body in bodies if not isinstance(body, (Body, Solid))]
        if wrong:
            raise TypeError(f"Expected bodies such as Body, Mesh or Capsule. Got {', '.join(wrong)}.")
        if not bodies:
            raise ValueError("Expected at least one body in a scene. Got none.")
        if not 20 <= self.energy_kev <= 150:
            raise ValueError(f"Expected energy_kev from 20 to 150. Got {self.energy_kev}.")
        object.__setattr__(self, "bodies", bodies)
        object.__setattr__(self, "names", names_of(bodies))
        object.__setattr__(self, "parents", parents_of(bodies, self.names))
        _ = self.prepared

    @property
    def prepared(self) -> PreparedBodies:
        """The bodies ready to be marched; made once, but for volumes that carry a gradient."""
        return self._prepared if self._is_constant else self._prepare()

    @cached_property
    def _prepared(self) -> PreparedBodies:
        return self._prepare()

    @property
    def _is_constant(self) -> bool:
        subjects = [body.subject for body in self.bodies if isinstance(body, Body)]
        return not any(one.volume.data.requires_grad or one.density.data.requires_grad for one in subjects)

    def _prepare(self) -> PreparedBodies:
        bodies = [body for body in self.bodies if isinstance(body, Body)]
        volumes = iter(prepare_volumes(bodies, self.energy_kev, self.device))
        parts: list[Prepared | Solid] = [body if isinstance(body, Solid) else next(volumes) for body in self.bodies]
        return PreparedBodies(parts, self.energy_kev, self.displace, self.device)

    def with_poses(self, poses: Poses) -> "Scene":
        """The same bodies, some of them elsewhere; what is prepared of them is theirs together.

        Args:
            poses: body_to_world by name, one each.

        Raises:
            ValueError: a name that is no body's, or several poses.
            TypeError: something that is no pose.
        """
        for name in poses:
            self.place_of(name)
        bodies = [
            body.at(poses[name]) if name in poses else body for name, body in zip(self.names, self.bodies, strict=True)
        ]
        made = copy(self)
        object.__setattr__(made, "bodies", tuple(bodies))
        return made

    def joint(self, name: str) -> Joint:
        """The joint of a body: its own, or that of a body that moves freely."""
        joint = self.bodies[self.place_of(name)].joint
        return Free() if joint is None else joint

    def rest(self, name: str) -> RigidTransform:
        """The pose of a body in its parent's frame before it moves."""
        place = self.place_of(name)
        parent = self.parents[place]
        return at_rest(self.bodies[place], None if parent is None else self.bodies[parent])

    def place_of(self, name: str) -> int:
        """Where in the list a body is.

        Raises:
            ValueError: there is none of this name.
        """
        if name not in self.names:
            raise ValueError(f"Expected one of the bodies {', '.join(self.names)}. Got {name!r}.")
        return self.names.index(name)

    def poses(self, poses: Poses | None = None, joints: Joints | None = None) -> dict[str, RigidTransform]:
        """Where all bodies are, body_to_world, when some have moved; arguments as for `render`."""
        return {
            name: RigidTransform(torch.eye(4, dtype=torch.float64)) if pose is None else pose
            for name, pose in zip(self.names, self._placed(poses, joints), strict=True)
        }

    def render(
        self,
        views: Views,
        poses: Poses | None = None,
        joints: Joints | None = None,
        channels: bool = False,
        marching: Marching = DEFAULT,
    ) -> Images:
        """Render what each view sees, differentiable by views, poses, joints and all that bodies are made of.

        Args:
            views: from where.
            poses: where bodies are (body_to_world) in place of their own poses: one for all views, or one for each.
            joints: values of bodies' joints, (value) for all views or (view, value).
            channels: each body's part by itself; they add up to the image.
            marching: how rays are marched through volumes.

        Returns:
            Line integrals of attenuation (view, 1 or body, height, width): the exponent of Beer and Lambert's law. In
            the dtype of the volumes; without any, in that of the views.

        Raises:
            ValueError: a name that is no body's, poses or values of another number, or marching for maxima.

        Warns:
            SceneWarning: no ray meets a body.
        """
        prepared = self.prepared
        seen = self._seen(prepared, views, poses, joints)
        image = prepared.channels(seen, marching)
        self._say_what_is_missed(prepared, seen, list(image.unbind(1)))
        image = image if channels else image.sum(1)
        return image.reshape(len(views), -1, *views.image_shape)

    def render_with_jacobian(
        self,
        views: Views,
        poses: Poses | None = None,
        joints: Joints | None = None,
        marching: Marching = DEFAULT,
    ) -> tuple[Images, dict[str, Derivatives]]:
        """Render the image, and the derivatives of every pixel by the ends of its ray in the frame of each body.

        Returns:
            The image (view, 1, height, width), without a gradient, and by name what it changes by when a body's rays
            move in that body's frame: see `raygrad.march.Derivatives`. When all rays move, the changes add up.

        Arguments, errors and warnings are those of `render`.
        """
        prepared = self.prepared
        seen = self._seen(prepared, views, poses, joints)
        image, derivatives = prepared.march_with_jacobian(seen, marching)
        self._say_what_is_missed(prepared, seen, [one.by_ends for one in derivatives])
        return image.reshape(len(views), 1, *views.image_shape), dict(zip(self.names, derivatives, strict=True))

    def path_lengths(
        self,
        bodies: PreparedBodies,
        views: Views,
        poses: Poses | None = None,
        joints: Joints | None = None,
        marching: Marching = DEFAULT,
    ) -> list[Float[Tensor, "view _ height width"]]:
        """The mm of each body on the way to every pixel: see `PreparedBodies.path_lengths`.

        Args:
            bodies: those of this scene, which may have been prepared in another way: with a volume of each material.
            views, poses, joints, marching: as for `render`, whose errors and warnings are these.
        """
        seen = self._seen(bodies, views, poses, joints)
        found = bodies.path_lengths(seen, marching)
        self._say_what_is_missed(self.prepared, seen, found)
        return [one.unflatten(-1, views.image_shape) for one in found]

    def silhouettes(
        self, views: Views, poses: Poses | None = None, joints: Joints | None = None
    ) -> Bool[Tensor, "view body height width"]:
        """Which pixels' rays meet each body, whatever hides it: solids, and voxels that are not 0.

        Arguments and errors are those of `render`.
        """
        prepared = self.prepared
        every = self._seen(prepared, views, poses, joints)
        found = [prepared.silhouette(place, seen) for place, seen in enumerate(every)]
        return torch.stack(found, dim=1).reshape(len(views), -1, *views.image_shape)

    def depth(
        self, views: Views, poses: Poses | None = None, joints: Joints | None = None
    ) -> Float[Tensor, "view body height width"]:
        """How far from the source each ray first meets each solid, in mm: infinite where it does not, and for volumes.

        Arguments and errors are those of `render`.
        """
        prepared, found = self.prepared, []
        for part, seen in zip(prepared.parts, self._seen(prepared, views, poses, joints), strict=True):
            _, target = seen.rays()
            nothing = torch.full(target.shape[:2], torch.inf, dtype=target.dtype, device=target.device)
            found.append(_first(part, seen).to(target.dtype) if isinstance(part, Solid) else nothing)
        return torch.stack(found, dim=1).reshape(len(views), -1, *views.image_shape)

    def _placed(self, poses: Poses | None, joints: Joints | None) -> list[RigidTransform | None]:
        return placed(self.bodies, self.names, self.parents, poses or {}, joints or {})

    def _seen(self, prepared: PreparedBodies, views: Views, poses: Poses | None, joints: Joints | None) -> list[Views]:
        """The views in the frame of every body, where images are made."""
        if not isinstance(views, Views):
            raise TypeError(f"Expected views, such as ConeViews. Got {type(views).__name__}.")
        seen, device = [], prepared.device([views])
        views = views.to(device)
        for name, pose in zip(self.names, self._placed(poses, joints), strict=True):
            if pose is not None and len(pose) not in (1, len(views)):
                raise ValueError(f"Expected one pose of {name!r}, or {len(views)} for the views. Got {len(pose)}.")
            seen.append(views if pose is None else views.moved(pose.inverse().to(device)))
        return seen

    def _say_what_is_missed(self, prepared: PreparedBodies, seen: Sequence[Views], shown: Sequence[Tensor]) -> None:
        """Warn of bodies that no ray meets; on a GPU, where looking would wait for all that it has to do, of none.

        Args:
            prepared: the bodies.
            seen: the views in the frame of each.
            shown: numbers of each that are all 0 if no ray meets it.
        """
        if not can_read() or shown[0].device.type != "cpu":
            return
        blank = [place for place, numbers in enumerate(shown) if not bool(numbers.any())]
        missed = [self.names[place] for place in blank if not prepared.is_met(place, seen[place])]
        if missed:
            warnings.warn(f"No ray meets {', '.join(map(repr, missed))}.", SceneWarning, stacklevel=3)


@torch.no_grad()
def _first(solid: Solid, views: Views) -> Float[Tensor, "view ray"]:
    """How far from the source each ray first is in a solid, in mm; infinite where it never is."""
    rays = Rays.of(views)
    pieces = whole_pieces(solid.crossings(rays))
    first = torch.full(rays.shape, torch.inf, dtype=torch.float64, device=rays.target.device).flatten()
    first = first.scatter_reduce(0, pieces.row, pieces.start, "amin")
    length = torch.linalg.vector_norm(rays.target - rays.source, dim=-1)
    return first.reshape(length.shape) * length
