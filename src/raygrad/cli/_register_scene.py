"""`raygrad register --mesh`: a CT, structures and implants found in one, each with its own pose."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import roma
import torch

from raygrad import registration
from raygrad._errors import InputError
from raygrad.cli._parsing import parse_numbers
from raygrad.cli._register_inputs import Task
from raygrad.data import Subject
from raygrad.formats import read_body_poses
from raygrad.geometry import ConeViews
from raygrad.pose import RigidTransform
from raygrad.registration import BodyResult, BodyStatus, RegistrationResult
from raygrad.scene import Body, Mesh, Placed, Scene, SceneWarning, Solid, attenuation_of
from raygrad.types import Images

CT = "ct"
"""The name of the CT in a scene."""
STILL = RigidTransform(torch.eye(4, dtype=torch.float64))


@dataclass(frozen=True)
class MeshFile:
    """What was typed of one mesh.

    Attributes:
        name: of the body.
        path: of the file.
        material: of `raygrad.scene.MATERIALS`, or its attenuation in 1/mm.
        start: where in the CT's world it is looked for; None for where its own numbers say, in the CT file's world.
        middle: where in the CT file's world the middle of its box is to begin, in mm, turned as its numbers say.
    """

    name: str
    path: Path
    material: str | float
    start: RigidTransform | None = None
    middle: tuple[float, ...] | None = None


def parse_meshes(texts: Sequence[str] | None, starts: Sequence[str] | None) -> tuple[MeshFile, ...]:
    """Meshes of texts such as "cup=cup.stl:titanium", and their starts: "cup=found/pose.json" or "cup=25,-40,20".

    Raises:
        InputError: what is no such text, names twice, an unknown material, or starts of other meshes.
        FileNotFoundError: a file of a start is not there.
    """
    found: dict[str, MeshFile] = {}
    for text in texts or ():
        name, _, rest = text.partition("=")
        path, _, material = rest.rpartition(":")
        if not name or not path or not material:
            raise InputError(f"--mesh takes a name, a file and a material, such as cup=cup.stl:titanium; not '{text}'.")
        if name in found or name == CT:
            raise InputError(f"--mesh takes each name once, and not '{CT}'; not '{name}'.")
        if not Path(path).is_file():
            raise InputError(f"There is no file '{path}'.")
        try:
            of = float(material)
        except ValueError:
            found[name] = MeshFile(name, Path(path), material)
        else:
            found[name] = MeshFile(name, Path(path), of)
        try:
            attenuation_of(found[name].material)
        except ValueError as error:
            raise InputError(f"--mesh {text}: {error}") from error
    for text in starts or ():
        name, _, file = text.partition("=")
        if name not in found or not file:
            raise InputError(
                "--at takes the name of a --mesh and a pose file or a point in mm, such as cup=pose.json or "
                f"cup=25,-40,20; not '{text}'."
            )
        if "," in file and not Path(file).is_file():
            middle = tuple(parse_numbers(file, f"--at {name}="))
            if len(middle) != 3:
                raise InputError(f"--at takes three numbers in mm, such as cup=25,-40,20; not '{text}'.")
            found[name] = replace(found[name], middle=middle)
            continue
        poses = read_body_poses(file)
        if name not in poses:
            there = f"has {', '.join(poses)}" if poses else "has no bodies"
            raise InputError(f"--at {text}: '{file}' {there}.")
        found[name] = replace(found[name], start=poses[name])
    return tuple(found.values())


def scene_of(subject: Subject, structures: Mapping[str, Sequence[int]], meshes: Sequence[MeshFile]) -> Scene:
    """The CT, its structures and the meshes, each where it is before anything is found; errors of `bodies_beside`."""
    return Scene([Body(subject, name=CT), *bodies_beside(subject, structures, meshes)])


def bodies_beside(
    subject: Subject, structures: Mapping[str, Sequence[int]], meshes: Sequence[MeshFile]
) -> list[Placed]:
    """A CT's structures and the meshes in it, each where it is before anything is found.

    Raises:
        InputError: a mesh that is none, or a name twice.
    """
    in_file = STILL if subject.file_to_world is None else RigidTransform(torch.from_numpy(subject.file_to_world))
    if twice := [mesh.name for mesh in meshes if mesh.name in structures] + [CT] * (CT in structures):
        raise InputError(f"Expected meshes and structures of different names, none of them '{CT}'. Got '{twice[0]}'.")
    bodies: list[Placed] = [Body(subject, tuple(labels), name=name) for name, labels in structures.items()]
    for mesh in meshes:
        pose = in_file if mesh.start is None else mesh.start
        solid = Mesh(mesh.path, material=mesh.material, name=mesh.name, pose=pose)
        if mesh.middle is not None:
            shift = torch.eye(4, dtype=torch.float64)
            shift[:3, 3] = torch.tensor(mesh.middle, dtype=torch.float64) - solid.ball[0].double()
            solid = replace(solid, pose=RigidTransform(shift).compose(in_file))
        bodies.append(solid)
    return bodies


def register_scene(
    scene: Scene, tasks: Sequence[Task], drrs: Sequence[Any], inits: Sequence[RigidTransform], **options: Any
) -> RegistrationResult:
    """Find all bodies of a scene; what is told of each is in the CT's world.

    Args:
        scene: of `scene_of`.
        tasks: the X-rays.
        drrs: their cameras.
        inits: where to start.
        options: of `raygrad.registration.register`.
    """
    options.pop("structures", None)
    views = [
        ConeViews(drr.detector.on(torch.device("cpu")), pose.to(torch.float64))
        for drr, pose in zip(drrs, inits, strict=True)
    ]
    result = registration.register([task.image for task in tasks], views, scene, free=scene.names, **options)
    ct = result.bodies[CT]
    bodies = {name: replace(body, body_to_world=body.relative_to(ct)) for name, body in result.bodies.items()}
    return replace(result, poses=ct.poses, uncertainty=ct.uncertainty, bodies=bodies)


def pictures_of(
    scene: Scene, drrs: Sequence[Any], inits: Sequence[RigidTransform], result: RegistrationResult
) -> list[tuple[Images, Images]]:
    """What each view shows of the scene at the start, and where the best start ended."""
    best, pictures = result.best, []
    moved = {name: RigidTransform(body.body_to_world[best]) for name, body in result.bodies.items()}
    for number, (drr, init) in enumerate(zip(drrs, inits, strict=True)):
        found = result.intrinsics[number] if result.intrinsics else {}
        lengths = {name: float(value[best]) for name, value in found.items()}
        detector = drr.detector.on(torch.device("cpu"))
        after = detector.with_intrinsics(detector.intrinsics.replaced(**lengths))
        pose = RigidTransform(result.poses[number][best].double().cpu())
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore", SceneWarning)  # that a body is not seen is said by its status
            before = scene.render(ConeViews(detector, init.to(torch.float64)))
            pictures.append((before.float(), scene.render(ConeViews(after, pose), poses=moved).float()))
    return pictures


def say_where(scene: Scene, result: RegistrationResult, say: Callable[[str], None]) -> bool:
    """Say how far each body but the CT is from where it began, in the CT; return whether all can be trusted."""
    begun, sure = scene.poses(), True
    for name, body in result.bodies.items():
        status = body.status[result.best]
        sure &= status is BodyStatus.CONVERGED
        if status is BodyStatus.NOT_SEEN:
            say(f"{name}: its X-ray is nowhere in the picture from where it began. Say where it is: --at {name}=x,y,z")
        elif name != CT:
            shift, turn = _way(scene, name, begun[name], body, result.best)
            say(f"{name}: {shift:.2f} mm and {turn:.2f} degrees from where it began in the CT")
    return sure


def _way(scene: Scene, name: str, begun: RigidTransform, body: BodyResult, start: int) -> tuple[float, float]:
    one = scene.bodies[scene.place_of(name)]
    middle = torch.zeros(3, dtype=torch.float64)
    if isinstance(one, Body):
        volume = one.subject.volume
        middle = torch.nonzero(one.chosen).double().mean(dim=0)
        middle = volume.voxel_to_world[:3, :3] @ middle + volume.voxel_to_world[:3, 3]
    elif isinstance(one, Solid):
        middle = one.ball[0].double()
    found = RigidTransform(body.body_to_world[start].double().cpu())
    begun = begun.to(torch.float64)
    shift = (found(middle[None, None]) - begun(middle[None, None])).norm().item()
    turn = roma.rotmat_geodesic_distance(found.rotation[0], begun.rotation[0])
    return shift, torch.rad2deg(turn).item()
