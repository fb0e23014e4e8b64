"""Compile the Triton kernels for a GPU that need not be there: `python tests/compile_kernels.py cuda:90 [case ...]`.

The operators are called as ever, on tensors of the CPU, and launch as ever, so that Triton's own launcher types and
specialises the arguments. Only its driver is a stand-in, which names the target, and kernels are compiled instead of
run. Prints a line of JSON for each kernel. Run without TRITON_INTERPRET, which leaves nothing to compile.
"""

import importlib.util
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import torch
import triton.language as tl
from kernel_cases import affine, cone, random_volume
from mesh_cases import pinhole, potato
from torch import Tensor
from triton.backends.compiler import GPUTarget
from triton.runtime import driver
from triton.runtime.jit import JITFunction

from raygrad import kernels
from raygrad.kernels import _backends
from raygrad.kernels._gpu import launch, marching

RENDERERS = ("siddon", "joseph", "trilinear")
HEIGHT, WIDTH = 5, 6


class Driver:
    """What Triton asks before it compiles. Targets are "cuda:90" (compute capability 9.0), "hip:gfx942" and so on."""

    def __init__(self, target: str):
        backend, architecture = target.split(":")
        nvidia = backend == "cuda"
        self.target = GPUTarget(backend, int(architecture) if nvidia else architecture, 32 if nvidia else 64)

    def get_current_target(self) -> GPUTarget:
        return self.target

    def get_current_device(self) -> int:
        return 0

    def get_current_stream(self, device: int) -> int:
        return 0


def cases() -> dict[str, Callable[[], object]]:
    """Calls that together launch every kernel in all its forms, by name."""
    calls: dict[str, Callable[[], object]] = {}

    def add(name: str, renderer: str, function: Callable[..., object] = render, **options: Any) -> None:
        calls[f"{renderer}: {name}"] = partial(function, renderer, **options)

    for renderer in RENDERERS:
        for cameras, reducefn, jacobian in product((False, True), ("sum", "max"), (False, True)):
            name = f"{reducefn} by {'cameras' if cameras else 'rays'}{', derivatives' if jacobian else ''}"
            add(name, renderer, cameras=cameras, reducefn=reducefn, jacobian=jacobian)
        for dtype, jacobian in product((torch.float64, torch.bfloat16, torch.float16), (False, True)):
            add(f"{dtype}{', derivatives' if jacobian else ''}", renderer, dtype=dtype, jacobian=jacobian)
        for jacobian, cameras in product((False, True), (False, True)):
            name = f"labels by {'cameras' if cameras else 'rays'}{', derivatives' if jacobian else ''}"
            add(name, renderer, labels=True, jacobian=jacobian, cameras=cameras)
        add("rays in float64, derivatives", renderer, rays=torch.float64, jacobian=True)
        for parts in (2, 8, 32):  # how threads share rays decides how numbers come to them
            add(f"in {parts} parts", renderer, parts=parts)
            add(f"in {parts} parts, derivatives", renderer, parts=parts, jacobian=True)
            add(f"adjoint in {parts} parts", renderer, adjoint, parts=parts)
        add("64-bit places, derivatives", renderer, places=tl.int64, jacobian=True)
        add("one voxel thick, derivatives", renderer, shape=(1, 6, 5), jacobian=True)
        for labels, exact in product((False, True), (False, True)):
            name = f"adjoint{' by labels' if labels else ''}{', exact' if exact else ''}"
            add(name, renderer, adjoint, labels=labels, exact=exact)
        for dtype in (torch.float64, torch.bfloat16):
            add(f"adjoint in {dtype}", renderer, adjoint, dtype=dtype)
        add("adjoint with 64-bit places", renderer, adjoint, places=tl.int64)
        for exact in (False, True):
            add(f"adjoint of max{', exact' if exact else ''}", renderer, adjoint, reducefn="max", exact=exact)
        add("gradients by cameras", renderer, camera_gradients)
    for dtype in (torch.float32, torch.float64, torch.bfloat16):
        calls[f"voxel-driven {dtype}"] = partial(voxel_driven, dtype)
    for dtype, hint in product((torch.float32, torch.float64), (False, True)):
        for name in ("march_mesh", "march_mesh_with_jacobian", "march_mesh_adjoint"):
            calls[f"{name} {dtype}{', hint' if hint else ''}"] = partial(mesh, name, dtype, hint)
    return calls


def render(
    renderer,
    *,
    dtype=torch.float32,
    rays=None,
    shape=(16, 12, 11),
    labels=False,
    cameras=False,
    jacobian=False,
    **options,
):
    """Line integrals or maxima, with their derivatives or without."""
    volume, options = random_volume(*shape).to(dtype), _settings(renderer, shape, labels, **options)
    if cameras:
        function = kernels.project_cameras_with_jacobian if jacobian else kernels.project_cameras
        return function(volume, *_cameras(), affine(), height=HEIGHT, width=WIDTH, **options)
    function = kernels.project_with_jacobian if jacobian else kernels.project
    return function(volume, *_rays(rays or kernels.sums_in(dtype)), affine(), image_width=WIDTH, **options)


def adjoint(renderer, *, dtype=torch.float32, exact=False, labels=False, **options):
    """The gradient for a volume, in floating point or, `exact`, in integers."""
    volume = random_volume(16, 12, 11).to(dtype).requires_grad_()
    image = kernels.project(
        volume,
        *_rays(kernels.sums_in(dtype)),
        affine(),
        image_width=WIDTH,
        **_settings(renderer, volume.shape, labels, **options),
    )
    torch.use_deterministic_algorithms(exact)
    torch.autograd.grad(image.sum(), volume)
    torch.use_deterministic_algorithms(False)


def camera_gradients(renderer):
    """Gradients for a volume and a pose, from one image."""
    leaves = [random_volume(16, 12, 11).float().requires_grad_(), _cameras()[0].requires_grad_()]
    options = _settings(renderer, leaves[0].shape)
    pixel_to_camera = _cameras()[1]
    image = kernels.project_cameras(*leaves, pixel_to_camera, affine(), height=HEIGHT, width=WIDTH, **options)
    return torch.autograd.grad(image.sum(), leaves)


def voxel_driven(dtype):
    """Back projection driven by voxels."""
    volume, images = random_volume(16, 12, 11).to(dtype), torch.ones(2, HEIGHT, WIDTH).to(dtype)
    torch.ops.raygrad.add_voxel_driven_(volume, images, torch.ones(2, 3, 4), torch.ones(2), "gpu")


def mesh(name, dtype, hint):
    """Rays of a camera through a closed mesh."""
    source, target, world_to_pixel = pinhole(HEIGHT, WIDTH, 3.1)
    vertices, faces = potato(1)
    rays = (vertices[None].to(dtype), source.to(dtype), target.to(dtype), faces.int())
    cotangent = [torch.ones(1, HEIGHT * WIDTH, dtype=dtype)] if name == "march_mesh_adjoint" else []
    hint = (world_to_pixel, WIDTH) if hint else (None, 0)
    getattr(torch.ops.raygrad, name)(*cotangent, *rays, *hint, "gpu")


def _settings(renderer, shape, labels=False, *, reducefn="sum", parts=1, places=None) -> dict[str, Any]:
    launch._threads_that_fill = lambda device: HEIGHT * WIDTH * parts  # rays are split when there are fewer
    marching.index_dtype = launch.index_dtype if places is None else lambda volume: places
    settings = {"renderer": renderer, "n_points": 20, "reducefn": reducefn, "backend": "gpu"}
    if labels:
        settings |= {"labels": torch.ones(tuple(shape), dtype=torch.uint8), "n_channels": 3}
    return settings


def _rays(dtype: torch.dtype) -> list[Tensor]:
    ends = cone((3.117, -20.03, 2.213), (2.934, 18.1, 2.171), HEIGHT, WIDTH, 2.317)
    return [points.to(dtype) for points in ends]


def _cameras() -> tuple[Tensor, Tensor]:
    return torch.eye(4)[None].clone(), torch.eye(4)[None]


def compile_instead_of_running(target: str) -> list[tuple[str, dict[str, Any]]]:
    """From now on compile what is launched. Returns the list to which kernels' names and stages of code are added."""
    driver.set_active(Driver(target))
    _backends.interpreted = lambda: True  # so that tensors of the CPU are let through; `launch` knows better
    compiled: list[tuple[str, dict[str, Any]]] = []
    run = JITFunction.run

    def compile_only(kernel, *arguments, warmup=False, **options):
        compiled.append((kernel.fn.__name__, run(kernel, *arguments, warmup=True, **options).asm))

    JITFunction.run = compile_only
    return compiled


def resources(asm: dict[str, Any]) -> dict[str, int]:
    """What a compiled kernel takes: registers, bytes of memory for what they did not hold, barriers inside loops."""
    if "amdgcn" in asm:
        found = dict(re.findall(r"\.(vgpr_count|vgpr_spill_count|private_segment_fixed_size):\s+(\d+)", asm["amdgcn"]))
        registers = int(found["vgpr_count"])
        spilled = 4 * int(found["vgpr_spill_count"]) + int(found["private_segment_fixed_size"])
        assembly, machine_code = asm["amdgcn"], asm["hsaco"]
    else:
        with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
            file.write(asm["cubin"])
            file.flush()
            printed = subprocess.check_output([cuobjdump(), "-res-usage", file.name], text=True)
        found = dict(re.findall(r"(REG|STACK|LOCAL):(\d+)", printed))
        registers, spilled = int(found["REG"]), int(found["STACK"]) + int(found["LOCAL"])
        assembly, machine_code = asm["ptx"], asm["cubin"]
    barriers = barriers_in_loops(assembly)
    return {"registers": registers, "spilled": spilled, "barriers": barriers, "machine_code": len(machine_code)}


def barriers_in_loops(assembly: str) -> int:
    """How often an iteration waits for all threads of its program, as it does when numbers change hands among them."""
    lines = assembly.splitlines()
    labels = {found[1]: i for i, line in enumerate(lines) if (found := re.match(r"\s*([.$]L\w+):", line))}
    branches = ((i, re.search(r"\b(?:bra|s_c?branch)\S*\s+([.$]L\w+)", line)) for i, line in enumerate(lines))
    loops = [range(labels[found[1]], i) for i, found in branches if found and labels[found[1]] < i]
    waits = (i for i, line in enumerate(lines) if re.search(r"\bbar(rier)?(\.cta)?\.sync|s_barrier", line))
    return sum(any(i in loop for loop in loops) for i in waits)


def cuobjdump() -> Path:
    """NVIDIA's program that reads machine code; Triton brings it along."""
    return Path(importlib.util.find_spec("triton.backends.nvidia").origin).parent / "bin" / "cuobjdump"


def main() -> None:
    """Compile the cases named, or all of them, for a target."""
    target, *chosen = sys.argv[1:]
    calls, compiled = cases(), compile_instead_of_running(target)
    for name in chosen or calls:
        compiled.clear()
        calls[name]()
        for kernel, asm in compiled:
            print(json.dumps({"case": name, "kernel": kernel, **resources(asm)}), flush=True)


if __name__ == "__main__":
    main()
