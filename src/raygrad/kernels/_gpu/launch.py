"""How the kernels are launched: tiles of pixels, parts of rays, the widths of numbers."""

from contextlib import nullcontext
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
import triton.language as tl
from torch import Tensor

from raygrad.kernels._backends import interpreted

THREADS = 128
"""Threads of a program: pixels of its tile times parts of each ray."""
THREADS_OF_WARP = 64 if torch.version.hip else 32
"""Threads that run in step."""
INTERPRETED_THREADS = 2048
"""The same under Triton's interpreter, to which an operation costs the same whatever the size of its block."""
THREADS_PER_PROCESSOR = 1536
"""As many keep a multiprocessor busy while others wait for memory. Reasoned, and measured on no card yet."""


@dataclass(frozen=True)
class Beam:
    """Rays as the kernels take them.

    Attributes:
        tensors: what `raygrad.kernels._gpu.rays.load_rays` reads.
        cameras: whether those are cameras rather than ends of rays.
        batch: images.
        height, width: rows and columns of each; one row where the rays are no image.
    """

    tensors: tuple[Any, ...]
    cameras: bool
    batch: int
    height: int
    width: int

    @staticmethod
    def of_ends(source: Tensor, target: Tensor, image_width: int, volumes: int = 1) -> "Beam":
        """Rays from source (batch, 1 or ray, 3) to target (batch, ray, 3), of an image with so many columns or 0.

        `volumes`: how many there are; a batch of 1 is repeated for each.
        """
        source, target = _repeated(volumes, source), _repeated(volumes, target)
        batch, count = target.shape[:2]
        width = image_width if image_width > 0 and count % image_width == 0 else count
        tensors = (source.detach().contiguous(), target.detach().contiguous(), source.shape[1], count)
        return Beam(tensors, False, batch, count // max(width, 1), width)

    @staticmethod
    def of_cameras(
        camera_to_world: Tensor, pixel_to_camera: Tensor, height: int, width: int, volumes: int = 1
    ) -> "Beam":
        """The rays of every pixel of cameras, see `raygrad.kernels.project_cameras`; `volumes` as in `of_ends`."""
        camera_to_world = _repeated(volumes, camera_to_world)
        maps = len(pixel_to_camera)
        tensors = (camera_to_world.detach().contiguous(), pixel_to_camera.detach().contiguous(), maps)
        return Beam(tensors, True, len(camera_to_world), height, width)

    @property
    def rays(self) -> int:
        """Rays of one image."""
        return self.height * self.width

    def parts(self, device: torch.device) -> int:
        """In how many parts each ray is summed, for an image too small to fill the card with a thread a ray."""
        wanted = _threads_that_fill(device)
        parts = 1
        while parts < 32 and self.batch * self.rays * parts < wanted:
            parts *= 2
        return parts


def launch(kernel: Any, beam: Beam, device: torch.device, *arguments: Any, parts: int = 1, **constants: Any) -> None:
    """Run a kernel with one program for every tile of the beam's images."""
    pixels = (INTERPRETED_THREADS if interpreted() else THREADS) // parts
    rows = 2 ** ((pixels.bit_length() - 1) // 2)  # nearly square: its rays read neighbours
    rows, columns = (rows, pixels // rows) if beam.height > 1 else (1, pixels)
    programs = beam.batch * -(-beam.height // rows) * -(-beam.width // columns)
    if kernel.arg_names.count("SPLITS"):
        constants["SPLITS"] = parts
    launch_programs(kernel, programs, device, *arguments, CAMERAS=beam.cameras, ROWS=rows, COLUMNS=columns, **constants)


def launch_programs(
    kernel: Any,
    programs: int,
    device: torch.device,
    *arguments: Any,
    warps: int = 0,
    fusion: bool = True,
    **constants: Any,
) -> None:
    """Run so many programs of a kernel, on the tensors' device, which need not be the current one.

    `warps`: of a program, if not as many as THREADS make. `fusion`: whether products may be fused with sums.
    """
    if programs == 0:
        return
    if not interpreted():
        constants |= {"num_warps": warps or THREADS // THREADS_OF_WARP, "enable_fp_fusion": fusion}
    with _on(device):
        kernel[(programs,)](*arguments, **constants)


def _repeated(volumes: int, rays: Tensor) -> Tensor:
    """Rays of a batch, or where one entry is for several volumes, those once for each."""
    return rays.expand(volumes, *rays.shape[1:]) if len(rays) == 1 and volumes > 1 else rays


def triton_dtype(dtype: torch.dtype) -> Any:
    """Triton's name for float32 or float64."""
    return tl.float64 if dtype == torch.float64 else tl.float32


def index_dtype(volume: Tensor) -> Any:
    """The integer in which places in one volume are counted: 64 bits only where 32 are too few."""
    furthest = sum(size * stride for size, stride in zip(volume.shape[1:], volume.stride()[1:], strict=True))
    return tl.int64 if furthest >= 2**31 else tl.int32


def affine_for(world_to_voxel: Tensor, device: torch.device) -> Tensor:
    """The map on the device, in float32 where that may not know float64; without waiting for it."""
    world_to_voxel = world_to_voxel.detach().float() if device.type == "xpu" else world_to_voxel.detach()
    return world_to_voxel.to(device, non_blocking=True).contiguous()


def _on(device: torch.device) -> Any:
    """A context in which the device is the current one; entering it costs some microseconds, where it is needed."""
    if device.type == "cpu":
        return nullcontext()
    module = torch.get_device_module(device)
    return nullcontext() if device.index == module.current_device() else module.device(device)


@cache
def _threads_that_fill(device: torch.device) -> int:
    if device.type == "cpu":  # under Triton's interpreter
        return 1
    properties: Any = torch.get_device_module(device).get_device_properties(device)
    processors = properties.gpu_subslice_count if device.type == "xpu" else properties.multi_processor_count
    return processors * THREADS_PER_PROCESSOR
