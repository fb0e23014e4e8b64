"""How the similarity of two X-ray images falls off around the true pose: six slices through the six parameters."""

from itertools import combinations
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from raygrad.data import Subject
from raygrad.drr import DRR
from raygrad.metrics import MultiscaleNormalizedCrossCorrelation2d

TRUE_ROTATION, TRUE_TRANSLATION = (0.0, 0.0, 0.0), (0.0, 850.0, 0.0)
NAMES = ("Δα (rad)", "Δβ (rad)", "Δγ (rad)", "ΔX (mm)", "ΔY (mm)", "ΔZ (mm)")
ANGLES, LENGTHS = (0, 1, 2), (3, 4, 5)
REACH = (torch.pi / 4, torch.pi / 4, torch.pi / 8, 15.0, 15.0, 15.0)


def compute_slice(drr: DRR, first: int, second: int, steps: int, batch_size: int = 11) -> tuple[Tensor, Tensor, Tensor]:
    """Minus the mNCC with the image at the true pose while two of the six parameters move.

    Returns:
        Both parameters' deviations and the loss, each of shape (steps, steps).
    """
    criterion = MultiscaleNormalizedCrossCorrelation2d([None, 9], [0.5, 0.5])
    true_pose = torch.tensor([[*TRUE_ROTATION, *TRUE_TRANSLATION]])
    deviations = [torch.linspace(-REACH[axis], REACH[axis], steps) for axis in (first, second)]
    one, other = torch.meshgrid(*deviations, indexing="ij")
    poses = true_pose.repeat(steps * steps, 1)
    poses[:, first] += one.flatten()
    poses[:, second] += other.flatten()
    with torch.no_grad():
        target = _render(drr, true_pose)
        losses = []
        for batch in tqdm(poses.split(batch_size), desc=f"{NAMES[first][1]}{NAMES[second][1]}", ncols=60):
            moving = _render(drr, batch)
            losses.append(-criterion(target.expand_as(moving), moving))
    return one, other, torch.cat(losses).reshape(steps, steps)


def _render(drr: DRR, poses: Tensor) -> Tensor:
    return drr(poses[:, :3], poses[:, 3:], parameterization="euler_angles", convention="ZYX")


def draw_landscape(subject: Subject, quick: bool = False) -> tuple[Any, str]:
    """A figure of the six slices, and a sentence about it."""
    from matplotlib import pyplot as plt

    pixels, steps = (50, 7) if quick else (100, 11)
    drr = DRR(subject, sdd=1020.0, height=pixels, delx=400.0 / pixels)
    pairs = [*combinations(LENGTHS, 2), *combinations(ANGLES, 2)]
    slices = [compute_slice(drr, *pair, steps) for pair in pairs]

    figure = plt.figure(figsize=(13, 8.5))
    figure.subplots_adjust(left=0.02, right=0.96, bottom=0.05, top=0.98, wspace=0.12, hspace=0.08)
    for row in (0, 3):  # one height for all lengths, one for all angles
        top = max(float(loss.max()) for _, _, loss in slices[row : row + 3])
        for index in range(row, row + 3):
            one, other, loss = (part.numpy() for part in slices[index])
            axes = figure.add_subplot(2, 3, index + 1, projection="3d")
            axes.contourf(one, other, loss, zdir="z", offset=-1.0, cmap="rainbow", alpha=0.5)
            axes.plot_surface(one, other, loss, rstride=1, cstride=1, cmap="rainbow")
            axes.set(xlabel=NAMES[pairs[index][0]], ylabel=NAMES[pairs[index][1]], zlim=(-1.0, top))
            axes.locator_params(nbins=5)
    meaning = (
        "The loss (minus mNCC) around the true pose: in each slice two of the six pose parameters move. Its minimum, "
        "-1, is at the true pose; the flattest direction is Y, the depth."
    )
    return figure, meaning
