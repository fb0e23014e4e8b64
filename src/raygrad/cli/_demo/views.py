"""X-ray images from three directions."""

import time
from typing import Any

import torch

from raygrad.data import Subject
from raygrad.drr import DRR
from raygrad.visualization import plot_drr

VIEWS = {"AP": 0.0, "lateral": 90.0, "oblique": 45.0}


def draw_views(subject: Subject, quick: bool = False) -> tuple[Any, str]:
    """A figure of the subject from the front, the side and in between, and a sentence about it."""
    from matplotlib import pyplot as plt

    pixels = 200 if quick else 400
    drr = DRR(subject, sdd=1020.0, height=pixels, delx=400.0 / pixels)
    rotations = torch.tensor([[angle, 0.0, 0.0] for angle in VIEWS.values()])
    translations = torch.tensor([[0.0, 850.0, 0.0]])
    euler: dict[str, Any] = {"parameterization": "euler_angles", "convention": "ZXY", "degrees": True}
    with torch.no_grad():
        drr(rotations[:1], translations, **euler)  # what is done once per volume
        start = time.perf_counter()
        images = drr(rotations, translations.expand(len(VIEWS), 3), **euler)
        milliseconds = 1000 * (time.perf_counter() - start) / len(VIEWS)

    figure, axes = plt.subplots(1, len(VIEWS), figsize=(4 * len(VIEWS), 4.3), layout="constrained")
    plot_drr(images, title=list(VIEWS), ticks=False, axs=axes)
    meaning = (
        f"The example CT from the front, from the side and in between: {pixels} x {pixels} pixels, "
        f"{milliseconds:.0f} ms an image."
    )
    return figure, meaning
