"""What `raygrad reconstruct` writes beside the volume, and says of it."""

import csv
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from raygrad._files import written_whole
from raygrad._optional import require
from raygrad.metrics import peak_signal_to_noise_ratio, relative_error, structural_similarity_3d
from raygrad.reconstruction import ReconstructionResult

_SSIM_WINDOW = 11
_GREY_SHARE = 0.999


def write_history(result: ReconstructionResult, path: Path) -> None:
    """Write one line an iteration, with a heading; the file is whole or absent."""
    with written_whole(path) as unfinished, open(unfinished, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["iteration", "residual", "change", "objective", "seconds"])
        for entry in result.history:
            objective = "" if entry.objective is None else entry.objective
            writer.writerow([entry.number, entry.residual, entry.change, objective, f"{entry.seconds:.3f}"])


def write_preview(result: ReconstructionResult, world_to_file: Float[np.ndarray, "4 4"], path: Path) -> None:
    """Draw three slices through the middle, black at 0, white where only a thousandth of the voxels is brighter.

    Raises:
        ImportError: matplotlib is not installed.
    """
    plt = require("matplotlib.pyplot", "pictures", extra="plot")
    from raygrad.visualization import plot_slices

    figure, axes = plt.subplots(1, 3, figsize=(15, 5), layout="constrained")
    white = _brightest(result.volume)
    plot_slices(result.to_volume().moved(world_to_file), axs=axes, vmin=0.0, vmax=white)
    figure.colorbar(axes[2].images[0], ax=axes, shrink=0.8, label="1/mm, if the images are line integrals in mm")
    with written_whole(path) as unfinished:
        figure.savefig(unfinished, dpi=100)
    plt.close(figure)


def describe_novel_views(
    rendered: Float[Tensor, "view height width"], images: Float[Tensor, "view height width"], numbers: list[int]
) -> str:
    """The relative error |rendered - image| / |image| of views that the reconstruction never saw, one by one."""
    size = images.flatten(1).norm(dim=1)
    errors = ((rendered - images).flatten(1).norm(dim=1) / size).tolist()
    by_view = ", ".join(f"{number + 1}: {error:.3g}" for number, error in zip(numbers, errors, strict=True))
    mean = sum(errors) / len(errors)
    return f"held-out views: relative error {mean:.3g} on average, {max(errors):.3g} at most\n  by view {by_view}"


def describe_truth(volume: Float[Tensor, "x y z"], truth: Float[Tensor, "x y z"]) -> str:
    """PSNR, SSIM (of volumes that its window fits into) and relative error."""
    words = [f"PSNR {float(peak_signal_to_noise_ratio(volume, truth)):.2f} dB"]
    if min(volume.shape) >= _SSIM_WINDOW:
        words.append(f"SSIM {float(structural_similarity_3d(volume, truth)):.4f}")
    words.append(f"relative error {float(relative_error(volume, truth)):.4g}")
    return f"compared with the truth: {', '.join(words)}"


def _brightest(volume: Tensor) -> float:
    sample = volume.cpu().permute(2, 1, 0).flatten()[:: max(1, volume.numel() // 2**20)]
    white = float(sample.kthvalue(max(1, round(_GREY_SHARE * len(sample)))).values)
    return white if white > 0 else float(torch.finfo(torch.float32).eps)
