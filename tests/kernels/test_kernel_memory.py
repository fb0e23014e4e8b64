"""Volumes may lie in memory in any order and with any gaps: nothing beside them is written, and nothing is read."""

import math
from collections.abc import Iterator
from itertools import permutations

import pytest
import torch
from kernel_cases import BACKENDS_IN_TIME, GPU, RENDERERS, affine, device_of, needs_extension, random_like
from torch import Tensor
from voxel_driven_cases import circle

from raygrad import kernels
from raygrad.geometry import VolumeGeometry
from raygrad.geometry.trajectories import circular
from raygrad.projector import Projector

SHAPE = (6, 5, 18)
DTYPES = [torch.float32, torch.float64]
GAPS = {
    "none": {},
    "rows are padded": {"padding": (0, 0, 3)},
    "planes are padded": {"padding": (0, 2, 0)},
    "every second plane": {"step": (2, 1, 1)},
    "every second row": {"step": (1, 2, 1)},
    "every second voxel": {"step": (1, 1, 2)},
    "from the second on": {"step": (2, 2, 2), "first": (1, 1, 1)},
    "everything": {"step": (3, 2, 2), "first": (0, 1, 1), "padding": (1, 2, 3)},
}
"""By place in memory, from the axis whose neighbours are farthest apart to the one whose are nearest."""


class InMemory:
    """A tensor of `shape` whose axes come in `order` in memory, with gaps; NaN lies in these, before it and after it.

    Args:
        shape: of the tensor.
        order: its axes from the one whose neighbours are farthest apart in memory to the one whose are nearest.
        step, first, padding: along each of `order`: every which element it is, from which on, and how many come after.
    """

    MARGIN = 512

    def __init__(self, shape, order, dtype, device="cpu", step=(1, 1, 1), first=(0, 0, 0), padding=(0, 0, 0)):
        more = len(shape) - 3  # axes beyond three are like the first
        step, first, padding = (of[:1] * more + of for of in (step, first, padding))
        sizes = [f + s * (shape[axis] - 1) + 1 + p for axis, s, f, p in zip(order, step, first, padding, strict=True)]
        count = math.prod(sizes)
        self.buffer = torch.full((count + 2 * self.MARGIN,), torch.nan, dtype=dtype, device=device)
        view = self.buffer[self.MARGIN : self.MARGIN + count].view(sizes)
        for place, (s, f, axis) in enumerate(zip(step, first, order, strict=True)):
            view = view.narrow(place, f, s * (shape[axis] - 1) + 1)[(slice(None),) * place + (slice(None, None, s),)]
        self.view = view.permute([order.index(axis) for axis in range(len(shape))])
        assert self.view.shape == torch.Size(shape)

    def assert_nothing_else_was_written(self) -> None:
        assert self.view.isfinite().all()
        self.view.fill_(torch.nan)
        assert self.buffer.isnan().all()


def layouts(shape, dtype, backend="cpu", names=GAPS) -> Iterator[InMemory]:
    """All orders of axes with all gaps, of which Triton's interpreter has time for a few."""
    few = backend == "gpu" and GPU is None
    for order in list(permutations(range(len(shape))))[:: 5 if few else 1]:
        for name in names if not few else ["everything"]:
            yield InMemory(shape, order, dtype, device_of(backend), **GAPS[name])


def rays(batch: int, dtype: torch.dtype, device="cpu") -> tuple[Tensor, Tensor, Tensor]:
    """Rays in all directions through a volume of SHAPE, and some that miss it."""
    generator = torch.Generator().manual_seed(3)
    middle = (torch.tensor(SHAPE) - 1) / 2
    through = middle + (torch.rand(batch, 40, 3, generator=generator) - 0.5) * 1.2 * torch.tensor(SHAPE)
    way = 30 * torch.nn.functional.normalize(torch.randn(batch, 40, 3, generator=generator), dim=-1)
    return (through - way).to(device, dtype), (through + way).to(device, dtype), affine((1.0, 1.1, 0.9)).to(device)


def tolerance(dtype: torch.dtype) -> dict[str, float]:
    return {"rtol": 1e-4, "atol": 1e-4} if dtype == torch.float32 else {"rtol": 1e-10, "atol": 1e-10}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("renderer", RENDERERS)
@pytest.mark.parametrize("backend", BACKENDS_IN_TIME)
def test_an_adjoint_writes_to_its_output_and_nowhere_else(backend, renderer, dtype):
    device = device_of(backend)
    options = {"renderer": renderer, "n_points": 12, "backend": backend}
    for shape in (SHAPE, (2, *SHAPE)):
        beam = rays(2, dtype, device)
        cotangent = random_like(torch.empty(2, 1, 40, dtype=dtype, device=device))
        like = torch.empty(shape, dtype=dtype, device=device)
        expected = kernels.backproject(cotangent, like, *beam, **options)
        for memory in layouts(shape, dtype, backend, GAPS if len(shape) == 3 else ("none", "everything")):
            assert kernels.backproject(cotangent, like, *beam, **options, out=memory.view) is memory.view
            torch.testing.assert_close(memory.view, expected, **tolerance(dtype))
            memory.assert_nothing_else_was_written()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("renderer", RENDERERS)
@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize(("reducefn", "labelled"), [("sum", False), ("sum", True), ("max", False)])
def test_memory_makes_no_difference_to_images_and_gradients(reducefn, labelled, batch, renderer, dtype):
    """NaN in the gaps would show up in whatever is made of it. With a batch of 1 both volumes are on the same rays."""
    options = {"renderer": renderer, "n_points": 12, "reducefn": reducefn, "image_width": 8}
    values = torch.rand(2, *SHAPE, dtype=dtype, generator=torch.Generator().manual_seed(8))
    labels = (values[0] * 3).to(torch.uint8) if labelled else None
    beam = rays(batch, dtype)

    def images_and_gradients(volume: Tensor, labels: Tensor | None) -> tuple[Tensor, ...]:
        volume = volume.detach().requires_grad_()
        image = kernels.project(volume, *beam, **options, labels=labels)
        return image.detach(), torch.autograd.grad(image, volume, random_like(image))[0]

    expected = images_and_gradients(values, labels)
    for memory in layouts((2, *SHAPE), dtype, names=("none", "everything")):
        memory.view.copy_(values)
        strided = None if labels is None else labels.permute(2, 0, 1).contiguous().permute(1, 2, 0)
        for own, other in zip(images_and_gradients(memory.view, strided), expected, strict=True):
            torch.testing.assert_close(own, other, **tolerance(dtype))
        memory.assert_nothing_else_was_written()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("along", range(3), ids="xyz")
@pytest.mark.parametrize("renderer", RENDERERS)
def test_scans_about_an_axis_write_to_the_volume_and_nowhere_else(renderer, along, dtype):
    """Joseph's march has a way of its own where an image's columns run along contiguous memory."""
    shape = [7, 6, 5]
    shape[along] = 21
    axis = tuple(float(a == along) for a in range(3))
    views = circular(3, sdd=60.0, sid=40.0, height=34, width=9, delx=1.3, dely=1.1, axis=axis, dtype=torch.float64)
    projector = Projector(VolumeGeometry.centred(tuple(shape), (1.0, 1.1, 0.9)), views, renderer, n_points=30)
    images = torch.rand(projector.range_shape, dtype=dtype, generator=torch.Generator().manual_seed(5))
    expected = projector.T(images)
    assert expected.abs().max() > 0
    for memory in layouts(shape, dtype):
        assert projector.T(images, out=memory.view) is memory.view
        torch.testing.assert_close(memory.view, expected, **tolerance(dtype))
        torch.testing.assert_close(projector(memory.view), projector(expected), **tolerance(dtype))
        memory.assert_nothing_else_was_written()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("backend", BACKENDS_IN_TIME)
@pytest.mark.parametrize("axis", ["y", "z", "none"])
def test_a_voxel_driven_back_projection_adds_to_its_volume_and_nowhere_else(axis, backend, dtype):
    device = device_of(backend)
    scan = [tensor.to(device) for tensor in circle(axis, dtype)]
    expected = kernels.add_voxel_driven_(torch.ones(SHAPE, dtype=dtype, device=device), *scan, backend=backend)
    for memory in layouts(SHAPE, dtype, backend):
        memory.view.fill_(1)
        assert kernels.add_voxel_driven_(memory.view, *scan, backend=backend) is memory.view
        torch.testing.assert_close(memory.view, expected, **tolerance(dtype))
        memory.assert_nothing_else_was_written()


@needs_extension
@pytest.mark.parametrize("dtype", DTYPES)
def test_empty_bricks_are_found_in_any_memory(dtype):
    shape = (20, 33, 18)
    values = torch.zeros(2, *shape, dtype=dtype)
    values[0, 3, 32, 17], values[1, 16:, 4, 2] = -1, 1
    expected = kernels.prepare(values).bricks
    for memory in layouts((2, *shape), dtype, names=("none", "everything")):
        memory.view.copy_(values)
        assert torch.equal(kernels.prepare(memory.view).bricks, expected)
        memory.assert_nothing_else_was_written()


@needs_extension
@pytest.mark.parametrize(
    "shared",
    [
        lambda: torch.zeros(6, 1, 18, dtype=torch.float64).expand(SHAPE),
        lambda: torch.zeros(1300, dtype=torch.float64).as_strided(SHAPE, (200, 17, 1)),
        lambda: torch.zeros(1300, dtype=torch.float64).as_strided(SHAPE, (18, 18, 1)),
    ],
    ids=["expanded", "rows that overlap", "planes that overlap"],
)
def test_an_output_whose_voxels_share_memory_is_refused(shared):
    volume = shared()
    beam = rays(1, torch.float64)
    cotangent = torch.ones(1, 1, 40, dtype=torch.float64)
    message = r"memory of its own for every voxel. Got .*shape \(.*6, 5, 18\)"
    with pytest.raises(ValueError, match=message):
        kernels.backproject(cotangent, volume, *beam, out=volume)
    maps = torch.eye(3, 4, dtype=torch.float64)[None]
    with pytest.raises(ValueError, match=message):
        kernels.add_voxel_driven_(volume, torch.ones(1, 4, 4, dtype=torch.float64), maps, torch.ones(1).double())
    assert (volume == 0).all()
