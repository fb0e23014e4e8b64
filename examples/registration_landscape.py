"""How similar are X-ray images of nearby poses? The loss landscape of a registration problem.

An X-ray image of a CT is rendered at a known pose. Then the pose is perturbed two parameters at a time, and the
multiscale normalised cross-correlation of every perturbed image with the first is drawn. The loss has its one minimum
at the true pose, is convex around it, and is flattest along y, the distance of the X-ray source from the patient.

    python examples/registration_landscape.py                  # about 3000 images of 200 x 200 pixels: a minute or two
    python examples/registration_landscape.py --coarse         # a tenth of them, of 100 x 100 pixels
"""

import argparse
from pathlib import Path

import torch
from matplotlib import pyplot as plt

from raygrad.data import load_example_ct
from raygrad.drr import DRR
from raygrad.landscape import compute_landscape
from raygrad.visualization import plot_drr, plot_landscape

ROTATION = torch.tensor([[0.0, 0.0, 0.0]])  # radians
TRANSLATION = torch.tensor([[0.0, 850.0, 0.0]])  # mm
EULER = {"parameterization": "euler_angles", "convention": "ZYX"}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--coarse", action="store_true", help="fewer, smaller images")
    parser.add_argument("--out", type=Path, default=Path("."), help="folder for the pictures (default: this one)")
    arguments = parser.parse_args()

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    height, delx, steps = (100, 4.0, 7) if arguments.coarse else (200, 2.0, 23)
    drr = DRR(load_example_ct(), sdd=1020.0, height=height, delx=delx).to(device)
    landscape = compute_landscape(drr, ROTATION, TRANSLATION, **EULER, steps=steps, progress=True)
    print(landscape.summary())

    arguments.out.mkdir(parents=True, exist_ok=True)
    plot_drr(drr(ROTATION.to(device), TRANSLATION.to(device), **EULER), ticks=False)
    plt.savefig(arguments.out / "landscape_target.png")
    plot_landscape(landscape).savefig(arguments.out / "landscape.png", dpi=150)
    print(f"Drawn to {arguments.out / 'landscape_target.png'} and {arguments.out / 'landscape.png'}")


if __name__ == "__main__":
    main()
