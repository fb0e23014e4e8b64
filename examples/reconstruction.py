"""Reconstruct a volume from a single X-ray image by gradient descent through the renderer, and see it fail.

The image is matched all but exactly, starting from an empty volume. But seen from 10 mm closer or turned by one degree
the volume looks nothing like the patient: one view does not determine a volume.

    python examples/reconstruction.py                          # 100 iterations with 200 x 200 pixels
    python examples/reconstruction.py --height 100 --delx 4    # a quarter of the rays
"""

import argparse
from pathlib import Path

import torch
from matplotlib import pyplot as plt
from tqdm import tqdm

from raygrad.data import load_example_ct
from raygrad.drr import DRR
from raygrad.pose import convert
from raygrad.visualization import plot_drr


class Reconstruction(torch.nn.Module):
    """Renders a volume that is being learnt, at first empty, through the X-ray system of a known one."""

    def __init__(self, drr):
        super().__init__()
        self.drr = drr
        self.density = torch.nn.Parameter(torch.zeros_like(drr.density))

    def forward(self, pose):
        source, target = self.drr.detector(pose, None)
        image = self.drr.render(self.density, source, target)
        return self.drr.reshape_transform(image, batch_size=len(pose))


def make_pose(turn_deg, distance, device):
    rotation = torch.tensor([[turn_deg, 0.0, 0.0]], device=device)
    translation = torch.tensor([[0.0, distance, 0.0]], device=device)
    return convert(rotation, translation, parameterization="euler_angles", convention="ZXY", degrees=True)


def fit(reconstruction, pose, image, iterations):
    """Minimise the mean squared error of the image over the volume; returns the error at every iteration."""
    optimizer = torch.optim.Adam(reconstruction.parameters(), lr=1e-3)
    criterion = torch.nn.MSELoss()
    losses = []
    for _ in tqdm(range(iterations + 1), ncols=80):
        optimizer.zero_grad()
        loss = criterion(reconstruction(pose), image)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--height", type=int, default=200, help="rows and columns of the image (default: 200)")
    parser.add_argument("--delx", type=float, default=2.0, help="pixel size in mm (default: 2)")
    parser.add_argument("--iterations", type=int, default=100, help="steps of gradient descent (default: 100)")
    parser.add_argument("--out", type=Path, default=Path("."), help="folder for the pictures (default: this one)")
    arguments = parser.parse_args()

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    drr = DRR(load_example_ct(), sdd=1020.0, height=arguments.height, delx=arguments.delx).to(device)
    pose = make_pose(0.0, 850.0, device)
    xray = drr(pose)
    darkest, brightest = xray.min(), xray.max()

    reconstruction = Reconstruction(drr)
    losses = fit(reconstruction, pose, (xray - darkest) / (brightest - darkest), arguments.iterations)
    print(f"The mean squared error fell {losses[0] / losses[-1]:.0f} times, from {losses[0]:.2g} to {losses[-1]:.2g}.")

    views = {
        "The fitted view": pose,
        "10 mm closer": make_pose(0.0, 840.0, device),
        "1° turned": make_pose(1.0, 850.0, device),
    }
    figure, axes = plt.subplots(len(views), 3, figsize=(10, 10), layout="constrained")
    for row, (name, view) in zip(axes, views.items(), strict=True):
        with torch.no_grad():
            fitted, truth = reconstruction(view), (drr(view) - darkest) / (brightest - darkest)
        titles = [f"{name}: reconstruction", "X-ray", "difference"]
        plot_drr(torch.cat([fitted, truth, fitted - truth]), title=titles, ticks=False, axs=row)
    arguments.out.mkdir(parents=True, exist_ok=True)
    figure.savefig(arguments.out / "reconstruction_views.png", dpi=150)

    figure, axes = plt.subplots(2, 5, figsize=(12, 5), layout="constrained")
    heights = torch.linspace(0, drr.density.shape[-1] - 1, 5).long().tolist()
    for column, k in zip(axes.T, heights, strict=True):
        for ax, name, volume in zip(
            column, ("reconstruction", "CT"), (reconstruction.density, drr.density), strict=True
        ):
            ax.imshow(volume[..., k].detach().cpu().numpy().T, cmap="gray", origin="lower")
            ax.set(title=f"{name}, slice {k}", xticks=[], yticks=[])
    figure.savefig(arguments.out / "reconstruction_slices.png", dpi=150)
    print(f"Drawn to {arguments.out / 'reconstruction_views.png'} and {arguments.out / 'reconstruction_slices.png'}")


if __name__ == "__main__":
    main()
