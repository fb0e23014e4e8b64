"""One call from images to a volume."""

import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from torch import Tensor

from raygrad._processes import Processes
from raygrad.distributed import shard
from raygrad.geometry import Views
from raygrad.projector import Projector
from raygrad.reconstruction._calibration.calibrate import calibrate as refine
from raygrad.reconstruction._checks import check_dtype, check_images
from raygrad.reconstruction._estimate import check_memory, estimate
from raygrad.reconstruction._methods.adam import adam
from raygrad.reconstruction._methods.cgls import cgls
from raygrad.reconstruction._methods.fdk import fdk
from raygrad.reconstruction._methods.os_sart import os_sart
from raygrad.reconstruction._methods.osem import osem
from raygrad.reconstruction._methods.sirt import sirt
from raygrad.reconstruction._methods.tv import tv
from raygrad.reconstruction._result import ReconstructionResult

METHODS: dict[str, Callable[..., ReconstructionResult]] = {
    "fdk": fdk,
    "sirt": sirt,
    "os_sart": os_sart,
    "cgls": cgls,
    "osem": osem,
    "tv": tv,
    "adam": adam,
}


def reconstruct(
    images: Tensor,
    views: Views,
    volume_geometry: Any,
    *,
    method: str = "os_sart",
    renderer: str = "joseph",
    calibrate: str | tuple[str, ...] | None = None,
    processes: Processes | None = None,
    progress: bool = False,
    **options: Any,
) -> ReconstructionResult:
    """Reconstruct a volume from X-ray images.

    Args:
        images: line integrals (view, height, width), float32 or float64: -log(I / I0) of what a detector measured. The
            volume is attenuation per mm, on the images' device and in their dtype.
        views: what the images were taken with: see `raygrad.geometry.trajectories` and `raygrad.geometry`.
        volume_geometry: where the voxels shall lie: a `VolumeGeometry`, `Volume`, `Subject` or `DRR`.
        method: "fdk" (one pass; full circles, short scans, parallel beams), "sirt", "os_sart", "cgls", "osem", "tv"
            (few or noisy views) or "adam" (any loss and regulariser): the functions of `raygrad.reconstruction`.
        renderer: which projector the iterative methods invert: "joseph", "siddon" or "trilinear".
        calibrate: what is not known well and refined first: "poses", or ("poses", ...) with intrinsics; see
            `raygrad.reconstruction.calibrate`. The result's views are the refined ones.
        processes: share the views among processes, each of which makes this call: see `raygrad.distributed`.
        progress: say what it will take, and show a bar with the residual.
        options: the method's own; `nonnegative`, `support` and `start`; and of `raygrad.reconstruction.iterate`
            `iterations`, `tolerance`, `residual`, `callback`, `checkpoint` and `checkpoint_every`.

    Raises:
        TypeError, ValueError: an argument that is not as described, found before any work.
        MemoryError: it does not fit; says how much it needs and what to lower.
    """
    if method not in METHODS:
        raise ValueError(f"Expected method to be one of {', '.join(METHODS)}. Got {method!r}.")
    check_dtype(images)
    projector = Projector(volume_geometry, views, renderer).to(images.device)
    check_memory(projector, method)
    calibration = None
    if calibrate is not None:
        calibration = refine(projector, images, unknowns=calibrate, progress=progress)
        projector = projector.with_views(calibration.views)
    whole = projector
    processes = Processes() if processes is None else processes
    projector, images = shard(projector, images, processes)
    images = check_images(projector, images)
    if progress and processes.rank == 0:
        expected = estimate(whole, method, options.get("iterations"), processes=processes.count)
        print(f"{method}: {expected}", file=sys.stderr)
    if method != "fdk":
        options["progress"] = progress
    result = METHODS[method](projector, images, **options)
    return result if calibration is None else replace(result, calibration=calibration)
