"""Kernels: images, gradients, Jacobians and adjoints of raw tensors."""

from itertools import product
from typing import Any

import torch
from torch import Tensor

from same_bits_parts.names import Names, call, cases, spelling
from same_bits_parts.parts import DOUBLE, DTYPES, RENDERERS, Results, part, random_like, seeded, with_gradients


@part("kernels/cases")
def kernel_cases(rg: Names) -> Results:
    """Every scene of the kernels' tests: images, gradients, Jacobians, adjoints."""
    module = cases("kernel_cases")
    scenes = module.scenes() | module.degenerate_scenes()
    for name, backend, dtype, renderer in product(scenes, ("cpu", "reference"), DTYPES, RENDERERS):
        scene = scenes[name].to(DTYPES[dtype])
        for reducefn in ("sum", "max") if scene.labels is None else ("sum",):
            settings = {"renderer": renderer, "n_points": 36, "labels": scene.labels, "backend": backend}
            settings |= {"image_width": scene.image_width}

            def image(volume: Tensor, source: Tensor, target: Tensor, more=settings | {"reducefn": reducefn}) -> Tensor:
                return call(rg.project, volume, source, target, scene.world_to_voxel, **more)  # noqa: B023

            ends = {"source": scene.source, "target": scene.target}
            found: dict[str, Any] = with_gradients(image, volume=scene.volume, **ends)
            rays = (scene.source, scene.target, scene.world_to_voxel)
            found["again"], found["jacobian"] = call(
                rg.project_with_jacobian, scene.volume, *rays, **settings, reducefn=reducefn
            )
            if reducefn == "sum":
                found["adjoint"] = call(rg.backproject, random_like(found["again"], 3), scene.volume, *rays, **settings)
            yield f"{backend}/{dtype}/{renderer}/{reducefn}/{name}", found


def grid_of(shape: tuple[int, ...], spacing: tuple[float, float, float]) -> Tensor:
    """world_to_voxel of a grid about the origin."""
    voxel_to_world = torch.diag(torch.tensor([*spacing, 1.0], dtype=DOUBLE))
    middle = (torch.tensor(shape, dtype=DOUBLE) - 1) / 2
    voxel_to_world[:3, 3] = -middle * torch.tensor(spacing, dtype=DOUBLE)
    return torch.linalg.inv(voxel_to_world)


@part("kernels/layouts")
def kernel_layouts(rg: Names) -> Results:
    """Volumes of several bricks and tiles in every memory order, occupied in part, marched from cameras and rays."""
    shape = (35, 41, 52)
    volume = torch.rand(shape, generator=seeded(1), dtype=DOUBLE)
    volume[:18] = 0
    volume[:, 34:] = 0
    labels = (torch.rand(shape, generator=seeded(2)) * 3).to(torch.int16)
    world_to_voxel = grid_of(shape, (2.0, 1.7, 1.3))
    views = rg.circular(3, sdd=300.0, sid=200.0, height=24, width=31, delx=4.0, start_deg=11.0, dtype=DOUBLE)
    for dtype, renderer, order in product(DTYPES, RENDERERS, ((0, 1, 2), (2, 1, 0), (0, 2, 1))):
        back = [order.index(axis) for axis in range(3)]
        own = volume.to(DTYPES[dtype]).permute(order).contiguous().permute(back)
        source, target = (ends.to(own) for ends in views.rays())
        rays = (source, target, world_to_voxel)
        settings = {"renderer": renderer, "n_points": 50, "image_width": 31, "backend": "cpu"}
        found = {"image": call(rg.project, own, *rays, **settings, occupancy=rg.prepare(own))}
        found["label images"], found["label jacobian"] = call(
            rg.project_with_jacobian, own, *rays, **settings, labels=labels
        )
        cotangent = random_like(found["image"])
        found["adjoint"] = call(rg.backproject, cotangent, own, *rays, **settings)
        found["adjoint of labels"] = call(
            rg.backproject, random_like(found["label images"]), own, *rays, **settings, labels=labels
        )
        found["adjoint into"] = call(rg.backproject, cotangent, own, *rays, **settings, out=torch.full_like(own, 7.0))
        yield f"{dtype}/{renderer}/{''.join('xyz'[axis] for axis in order)}", found


@part("kernels/cameras")
def kernel_cameras(rg: Names) -> Results:
    """The projections that make their rays from poses, with gradients by pose and by pixels."""
    shape = (9, 10, 12)
    volume = torch.rand(shape, generator=seeded(1), dtype=DOUBLE)
    world_to_voxel = grid_of(shape, (4.0, 5.0, 3.0))
    pose = rg.circular(2, sdd=300.0, sid=200.0, height=2, delx=1.0, start_deg=11.0, dtype=DOUBLE).camera_to_world
    pixels = torch.tensor([[[-5.0, 0, 1, 0], [0, -4, 2, 0], [0, 0, 300, 0], [0, 0, 0, 1]]], dtype=DOUBLE)
    for dtype, renderer, backend in product(DTYPES, RENDERERS, ("cpu", "reference")):
        options = {"height": 7, "width": 9, "backend": backend, "n_points": 30}
        options[spelling(rg.project, "renderer")] = renderer
        leaves = {"volume": volume, "pose": pose, "pixels": pixels}
        leaves = {name: leaf.to(DTYPES[dtype]) for name, leaf in leaves.items()}

        def image(volume: Tensor, pose: Tensor, pixels: Tensor, options: dict[str, Any] = options) -> Tensor:
            return rg.project_cameras(volume, pose, pixels, world_to_voxel, **options)

        jacobian = rg.project_cameras_with_jacobian(*leaves.values(), world_to_voxel, **options)[1]
        yield f"{dtype}/{renderer}/{backend}", with_gradients(image, **leaves) | {"jacobian": jacobian}


@part("kernels/columns")
def kernel_columns(rg: Names) -> Results:
    """Scans whose image columns stand along the memory of the volume, from many to few pixels a voxel."""
    system = {"sdd": 300.0, "sid": 200.0, "height": 34, "width": 21, "start_deg": 11.0, "dtype": DOUBLE}
    scans = {
        **{
            f"pixels of {dely}": rg.circular(5, delx=4.0, dely=dely, y0=3.0, **system)
            for dely in (0.02, 1.0, 4.0, 40.0)
        },
        "helix": rg.helical(5, pitch=30.0, turns=1.5, delx=4.0, **system),
        "parallel": rg.parallel(5, height=34, width=21, delx=2.2, start_deg=11.0, dtype=DOUBLE),
        "beside": rg.circular(5, delx=4.0, x0=60.0, y0=40.0, **system),
        "leaning axis": rg.circular(5, delx=4.0, axis=(0.1, 0.2, 1.0), **system),
        "along x": rg.circular(5, delx=4.0, axis=(1.0, 0.0, 0.0), **system),
    }
    shape = (19, 17, 21)
    world_to_voxel = grid_of(shape, (2.0, 2.5, 3.0))
    for dtype, renderer, (name, views) in product(DTYPES, ("joseph", "siddon"), scans.items()):
        volume = torch.rand(shape, generator=seeded(5), dtype=DOUBLE).to(DTYPES[dtype])
        rays = (*(ends.to(volume) for ends in views.rays()), world_to_voxel)
        settings = {"renderer": renderer, "image_width": 21, "backend": "cpu"}
        image = call(rg.project, volume, *rays, **settings)
        adjoint = call(rg.backproject, random_like(image), volume, *rays, **settings)
        yield f"{dtype}/{renderer}/{name}", {"image": image, "adjoint": adjoint}


@part("kernels/voxel-driven")
def voxel_driven(rg: Names) -> Results:
    """Every scan of the tests of the voxel-driven back projection."""
    module = cases("voxel_driven_cases")
    for backend, dtype, axis in product(("cpu", "reference"), DTYPES, module.AXES):
        scan = module.circle(axis, DTYPES[dtype])
        for order, volume in module.memory_orders(module.SHAPES["cpu"], DTYPES[dtype]).items():
            yield f"{backend}/{dtype}/about {axis}/{order}", rg.add_voxel_driven_(volume, *scan, backend=backend)
        images, maps, distance = module.random_maps(12)
        volume = torch.ones(11, 30, 13, dtype=DTYPES[dtype])
        found = rg.add_voxel_driven_(volume, images.to(volume), maps, distance, backend=backend)
        if axis == module.AXES[0]:
            yield f"{backend}/{dtype}/random maps", found
