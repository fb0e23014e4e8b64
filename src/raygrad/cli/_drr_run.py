"""`raygrad drr`: one X-ray image of a CT."""

import time
from pathlib import Path
from typing import Any

import torch

from raygrad.data import Subject
from raygrad.drr import DRR
from raygrad.formats import check_output, save_image
from raygrad.pose import RigidTransform


def render_to_file(
    subject: Subject,
    pose: RigidTransform,
    output: Path,
    *,
    window: tuple[float, float] | None = None,
    bits: int = 8,
    invert: bool = False,
    device: torch.device | str = "cpu",
    **camera: Any,
) -> str:
    """Render the subject from a pose, write the image and return a sentence about it.

    It is rendered on `device`. `camera` are arguments of `raygrad.drr.DRR`.

    Raises:
        ValueError: an argument that makes no X-ray system, or a name that cannot be written to.
    """
    check_output(output)
    drr = DRR(subject, **camera).to(device)
    start = time.perf_counter()
    with torch.no_grad():
        image = drr(pose.to(device))[0, 0].cpu()
    seconds = time.perf_counter() - start
    spacing = (float(drr.detector.delx), float(drr.detector.dely))
    save_image(image.numpy(), output, spacing, window=window, bits=bits, invert=invert)
    height, width = image.shape
    return (
        f"{output}: {width} x {height} pixels of {spacing[0]:g} x {spacing[1]:g} mm, line integrals "
        f"{image.min():.3g} to {image.max():.3g}, rendered in {1000 * seconds:.0f} ms"
    )
