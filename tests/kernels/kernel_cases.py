"""The cases that every operator must pass: one list of scenes, from ordinary to degenerate."""

import warnings
from collections.abc import Iterable
from dataclasses import dataclass, fields
from itertools import product

import pytest
import torch
from torch import Tensor

from raygrad.kernels import GPU_DEVICES, available_backends, project

RENDERERS = ("siddon", "joseph", "trilinear")
GPU = next((device for device in GPU_DEVICES if getattr(torch, device).is_available()), None)
"""The device that the Triton kernels are compiled for; None where they are interpreted on the CPU."""
BACKENDS = [
    pytest.param(backend, marks=pytest.mark.skipif(not usable, reason=sentence))
    for backend, (usable, sentence) in available_backends().items()
]
FAST_BACKENDS = [backend for backend in BACKENDS if backend.values != ("reference",)]
BACKENDS_IN_TIME = [
    pytest.param(*backend.values, marks=[*backend.marks, pytest.mark.slow])
    if backend.values == ("gpu",) and GPU is None
    else backend
    for backend in BACKENDS
]
"""The backends for tests of many launches, for which interpreted Triton has time under `-m slow` only."""
REPRESENTATIVE = {
    "oblique cone, mixed main axes",
    "rays in all directions",
    "both ends inside",
    "batch of volumes",
    "labels, ends inside",
}
"""Scenes that between them take every path through the kernels: interpreted, Triton has no time for all."""
FEW_POINTS = 12
"""Samples for Triton's interpreter. Odd numbers put one in the middle of the volume, just between two labels."""

needs_extension = pytest.mark.skipif(not available_backends()["cpu"][0], reason=available_backends()["cpu"][1])
needs_gpu_kernels = pytest.mark.skipif(not available_backends()["gpu"][0], reason=available_backends()["gpu"][1])


@dataclass(frozen=True)
class Scene:
    """A volume, the rays through it, and the map between their coordinates, in float64."""

    volume: Tensor
    source: Tensor
    target: Tensor
    world_to_voxel: Tensor
    image_width: int | None = None
    labels: Tensor | None = None

    @property
    def rays(self) -> tuple[Tensor, Tensor, Tensor]:
        return self.source, self.target, self.world_to_voxel

    def on(self, backend: str) -> "Scene":
        """The scene on the device that a backend works on."""
        device = device_of(backend)
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return Scene(**{name: v.to(device) if isinstance(v, Tensor) else v for name, v in values.items()})

    def to(self, dtype: torch.dtype) -> "Scene":
        """The scene with volume and rays rounded to `dtype`; the affine stays as it is."""
        ends = (self.source.to(dtype), self.target.to(dtype))
        return Scene(self.volume.to(dtype), *ends, self.world_to_voxel, self.image_width, self.labels)


def device_of(backend: str) -> str:
    """Where tensors must be for a backend."""
    return GPU or "cpu" if backend == "gpu" else "cpu"


def on_fast_backends(names: Iterable[str], all_interpreted: bool = False) -> list:
    """Parameters (backend, scene): the interpreter gets the representative scenes, and the others under `-m slow`."""
    parameters = []
    for backend, name in product(FAST_BACKENDS, names):
        interpreted = backend.values == ("gpu",) and GPU is None
        slow = interpreted and not all_interpreted and name not in REPRESENTATIVE
        marks = [*backend.marks, pytest.mark.slow] if slow else backend.marks
        parameters.append(pytest.param(*backend.values, name, marks=marks))
    return parameters


def options(scene: Scene, renderer: str, backend: str = "auto", **more) -> dict:
    """What `project` is told about a scene."""
    return {
        "renderer": renderer,
        "n_points": FEW_POINTS if backend == "gpu" else 36,
        "labels": scene.labels,
        "image_width": scene.image_width,
        "backend": backend,
        **more,
    }


def random_like(image: Tensor, seed: int = 7) -> Tensor:
    values = torch.rand(image.shape, generator=torch.Generator().manual_seed(seed), dtype=image.dtype) - 0.5
    return values.to(image.device)


def gradients(scene: Scene, **settings) -> tuple[Tensor, ...]:
    """The image, and the gradients of volume, source and target for a random cotangent; on the CPU."""
    leaves = [t.clone().requires_grad_() for t in (scene.volume, scene.source, scene.target)]
    image = project(*leaves, scene.world_to_voxel, **settings)
    found = torch.autograd.grad(image, leaves, random_like(image), materialize_grads=True)
    return tuple(t.detach().cpu() for t in (image, *found))


def assert_all_close(ours: Iterable[Tensor], theirs: Iterable[Tensor], tolerance: float = 1e-9) -> None:
    """Values on any devices agree to `tolerance`, relative or absolute."""
    for our, their in zip(ours, theirs, strict=True):
        torch.testing.assert_close(our.cpu(), their.cpu(), rtol=tolerance, atol=tolerance)


def opcheck(operator: str, arguments: tuple, checks: list[str]) -> None:
    """`torch.library.opcheck` of raygrad::`operator`, which in torch 2.14 itself does what torch warns of."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The .grad attribute of a Tensor that is not a leaf Tensor is being accessed")
        torch.library.opcheck(getattr(torch.ops.raygrad, operator).default, arguments, test_utils=checks)


def affine(spacing=(1.0, 1.0, 1.0), origin=(0.0, 0.0, 0.0), shear=0.0) -> Tensor:
    """World to voxel, for voxels of `spacing` mm whose first centre is at `origin`."""
    voxel_to_world = torch.diag(torch.tensor([*spacing, 1.0], dtype=torch.float64))
    voxel_to_world[:3, 3] = torch.tensor(origin, dtype=torch.float64)
    voxel_to_world[0, 1] = shear
    return voxel_to_world.inverse()


def random_volume(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(*shape, generator=generator, dtype=torch.float64)


def cone(
    source, centre, rows: int, columns: int, pixel: float, axes=((1.0, 0, 0), (0, 0, 1.0))
) -> tuple[Tensor, Tensor]:
    """Rays of a cone beam: one source, a detector of rows x columns pixels around `centre`."""
    u, v = (torch.tensor(a, dtype=torch.float64) for a in axes)
    row = (torch.arange(rows, dtype=torch.float64) - (rows - 1) / 2) * pixel
    column = (torch.arange(columns, dtype=torch.float64) - (columns - 1) / 2) * pixel
    target = torch.tensor(centre, dtype=torch.float64) + row[:, None, None] * v + column[None, :, None] * u
    return torch.tensor([[source]], dtype=torch.float64), target.reshape(1, -1, 3)


def _rays(*pairs) -> tuple[Tensor, Tensor]:
    ends = torch.tensor(pairs, dtype=torch.float64)
    return ends[None, :, 0].contiguous(), ends[None, :, 1].contiguous()


def _scattered(seed: int, count: int, shape=(7, 6, 5), spread=12.0, width=6.0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    middle = (torch.tensor(shape, dtype=torch.float64) - 1) / 2
    through = middle + (torch.rand(1, count, 3, generator=generator, dtype=torch.float64) - 0.5) * width
    direction = torch.nn.functional.normalize(
        torch.randn(1, count, 3, generator=generator, dtype=torch.float64), dim=-1
    )
    return through - spread * direction, through + spread * direction


def scenes() -> dict[str, Scene]:
    """Scenes with rays in general position: every derivative exists there."""
    tilted = (torch.tensor([0.9, 0.3, -0.1]), torch.tensor([0.05, 0.2, 0.95]))
    labels = (random_volume(7, 6, 5, seed=9) * 4).to(torch.uint8)
    volume = random_volume(7, 6, 5)
    return {
        "cone along y": Scene(volume, *cone((3.117, -20.03, 2.213), (2.934, 18.1, 2.171), 5, 6, 2.317), affine(), 6),
        "cone along x": Scene(
            volume, *cone((-20, 2.6, 2.1), (17, 2.4, 2.2), 4, 5, 2.1, ((0, 1.0, 0), (0, 0, 1.0))), affine(), 5
        ),
        "cone along z": Scene(
            volume,
            *cone((3.317, 2.671, 25.03), (3.134, 2.437, -18.2), 5, 5, 2.137, ((1.0, 0, 0), (0, 1.0, 0))),
            affine(),
            5,
        ),
        "oblique cone, mixed main axes": Scene(
            volume, *cone((-9, -9.5, 1), (12, 11, 3.3), 9, 9, 2.1, tuple(a.tolist() for a in tilted)), affine(), 9
        ),
        "anisotropic voxels, sheared": Scene(
            volume,
            *cone((2.03, -30, 5.01), (3.07, 30, 5.52), 5, 7, 2.31),
            affine((0.7, 0.8, 2.5), (-1.3, 0.4, 0.2), 0.1),
            7,
        ),
        "rays in all directions": Scene(volume, *_scattered(1, 41), affine()),
        "source inside": Scene(volume, *cone((3.217, 2.334, 1.913), (2.934, 18.1, 2.171), 5, 6, 2.317), affine(), 6),
        "target inside": Scene(volume, *cone((3.1, -20, 2.2), (2.9, 2.8, 2.1), 5, 6, 0.9), affine(), 6),
        "both ends inside": Scene(
            volume,
            *_rays(
                ((1.2, 1.3, 0.9), (4.7, 3.6, 3.1)),
                ((2.2, 3.3, 3.9), (2.7, 0.6, 2.1)),
                ((5.1, 2.2, 2.1), (5.2, 2.3, 2.15)),
            ),
            affine(),
        ),
        "mostly missing": Scene(volume, *cone((3.1, -20, 2.2), (2.9, 18, 2.1), 5, 6, 7.0), affine(), 6),
        "one voxel thick": Scene(
            random_volume(1, 6, 5), *cone((0.2, -20, 2.2), (0.1, 18, 2.1), 5, 6, 0.31), affine(), 6
        ),
        "one voxel": Scene(random_volume(1, 1, 1), *_scattered(2, 30, (1, 1, 1), width=1.5), affine()),
        "long volume": Scene(random_volume(40, 3, 35), *_scattered(3, 30, (40, 3, 35), 60.0), affine()),
        "batch of poses": Scene(
            volume, *(torch.cat(t) for t in zip(_scattered(4, 20), _scattered(5, 20), strict=True)), affine()
        ),
        "batch of volumes": Scene(
            random_volume(2, 7, 6, 5),
            *(torch.cat(t) for t in zip(_scattered(4, 20), _scattered(5, 20), strict=True)),
            affine(),
        ),
        "labels": Scene(volume, *cone((3.117, -20.03, 2.213), (2.934, 18.1, 2.171), 5, 6, 2.317), affine(), 6, labels),
        "labels, rays in all directions": Scene(volume, *_scattered(6, 40), affine(), None, labels),
        "labels, ends inside": Scene(
            volume, *cone((3.21, 2.33, 1.94), (2.97, 3.92, 2.15), 5, 6, 1.37), affine(), 6, labels
        ),
    }


def degenerate_scenes() -> dict[str, Scene]:
    """Rays where some derivative is one-sided: values and the adjoint must hold all the same."""
    volume = random_volume(7, 6, 5)
    low, high = -0.5, torch.tensor([6.5, 5.5, 4.5]).tolist()
    return {
        "parallel to the axes": Scene(
            volume,
            *_rays(*(((x, -9.0, 2.0), (x, 9.0, 2.0)) for x in (0.0, 0.3, 3.0, 6.2))),
            affine(),
        ),
        "along each axis": Scene(
            volume,
            *_rays(((-9, 2.1, 2.2), (19, 2.1, 2.2)), ((2.1, 19, 2.2), (2.1, -9, 2.2)), ((2.1, 2.2, -9), (2.1, 2.2, 9))),
            affine(),
        ),
        "through edges and corners": Scene(
            volume,
            *_rays(
                ((low - 1, low - 1, low - 1), (low + 7, low + 7, low + 7)),
                ((low - 2, low - 1, 2), (low + 8, low + 9, 2)),
                ((0.5, 0.5, -9), (0.5, 0.5, 9)),
                ((-3.5, 2.5, 1.5), (10.5, 2.5, 1.5)),
                ((-1.5, 5.5, 0.0), (5.5, -1.5, 0.0)),
            ),
            affine(),
        ),
        "on the outer faces": Scene(
            volume,
            *_rays(*(((x, -9.0, 2.2), (x, 9.0, 2.2)) for x in (low, high[0])), ((3.2, -9, low), (3.2, 9, low))),
            affine(),
        ),
        "diagonal main axis": Scene(volume, *_rays(((-4, -4, 1.1), (9, 9, 1.1)), ((-4, -4, -4), (9, 9, 9))), affine()),
        "zero length": Scene(volume, *_rays(((2.2, 2.3, 2.1), (2.2, 2.3, 2.1)), ((-9, 0, 0), (-9, 0, 0))), affine()),
        "touching a corner": Scene(volume, *_rays(((-1.5, 0.5, -0.5), (0.5, -1.5, -0.5))), affine()),
    }
