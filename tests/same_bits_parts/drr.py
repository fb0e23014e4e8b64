"""DRRs: all renderers and all that a DRR can be told."""

from itertools import product
from typing import Any

import numpy as np
import torch

from same_bits_parts.names import Names
from same_bits_parts.parts import DOUBLE, DTYPES, RENDERERS, Results, euler, part, seeded, thorax, with_gradients


def small_subject(rg: Names, orientation: str | None = "AP", shape: tuple[int, int, int] = (12, 10, 8)) -> Any:
    """Random voxels with labels on an oblique, left-handed grid about the origin."""
    directions = euler(rg, [25.0, -40.0, 70.0], [0.0, 0, 0]).rotation[0].numpy()
    affine = np.eye(4)
    affine[:3, :3] = directions @ np.diag([4.0, -3.0, 5.0])
    affine[:3, 3] = -affine[:3, :3] @ (np.array(shape) - 1) / 2
    density = torch.rand(shape, generator=seeded(0))
    labels = torch.arange(density.numel()).reshape(shape) % 3
    return rg.Subject(rg.Volume(density, affine), density=density, mask=labels, orientation=orientation)


SMALL = {"height": 12, "delx": 6.0, "width": 9, "dely": 5.0, "x0": 3.0, "y0": -2.0}
STANDPOINTS = {"AP": [1.0, 850.0, 2.0], "PA": [1.0, -850.0, 2.0], None: [1.0, 2.0, -850.0]}


@part("drr/gradients")
def drr_gradients(rg: Names) -> Results:
    """Images, with gradients by pose, volume and intrinsics, of every renderer and either direction of the rows."""
    subject = small_subject(rg)
    for dtype, renderer, backend, reverse, labels in product(
        DTYPES, RENDERERS, ("cpu", "reference"), (True, False), (False, True)
    ):
        if backend == "reference" and not (reverse and labels):
            continue
        samples = {"n_points": 40} if renderer == "trilinear" else {}

        camera = {"renderer": renderer, "reverse_x_axis": reverse, "backend": backend}

        def image(rotation, xyz, density, sdd, delx, dely, x0, y0, camera=camera, options=samples, labels=labels):
            drr = rg.DRR(subject, sdd, 7, delx, 6, dely, x0, y0, **camera).to(density.dtype)
            drr.density = density
            pose = {"parameterization": "euler_angles", "convention": "ZXY"}
            return drr(rotation, xyz, **pose, mask_to_channels=labels, **options)

        leaves = {"rotation": torch.tensor([[0.1, -0.2, 0.3], [0.2, 0.1, -0.3]], dtype=DOUBLE)}
        leaves["xyz"] = torch.tensor([[1.0, 850.0, 2.0], [-5.0, 800.0, 5.0]], dtype=DOUBLE)
        leaves["density"] = subject.density.data[0]
        lengths = {"sdd": 1020.0, "delx": 9.1, "dely": 8.3, "x0": 3.0, "y0": -2.0}
        leaves |= {name: torch.tensor(value, dtype=DOUBLE) for name, value in lengths.items()}
        leaves = {name: leaf.to(DTYPES[dtype]) for name, leaf in leaves.items()}
        rows = "reversed" if reverse else "not reversed"
        yield f"{dtype}/{renderer}/{backend}/{rows}/{'labels' if labels else 'whole'}", with_gradients(image, **leaves)


@part("drr/options")
def drr_options(rg: Names) -> Results:
    """What a DRR can be told: orientations, Jacobians, subsampling, calibrations, projections of points."""
    for renderer, orientation, reverse in product(RENDERERS, STANDPOINTS, (True, False)):
        subject = small_subject(rg, orientation)
        pose = euler(rg, [[10.0, -15, 5], [-20, 8, 12]], [STANDPOINTS[orientation]] * 2, torch.float32)
        samples = {"n_points": 40} if renderer == "trilinear" else {}

        def made(**more: Any) -> Any:
            return rg.DRR(subject, 1020.0, **SMALL, reverse_x_axis=reverse, renderer=renderer, **more)  # noqa: B023

        drr = made()
        found = {
            "image": drr(pose, **samples),
            "labels": drr(pose, mask_to_channels=True, **samples),
            "jacobian": drr.project_with_jacobian(pose, **samples),
            "jacobian of labels": drr.project_with_jacobian(pose, mask_to_channels=True, **samples),
            "rays": made(reshape=False)(pose, **samples),
            "maximum": made(reducefn="max")(pose, **samples),
            "voxels by corners": made(voxel_shift=0.0)(pose, **samples),
            "float64": made().to(DOUBLE)(pose, **samples),
            "float64 pose": drr(pose.to(DOUBLE), **samples),
        }
        torch.manual_seed(3)
        part_of_it = made(p_subsample=0.4)
        found["sample"], found["subsampled"] = part_of_it.detector.subsamples[-1], part_of_it(pose, **samples)
        found["labels subsampled"] = part_of_it(pose, mask_to_channels=True, **samples)
        maps = drr.detector.calibration.matrix.reshape(4, 4).clone()
        maps[:2, 3] += torch.tensor([5.0, -3.0])
        maps[0, 1] = 0.2
        by_pose = torch.stack([maps, drr.detector.calibration.matrix.reshape(4, 4)])
        found["calibration"] = [drr(pose, calibration=own, **samples) for own in (maps, by_pose)]
        found["calibration, jacobian"] = drr.project_with_jacobian(pose, maps, **samples)
        points = 30 * torch.rand(2, 5, 3, generator=seeded(4)) - 15
        found["pixels"] = drr.perspective_projection(pose, points)
        found["points"] = drr.inverse_projection(pose, found["pixels"])
        drr.rescale_detector_(0.5)
        found["rescaled"] = drr(pose, **samples)
        drr.set_intrinsics_(sdd=1100.0, height=7, delx=8.5, x0=1.0)
        found["other intrinsics"] = drr(pose, **samples)
        yield f"{renderer}/{orientation}/{'reversed' if reverse else 'not reversed'}", found


@part("drr/thorax")
def drr_thorax(rg: Names) -> Results:
    """The thorax, from its voxels to images of it."""
    subject = thorax(rg)
    yield "subject", {"density": subject.density.data, "mask": subject.mask.data, "affine": subject.volume.affine}
    for renderer in RENDERERS:
        drr = rg.DRR(subject, sdd=1020.0, height=48, delx=8.0, renderer=renderer)
        samples = {"n_points": 100} if renderer == "trilinear" else {}
        pose = euler(rg, [[0.0, 0, 0], [90, 10, -5]], [[0.0, 850, 0], [10, 840, -20]], torch.float32)
        image, jacobian = drr.project_with_jacobian(pose, **samples)
        yield renderer, {"image": drr(pose, **samples), "with jacobian": image, "jacobian": jacobian}
        yield f"{renderer}/structures", drr(euler(rg, [5.0, 6, 7], [0.0, 850, 0]), mask_to_channels=True, **samples)
