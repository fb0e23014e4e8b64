"""Voxel-driven back projection: the compiled kernels against the reference, and all of them against exact answers."""

import inspect
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.library import opcheck
from voxel_driven_cases import AXES, SHAPES, circle, device_of, memory_orders, random_maps

from raygrad.kernels import add_voxel_driven_, available_backends

compiled = pytest.mark.skipif(not available_backends()["cpu"][0], reason="needs the compiled extension")
triton = pytest.mark.skipif(not available_backends()["gpu"][0], reason="needs Triton")
COMPILED = [pytest.param("cpu", marks=compiled), pytest.param("gpu", marks=triton)]
BACKENDS = ["reference", *COMPILED]
pytestmark = pytest.mark.usefixtures("one_thread")


def added(volume: Tensor, *scan: Tensor, backend: str) -> Tensor:
    """What a backend makes of a volume, with a copy of all tensors where it computes; back on the CPU."""
    device = device_of(backend)
    return add_voxel_driven_(volume.clone().to(device), *(tensor.to(device) for tensor in scan), backend=backend).cpu()


def both(volume: Tensor, images: Tensor, maps: Tensor, distance: Tensor, backend: str) -> tuple[Tensor, Tensor]:
    """A compiled kernel's result and the reference's, both in the memory order of `volume`."""
    exact = added(volume.double(), images.double(), maps, distance, backend="reference")
    return added(volume, images, maps, distance, backend=backend), exact


@pytest.mark.parametrize("backend", COMPILED)
@pytest.mark.parametrize("order", ["x", "y", "z"])
@pytest.mark.parametrize("axis", AXES)
def test_circular_scans_agree_with_the_reference(axis, order, backend):
    """On the CPU runs along the axis take the fast way; a tilted axis leaves none."""
    scan = circle(axis, torch.float64)
    got, expected = both(memory_orders(SHAPES[backend])[order], *scan, backend=backend)
    torch.testing.assert_close(got, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("backend", COMPILED)
@pytest.mark.parametrize("axis", AXES)
def test_float32_is_right_to_rounding(axis, backend):
    """float32 images of a circular scan: 1e-5 of the largest value, see the kernel's docstring."""
    scan = circle(axis, torch.float32)
    got, expected = both(memory_orders(SHAPES[backend], torch.float32)["x"], *scan, backend=backend)
    assert (got - expected).abs().max() <= 1e-5 * expected.abs().max()


@pytest.mark.parametrize("backend", COMPILED)
def test_random_maps_agree_with_the_reference(backend):
    """Any matrices, many of whose voxels lie behind the source, beside the image or near its rim."""
    shape, n_views = {"cpu": ((11, 70, 13), 40), "gpu": ((5, 30, 7), 12)}[backend]
    got, expected = both(torch.zeros(shape, dtype=torch.float64), *random_maps(n_views), backend=backend)
    assert (expected != 0).any()
    assert (expected == 0).any()
    torch.testing.assert_close(got, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("backend", COMPILED)
def test_strided_images_and_volumes_that_are_added_to(backend):
    images, maps, distance = (tensor.to(device_of(backend)) for tensor in circle("z", torch.float64))
    strided = images.permute(2, 0, 1).contiguous().permute(1, 2, 0)
    volume = torch.ones(14, 9, 19, dtype=torch.float64, device=images.device)[::2]
    got = add_voxel_driven_(volume, strided, maps, distance, backend=backend)
    assert got is volume
    expected = 1 + add_voxel_driven_(torch.zeros_like(volume), images, maps, distance, backend="reference")
    torch.testing.assert_close(got, expected, rtol=1e-12, atol=1e-12)


@compiled
@pytest.mark.parametrize("backend", COMPILED)
def test_one_view_may_have_any_stride_between_views(backend):
    """Of which there are none; torch 2.4 says 1 of it to whom it lends the memory."""
    images, maps, distance = (tensor[:1] for tensor in circle("z", torch.float64))
    volume = memory_orders(SHAPES[backend])["x"]
    got = added(volume, images, maps.as_strided(maps.shape, (1, 4, 1)), distance, backend=backend)
    assert torch.equal(got, added(volume, images, maps, distance, backend=backend))


def test_threads_change_nothing():
    """To the last bit, on volumes of several tiles."""
    images, maps, distance = circle("z", torch.float32)
    one = add_voxel_driven_(torch.zeros(40, 41, 35), images, maps, distance, backend="cpu")
    torch.set_num_threads(3)
    three = add_voxel_driven_(torch.zeros(40, 41, 35), images, maps, distance, backend="cpu")
    torch.set_num_threads(1)
    assert torch.equal(one, three)


@pytest.mark.subprocess
@compiled
@pytest.mark.parametrize("instruction_set", ["baseline", "avx2", "avx512"])
def test_every_instruction_set(instruction_set):
    """Each in a process of its own, since the choice is made once."""
    program = Path(__file__).with_name("voxel_driven_cases.py")
    environment = os.environ | {"RAYGRAD_INSTRUCTION_SET": instruction_set, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, program], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    if done.stdout.strip() == "absent":
        pytest.skip(f"this machine or build lacks {instruction_set}")
    assert done.stdout.strip() == instruction_set


@pytest.mark.parametrize("backend", COMPILED)
def test_operator_is_sound(backend):
    volume = torch.zeros(5, 6, 7, dtype=torch.float64)
    arguments = [tensor.to(device_of(backend)) for tensor in (volume, *circle("z", torch.float64, 2))]
    opcheck(torch.ops.raygrad.add_voxel_driven_.default, (*arguments, backend))


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_plane_is_read_exactly(backend):
    """Bilinear interpolation has no error in an image that is linear: a + b column + c row, in a known perspective."""
    row, column = torch.meshgrid(torch.arange(12.0), torch.arange(15.0), indexing="ij")
    image = (2 + 0.5 * column - 0.25 * row).double()[None]
    # column = x + 0.3 z + 2, row = y + 0.5, each times the depth 2 + z / 10
    depth = torch.tensor([0, 0, 0.1, 2.0], dtype=torch.float64)
    volume = torch.zeros(5, 6, 4, dtype=torch.float64)
    x, y, z = torch.meshgrid(*[torch.arange(n, dtype=torch.float64) for n in volume.shape], indexing="ij")
    # rows of a map cannot hold products of coordinates, so column and row are fractions here
    u, v = torch.tensor([1.0, 0, 0.3, 2], dtype=torch.float64), torch.tensor([0, 1.0, 0, 0.5], dtype=torch.float64)
    maps = torch.stack([u, v, depth])[None]
    volume = added(volume, image, maps, torch.tensor([3.0]), backend=backend)
    w = 2 + z / 10
    expected = (2 + 0.5 * (x + 0.3 * z + 2) / w - 0.25 * (y + 0.5) / w) * (3 / w) ** 2
    torch.testing.assert_close(volume, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("backend", BACKENDS)
def test_images_fall_to_zero_within_a_pixel_of_the_rim(backend):
    """Like volumes under a projector: bilinear between pixel centres of an image with zeros around."""
    maps = torch.eye(3, 4, dtype=torch.float64)[None].clone()
    maps[0, 2] = torch.tensor([0, 0, 0, 1.0])
    maps[0, 0] = torch.tensor([0.25, 0, 0, -1.5])  # column = x / 4 - 1.5
    volume = torch.zeros(24, 1, 1, dtype=torch.float64)
    volume = added(volume, torch.ones(1, 1, 3, dtype=torch.float64), maps, torch.ones(1), backend=backend)
    column = torch.arange(24, dtype=torch.float64) / 4 - 1.5
    expected = torch.minimum(column + 1, 3 - column).clamp(0, 1)
    torch.testing.assert_close(volume[:, 0, 0], expected, rtol=0, atol=1e-14)


@pytest.mark.parametrize("backend", BACKENDS)
def test_voxels_behind_the_source_receive_nothing(backend):
    maps = torch.tensor([[[0, 0, 0, 1.0], [0, 0, 0, 1.0], [1.0, 0, 0, -2.0]]], dtype=torch.float64)  # depth = x - 2
    volume = torch.zeros(5, 2, 2, dtype=torch.float64)
    volume = added(volume, torch.ones(1, 4, 4, dtype=torch.float64), maps, torch.ones(1), backend=backend)
    assert volume[:, 0, 0].tolist() == [0, 0, 0, 1, 0.25]


def good() -> dict:
    images, maps, distance = circle("z", torch.float64)
    return {"volume": torch.zeros(4, 5, 6).double(), "images": images, "voxel_to_pixel": maps, "distance": distance}


@pytest.mark.parametrize(
    ("wrong", "error", "words"),
    [
        ({"volume": torch.zeros(2, 3).double()}, ValueError, r"volume of shape \(x, y, z\)"),
        ({"volume": torch.zeros(2, 3, 4)}, TypeError, "dtype torch.float32"),
        ({"images": torch.zeros(5, 40).double()}, ValueError, "view, height, width"),
        ({"images": torch.zeros(5, 40, 43, dtype=torch.int32)}, TypeError, "floating-point"),
        ({"images": torch.full((5, 4, 4), torch.nan).double()}, ValueError, "finite images"),
        ({"images": torch.ones(5, 4, 4).double().requires_grad_()}, ValueError, "detach images"),
        ({"voxel_to_pixel": torch.zeros(5, 4, 4).double()}, ValueError, r"\(5, 3, 4\)"),
        ({"voxel_to_pixel": torch.full((5, 3, 4), torch.inf).double()}, ValueError, "finite values in voxel_to_pixel"),
        ({"distance": torch.ones(4)}, ValueError, r"distance of shape \(5,\)"),
        ({"backend": "magic"}, ValueError, "backend"),
    ],
)
def test_bad_input_is_refused(wrong, error, words):
    function = inspect.unwrap(add_voxel_driven_)  # as users have it: without the tests' hook for annotations
    with pytest.raises(error, match=words):
        function(**(good() | wrong))
