"""How similar are X-ray images of nearby poses? The loss landscape of a registration problem.

An X-ray image of a CT is rendered at a known pose. Then the pose is perturbed two parameters at a time, and the
multiscale normalised cross-correlation of every perturbed image with the first is drawn. The loss is convex around
the true pose, and flattest along y, the distance of the X-ray source from the patient.

    python examples/registration_landscape.py                  # about 2800 images of 200 x 200 pixels
    python examples/registration_landscape.py --coarse         # a tenth of them, of 100 x 100 pixels
"""

import argparse
from pathlib import Path

import torch
from matplotlib import pyplot as plt
from tqdm import tqdm

from raygrad.data import load_example_ct
from raygrad.drr import DRR
from raygrad.metrics import MultiscaleNormalizedCrossCorrelation2d
from raygrad.visualization import plot_drr

TRUE_POSE = {"α": 0.0, "β": 0.0, "γ": 0.0, "x": 0.0, "y": 850.0, "z": 0.0}  # radians and mm
SLICES = ["xy", "xz", "yz", "αβ", "αγ", "βγ"]
RADIANS = {"α": torch.pi / 4, "β": torch.pi / 4, "γ": torch.pi / 8}
MILLIMETRES = 15.0


def render(drr, pose):
    rotation = torch.tensor([[pose["α"], pose["β"], pose["γ"]]], device=drr.device)
    translation = torch.tensor([[pose["x"], pose["y"], pose["z"]]], device=drr.device)
    return drr(rotation, translation, parameterization="euler_angles", convention="ZYX")


def perturbations(parameter, coarse):
    """An odd number of steps on both sides of the true pose, 2 mm or 0.05 radians wide."""
    end, step = (RADIANS[parameter], 0.05) if parameter in RADIANS else (MILLIMETRES, 2.0)
    steps = round(end / step / (3 if coarse else 1))
    return torch.linspace(-end, end, 2 * steps + 1)


def measure_slice(drr, target, criterion, name, coarse):
    """The loss for every pair of perturbations of the two parameters in the slice's name."""
    first, second = (perturbations(parameter, coarse) for parameter in name)
    loss = torch.empty(len(first), len(second))
    for i, a in enumerate(tqdm(first.tolist(), desc=name, ncols=80)):
        for j, b in enumerate(second.tolist()):
            pose = TRUE_POSE | {name[0]: TRUE_POSE[name[0]] + a, name[1]: TRUE_POSE[name[1]] + b}
            loss[i, j] = -criterion(target, render(drr, pose)).item()
    return first, second, loss


def plot_slice(ax, name, first, second, loss):
    surface = [values.numpy() for values in (*torch.meshgrid(first, second, indexing="ij"), loss)]
    ax.contourf(*surface, zdir="z", offset=-1, cmap="rainbow", alpha=0.5)
    ax.plot_surface(*surface, rstride=1, cstride=1, cmap="rainbow")
    unit = "radians" if name[0] in RADIANS else "mm"
    ax.set(xlabel=f"Δ{name[0]} ({unit})", ylabel=f"Δ{name[1]} ({unit})", zlabel="- mNCC", zlim=(-1, loss.max().item()))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--coarse", action="store_true", help="fewer, smaller images")
    parser.add_argument("--out", type=Path, default=Path("."), help="folder for the pictures (default: this one)")
    arguments = parser.parse_args()

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    height, delx = (100, 4.0) if arguments.coarse else (200, 2.0)
    drr = DRR(load_example_ct(), sdd=1020.0, height=height, delx=delx).to(device)
    criterion = MultiscaleNormalizedCrossCorrelation2d([None, 9], [0.5, 0.5])
    target = render(drr, TRUE_POSE)

    arguments.out.mkdir(parents=True, exist_ok=True)
    plot_drr(target, ticks=False)
    plt.savefig(arguments.out / "landscape_target.png")

    figure, axes = plt.subplots(2, 3, figsize=(15, 9), subplot_kw={"projection": "3d"})
    figure.subplots_adjust(left=0.02, right=0.95, bottom=0.05, top=0.98, wspace=0.15, hspace=0.1)
    for ax, name in zip(axes.flat, SLICES, strict=True):
        plot_slice(ax, name, *measure_slice(drr, target, criterion, name, arguments.coarse))
    figure.savefig(arguments.out / "landscape.png", dpi=150)
    print(f"Drawn to {arguments.out / 'landscape_target.png'} and {arguments.out / 'landscape.png'}")


if __name__ == "__main__":
    main()
