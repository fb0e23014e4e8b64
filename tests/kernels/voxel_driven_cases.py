"""Scans for the voxel-driven back projection; run as a program, checks one instruction set of the compiled kernel.

`test_voxel_driven.py` runs it in a process of its own, with RAYGRAD_INSTRUCTION_SET set. Prints the instruction set, or
"absent".
"""

import math

import torch
from torch import Tensor

from raygrad.kernels import GPU_DEVICES, add_voxel_driven_
from raygrad.kernels._backends import import_extension, interpreted

AXES = ("x", "y", "z", "none")
SHAPES = {"cpu": (19, 21, 35), "gpu": (7, 9, 19)}
"""Of volumes that take several blocks of a kernel: small ones where Triton is interpreted."""


def device_of(backend: str) -> torch.device:
    """Where a backend's tensors are. Triton's interpreter takes those on the CPU."""
    if backend != "gpu" or interpreted():
        return torch.device("cpu")
    return torch.device(next(name for name in GPU_DEVICES if getattr(torch, name).is_available()))


def memory_orders(shape: tuple[int, int, int], dtype: torch.dtype = torch.float64) -> dict[str, Tensor]:
    """Volumes of zeros, each with another axis contiguous in memory."""
    x, y, z = shape
    return {
        "x": torch.zeros(z, y, x, dtype=dtype).permute(2, 1, 0),
        "y": torch.zeros(x, z, y, dtype=dtype).permute(0, 2, 1),
        "z": torch.zeros(x, y, z, dtype=dtype),
    }


def circle(axis: str, dtype: torch.dtype, n_views: int = 5) -> tuple[Tensor, Tensor, Tensor]:
    """Random images, maps and distances of a scan of 30 voxels about an axis of the grid, or about a slanted one.

    Views 1 and 3 have detectors turned by 90 and 180 degrees; some voxels project outside the images.
    """
    generator = torch.Generator().manual_seed(4)
    to_pixel = []
    for view in range(n_views):
        angle = 0.01 + 2 * math.pi * view / n_views
        cosine, sine = math.cos(angle), math.sin(angle)
        source = torch.tensor([cosine, sine, 0.0], dtype=torch.float64)
        across, down = torch.tensor([[-sine, cosine, 0], [0, 0, -1.0]], dtype=torch.float64)
        for _ in range(view % 4):
            across, down = down, -across
        to_pixel.append(torch.stack([1500 * across / 9 - 19 * source, 1500 * down / 9 - 20 * source, -source]))
    rotated = torch.stack(to_pixel)
    if axis == "none":
        a, b = math.cos(0.4), math.sin(0.4)
        rotated = rotated @ torch.tensor([[1, 0, 0], [0, a, -b], [0, b, a]], dtype=torch.float64)
    else:
        rotated = rotated.roll("xyz".index(axis) + 1, dims=2)
    centre = torch.tensor([[19.3], [20.1], [1.0]], dtype=torch.float64).expand(n_views, 3, 1) * 1000
    middle = torch.tensor([9.0, 10, 17], dtype=torch.float64)
    scaled = 9 * rotated
    maps = torch.cat([scaled, centre - (scaled @ middle)[..., None]], dim=2).contiguous()
    images = torch.rand(n_views, 40, 43, generator=generator, dtype=torch.float64).to(dtype)
    return images, maps, torch.full((n_views,), 1000.0, dtype=torch.float64)


def random_maps(n_views: int) -> tuple[Tensor, Tensor, Tensor]:
    """Random images, maps without any order, and distances."""
    generator = torch.Generator().manual_seed(5)

    def random(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    maps = random(n_views, 3, 4)
    maps[:, :2] *= 10
    maps[:, :, 3] *= 20
    images = random(n_views, 17, 19)
    return images, maps, random(n_views).abs()


def main() -> None:
    try:
        name = import_extension().instruction_set()
    except ValueError:
        print("absent")
        return
    for dtype, tolerance in ((torch.float64, 1e-12), (torch.float32, 1e-5)):
        for axis in AXES:
            for order, volume in memory_orders((19, 21, 35), dtype).items():
                images, maps, distance = circle(axis, dtype)
                got = add_voxel_driven_(volume, images, maps, distance, backend="cpu")
                expected = add_voxel_driven_(
                    torch.zeros_like(volume, dtype=torch.float64), images.double(), maps, distance, backend="reference"
                )
                error = (got - expected).abs().max() / expected.abs().max()
                assert error <= tolerance, f"axis {axis}, {order} contiguous, {dtype}: off by {error:.1e}"
    print(name)


if __name__ == "__main__":
    main()
