"""One call from images to a volume."""

import sys
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from raygrad._processes import Processes
from raygrad.distributed import shard
from raygrad.geometry import UnknownGeometry, Views
from raygrad.projector import Projector
from raygrad.reconstruction._calibration.calibrate import calibrate as refine
from raygrad.reconstruction._checkpoint import Resumption
from raygrad.reconstruction._checks import check_dtype, check_images, check_mask
from raygrad.reconstruction._estimate import check_memory, estimate
from raygrad.reconstruction._iterate import iterate
from raygrad.reconstruction._iterative_method import IterativeMethod
from raygrad.reconstruction._method import Method
from raygrad.reconstruction._options import make_method, refuse_unknown
from raygrad.reconstruction._polychromatic.method import Polychromatic
from raygrad.reconstruction._result import ReconstructionResult

Say = Callable[[Any], None]


def reconstruct(
    images: Tensor,
    views: Views,
    volume_geometry: Any,
    *,
    method: Method | str | None = None,
    renderer: str = "joseph",
    physics: Any = None,
    mask: Any = None,
    support: Any = None,
    start: Tensor | None = None,
    calibrate: UnknownGeometry | str | Iterable[str] | None = None,
    device: torch.device | str | None = None,
    processes: Processes | None = None,
    progress: bool = False,
    say: Say | None = None,
    interrupt: Callable[[], bool] | None = None,
    **options: Any,
) -> ReconstructionResult:
    """Reconstruct a volume from X-ray images.

    Args:
        images: line integrals (view, height, width), float32 or float64: -log(I / I0) of what a detector measured. The
            volume is attenuation per mm, in their dtype.
        views: what the images were taken with: see `raygrad.geometry.trajectories` and `raygrad.geometry`.
        volume_geometry: where the voxels shall lie: a `VolumeGeometry`, `Volume`, `Subject` or `DRR`.
        method: a method of `raygrad.reconstruction`, or the name of one: "fdk" (one pass; full circles, short scans,
            parallel beams), "sirt", "os_sart" (the default), "cgls", "osem", "tv" (few or noisy views), "adam" (any
            loss and regulariser), "polychromatic" (the default with `physics`).
        renderer: which projector the iterative methods invert: "joseph", "siddon" or "trilinear".
        physics: what the images were taken with, a `Physics`: they are fitted as its spectrum makes them, which leaves
            no beam hardening, see `raygrad.reconstruction.Polychromatic`. For the other methods it is corrected in the
            images, see `raygrad.reconstruction.correct_beam_hardening`.
        mask: (view, height, width), 0 or False for pixels that do not count (beyond a shutter, saturated, dead),
            whatever they hold: the volume is the one that the other rays lead to alone. For methods that iterate, and
            without `calibrate`. A loss of one's own sees 0 in such pixels, rendered and measured.
        support: (x, y, z) of the voxels that may differ from 0.
        start: (x, y, z) that an iterative method starts from; zeros by default.
        calibrate: what is not known well and refined first: "poses", or ("poses", ...) with intrinsics, or an
            `UnknownGeometry` that says how well; see `raygrad.reconstruction.calibrate`. The result's views are the
            refined ones.
        device: what computes, and where the volume is; by default where the images are.
        processes: share the views among processes, each of which makes this call: see `raygrad.distributed`. Of the
            images each reads and moves its own part, so they may be memory-mapped; calibration takes all in each.
        progress: say what it will take, and show a bar with the residual.
        say: called by the first process with what there is to say before the iterations, whose `str` is a sentence: an
            `Estimate`, a `Calibration`, a `Resumption` from a checkpoint. By default it is printed with `progress`.
        interrupt: asked many times an iteration, and in one-pass methods, whether to end at once: True raises
            `Interrupted`, and what there was of the volume is what `callback` saw last. (A `callback` that returns True
            ends a run after its iteration, with a result.) Not where processes share the views.
        options: the fields of `raygrad.reconstruction.Control`: `iterations`, `tolerance`, `residual`, `callback`,
            `checkpoint` and `checkpoint_every`; and where `method` is a name, the method's own.

    Raises:
        TypeError, ValueError: an argument that is not as described, or an option that the method does not have, found
            before any work.
        MemoryError: it does not fit; says how much it needs and what to lower.
        FloatingPointError: the volume is no longer finite: the steps were too long.
        Interrupted: `interrupt` said so.
    """
    if physics is not None:
        if method not in (None, Polychromatic.name):
            raise ValueError(
                f"Expected method='polychromatic', or none, with physics. Got {method!r}, which knows of one energy: "
                "correct_beam_hardening corrects the images for it."
            )
        options["physics"] = physics
    default = "os_sart" if physics is None else Polychromatic.name
    chosen, control = make_method(default if method is None else method, options)
    if start is not None:
        refuse_unknown(type(chosen), {"start": start})
    unknowns = None if calibrate is None else UnknownGeometry.of(calibrate)
    check_dtype(images)
    processes = Processes() if processes is None else processes
    chosen.check_processes(processes)
    if interrupt is not None and processes.count > 1:
        raise ValueError("Expected one process, to be interrupted. Got several, which would wait for each other.")
    device = images.device if device is None else torch.device(device)
    say = (_print if progress else None) if say is None else say
    is_first = processes.rank == 0

    whole = Projector(volume_geometry, views, renderer, mask=check_mask(mask, views), interrupt=interrupt).to(device)
    if whole.mask is not None:
        chosen.check_mask()
        if unknowns is not None:
            raise ValueError("Expected images without a mask to calibrate by. Got both: calibrate by all pixels first.")
    check_memory(whole, chosen, processes)
    projector, own = shard(whole, images, processes)
    own = check_images(projector, own.to(device))
    if say is not None and is_first:
        say(estimate(whole, chosen, control.iterations, processes=processes))
    calibration = None
    if unknowns is not None:
        calibration = refine(whole, images.to(device), unknowns, progress=progress and is_first)
        projector, _ = shard(whole.with_views(calibration.views), images, processes)
        if say is not None and is_first:
            say(calibration)
    if isinstance(chosen, IterativeMethod):
        if say is not None and is_first and control.checkpoint is not None and Path(control.checkpoint).exists():
            say(Resumption.of(control.checkpoint))
        solver = chosen.solver(projector, own, support=support, start=start)
        result = iterate(solver, replace(control, progress=progress))
    else:
        result = chosen(projector, own, support=support)
    return replace(result, calibration=calibration)


def _print(sentence: Any) -> None:
    print(sentence, file=sys.stderr)
