"""What is a GPU's own in voxel-driven back projection and `prepare`: integer maps, half precision, no waiting.

`test_voxel_driven.py` has the cases that it shares with the other backends.
"""

import pytest
import torch
from synchronisation import NoSynchronisation
from voxel_driven_cases import circle, device_of

from raygrad.kernels import _occupancy, add_voxel_driven_, available_backends, prepare

pytestmark = [
    pytest.mark.skipif(not available_backends()["gpu"][0], reason="needs Triton, or its interpreter"),
    pytest.mark.interpreter,
]
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
DEVICE = device_of("gpu")


def scan(dtype: torch.dtype = torch.float32, n_views: int = 2) -> list[torch.Tensor]:
    return [tensor.to(DEVICE) for tensor in circle("z", dtype, n_views)]


def test_float32_has_digits_for_wide_images():
    """Columns near 2000 of noise: positions computed in float32 throughout would be off by 1e-4 pixels."""
    images = torch.rand(1, 3, 2100)
    x, depth = torch.arange(80), torch.tensor([0.2, 0, 0, 1000.0], dtype=torch.float64)
    column = torch.tensor([3310.0, 0, 0, 1700 * 1000.7], dtype=torch.float64)
    maps, distance = torch.stack([column, 1.4 * depth, depth])[None], torch.full((1,), 1000.0)
    assert column[0] * x[-1] + column[3] > 1900 * (depth[0] * x[-1] + depth[3])
    scan = [tensor.to(DEVICE) for tensor in (images, maps, distance)]
    got = add_voxel_driven_(torch.zeros(80, 1, 1, device=DEVICE), *scan, backend="gpu").cpu()
    expected = torch.zeros(80, 1, 1, dtype=torch.float64)
    add_voxel_driven_(expected, images.double(), maps, distance, backend="reference")
    assert (got - expected).abs().max() <= 2e-6 * expected.abs().max()


@pytest.mark.parametrize("unit", [1e-9, 1e9])
def test_any_unit_of_homogeneous_coordinates(unit):
    """Only ratios count, also where integers take the place of numbers."""
    images, maps, distance = scan()
    volume = torch.zeros(4, 5, 6, device=DEVICE)
    one = add_voxel_driven_(volume.clone(), images, maps, distance, backend="gpu")
    other = add_voxel_driven_(volume.clone(), images, maps * unit, distance * unit, backend="gpu")
    torch.testing.assert_close(other, one, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_volumes_are_rounded_once(dtype):
    """The views are added in float32 before anything is rounded: off by less than one unit in the last place."""
    images, maps, distance = scan(n_views=5)
    start = torch.rand(4, 5, 6, device=DEVICE).to(dtype)
    got = add_voxel_driven_(start.clone(), images, maps, distance, backend="gpu")
    expected = add_voxel_driven_(start.float(), images, maps, distance, backend="gpu")
    assert got.dtype == dtype
    torch.testing.assert_close(got.float(), expected, rtol=torch.finfo(dtype).eps, atol=0)  # the interpreter cuts off
    reference = add_voxel_driven_(start.clone(), images, maps, distance, backend="reference")
    torch.testing.assert_close(got, reference, rtol=torch.finfo(dtype).eps, atol=0)


def test_places_beyond_32_bits():
    """In memory that is never touched between the voxels."""
    images, maps, distance = scan()
    volume = torch.rand(3, 4, 2, device=DEVICE).half()
    expected = add_voxel_driven_(volume.clone(), images, maps, distance, backend="gpu")
    memory = torch.empty(2**31 + 64, dtype=torch.float16, device=DEVICE)
    strided = memory.as_strided((3, 4, 2), (2**30, 8, 4)).copy_(volume)
    assert torch.equal(add_voxel_driven_(strided, images, maps, distance, backend="gpu"), expected)


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_what_is_not_finite_stays_so(bad):
    """Values are not looked at: a bad map or distance gives NaN in every voxel, a bad pixel where it is read."""
    images, maps, distance = scan(n_views=1)
    volume = torch.zeros(7, 9, 19, device=DEVICE)
    bad_maps, bad_distance, bad_images = maps.clone(), distance.clone(), images.clone()
    bad_maps[0, 0, 1], bad_distance[0], bad_images[0, :20] = bad, bad, torch.nan
    assert add_voxel_driven_(volume.clone(), images, bad_maps, distance, backend="gpu").isnan().all()
    assert add_voxel_driven_(volume.clone(), images, maps, bad_distance, backend="gpu").isnan().all()
    some = add_voxel_driven_(volume.clone(), bad_images, maps, distance, backend="gpu").isnan()
    assert some.any()
    assert not some.all()


def test_nothing_is_waited_for():
    """Neither by the checks nor, behind the operator, where a dispatch mode does not look, by the launch."""
    from raygrad.kernels._gpu.voxel_driven import add_voxel_driven_ as launch

    arguments = scan()
    volumes = torch.zeros(2, 7, 9, 11, device=DEVICE)
    with NoSynchronisation(copies=True) as mode:
        add_voxel_driven_(volumes[0], *arguments, backend="gpu")
        launch(volumes[1], *arguments)
    assert mode.operations > 10
    assert (volumes != 0).any()
    assert torch.equal(*volumes)


def test_no_views_add_nothing():
    images, maps, distance = scan()
    volume = torch.ones(2, 3, 4, device=DEVICE)
    assert (add_voxel_driven_(volume, images[:0], maps[:0], distance[:0], backend="gpu") == 1).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_prepare_finds_what_is_not_finite(dtype, value):
    volume = torch.rand(7, 6, 5, device=DEVICE).to(dtype)
    prepared = prepare(volume.permute(2, 0, 1))
    assert prepared.bricks is None
    assert prepared.describes(volume.permute(2, 0, 1))
    volume[3, 4, 2] = value
    with pytest.raises(ValueError, match="finite values"):
        prepare(volume)


def test_prepare_waits_once_and_never_within_a_cuda_graph(monkeypatch):
    volume = torch.rand(7, 6, 5, device=DEVICE).half()
    with pytest.raises(AssertionError, match="a GPU would be waited for"), NoSynchronisation():
        prepare(volume)
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: True)
    monkeypatch.setattr(
        _occupancy, "_is_captured", lambda _, captured=_occupancy._is_captured: captured(torch.device("cuda"))
    )
    with NoSynchronisation(copies=True):
        assert prepare(volume).describes(volume)


def test_traced_volumes_are_not_looked_at(monkeypatch):
    """Nothing is checked or found while torch.compile traces, and what was found before is not used."""
    volume = torch.ones(7, 6, 5)
    prepared = prepare(volume)
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    assert prepared.for_march_of(volume) is None
    assert prepare(volume * torch.nan).for_march_of(volume) is None


@needs_gpu
def test_cuda_graph():
    """Captured once, replayed on other images."""
    images, maps, distance = scan()
    volume = torch.zeros(9, 10, 11, device=DEVICE)
    add_voxel_driven_(volume, images, maps, distance)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        prepare(volume)
        add_voxel_driven_(volume, images, maps, distance)
    images.mul_(2)
    volume.zero_()
    graph.replay()
    expected = add_voxel_driven_(torch.zeros_like(volume), images, maps, distance)
    assert torch.equal(volume, expected)
