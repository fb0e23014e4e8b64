"""How the similarity of two X-ray images falls off around the true pose: six slices through the six parameters."""

from typing import Any

import torch

from raygrad.data import Subject
from raygrad.drr import DRR
from raygrad.landscape import Landscape, compute_landscape
from raygrad.visualization import plot_landscape

TRUE_ROTATION, TRUE_TRANSLATION = (0.0, 0.0, 0.0), (0.0, 850.0, 0.0)


def compute(drr: DRR, steps: int) -> Landscape:
    """Minus the mNCC with the image at the true pose while two of the six parameters move."""
    rotation, translation = torch.tensor([TRUE_ROTATION]), torch.tensor([TRUE_TRANSLATION])
    return compute_landscape(drr, rotation, translation, convention="ZYX", steps=steps, progress=True)


def draw_landscape(subject: Subject, quick: bool = False) -> tuple[Any, str]:
    """A figure of the six slices, and a sentence about it."""
    pixels, steps = (50, 7) if quick else (100, 11)
    landscape = compute(DRR(subject, sdd=1020.0, height=pixels, delx=400.0 / pixels), steps)
    flattest = landscape.flattest("mm")
    meaning = (
        "The loss (minus mNCC) around the true pose: in each slice two of the six pose parameters move. Its minimum, "
        f"{landscape.loss_at_truth:.3g}, is at the true pose; the flattest direction is {flattest}"
        f"{', the depth' if flattest == 'y' else ''}."
    )
    return plot_landscape(landscape), meaning
