"""From how many X-rays is a reconstruction useful? One X-ray is matched by a volume that is no patient. And sixteen?

X-rays of the built-in CT are taken all around, 1, 8, 16, 32 and 64 of them, and a volume is reconstructed from each set
by total variation. Every volume explains its own X-rays. What tells them apart are views from where none was taken, and
the slices.

    python examples/sweep_reconstruction.py                               # about a minute
    python examples/sweep_reconstruction.py --views 4 12 --photons 3000   # other numbers of X-rays, of a lower dose
"""

import argparse
from pathlib import Path

import torch
from matplotlib import pyplot as plt

from raygrad import Projector, reconstruct
from raygrad.data import VolumeGeometry, hu_to_attenuation, load_example_ct
from raygrad.geometry.trajectories import circular
from raygrad.metrics import peak_signal_to_noise_ratio, relative_error

FIELD = 576.0  # mm, the width of the detector
USEFUL = 0.05  # of a novel view, on average: what may be wrong


def grid_over(subject, spacing):
    """Voxels of about that size in mm that fill the CT's box."""
    ct = VolumeGeometry.of(subject)
    lengths = [n * each for n, each in zip(ct.shape, ct.spacing, strict=True)]
    shape = [max(1, round(length / spacing)) for length in lengths]
    return VolumeGeometry.centred(
        shape, [length / n for length, n in zip(lengths, shape, strict=True)], ct.centre.tolist()
    )


def measure(line_integrals, photons):
    """Line integrals as a detector knows them that counts photons, so many where nothing is in the way."""
    counts = torch.poisson(photons * torch.exp(-line_integrals), generator=torch.Generator().manual_seed(0))
    return -torch.log(counts.clamp(min=0.5) / photons)


def show(column, title, view, volume):
    """A view, and the slice in the middle: front up, the right side on the left."""
    column[0].imshow(view.numpy(), cmap="gray")
    middle = volume[:, :, volume.shape[2] // 2]
    column[1].imshow(middle.flip(0, 1).T.numpy(), cmap="gray", vmin=0, vmax=0.04)
    column[0].set_title(title)
    for ax in column:
        ax.set(xticks=[], yticks=[])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--views", type=int, nargs="+", default=[1, 8, 16, 32, 64], help="numbers of X-rays")
    parser.add_argument("--height", type=int, default=80, help="rows of the detector, 480 mm in all (default: 80)")
    parser.add_argument("--spacing", type=float, default=4.5, help="size of a voxel in mm (default: 4.5)")
    parser.add_argument("--photons", type=float, default=30_000, help="photons a pixel without patient (default: 3e4)")
    parser.add_argument("--iterations", type=int, default=20, help="passes over the X-rays (default: 20)")
    parser.add_argument("--out", type=Path, default=Path("."), help="folder for the picture (default: this one)")
    arguments = parser.parse_args()

    subject = load_example_ct()
    truth = hu_to_attenuation(subject.volume.voxels.float(), energy_kev=60)  # 1/mm
    pixel = FIELD / 1.2 / arguments.height
    system = {"sdd": 1500.0, "sid": 1000.0, "height": arguments.height, "delx": pixel, "width": round(FIELD / pixel)}
    novel_views = circular(7, start_deg=3.0, **system)  # at none of the angles below
    novel = Projector(subject, novel_views, "siddon")(truth)
    grid = grid_over(subject, arguments.spacing)
    expected = torch.nn.functional.adaptive_avg_pool3d(truth[None], grid.shape)[0]

    figure, axes = plt.subplots(2, len(arguments.views) + 1, figsize=(2.6 * len(arguments.views) + 2.6, 5))
    show(axes[:, -1], "the patient", novel[2], expected)
    print("X-rays   own X-rays off by   novel views off by   voxels, PSNR   time")
    useful = []
    for column, n_views in zip(axes.T, arguments.views, strict=False):
        views = circular(n_views, **system)
        xrays = measure(Projector(subject, views, "siddon")(truth), arguments.photons)
        result = reconstruct(xrays, views, grid, method="tv", iterations=arguments.iterations)
        images = result.project(novel_views)
        own, unseen = relative_error(result.project(views), xrays), relative_error(images, novel)
        psnr = peak_signal_to_noise_ratio(result.volume, expected)
        print(f"{n_views:6d} {own:19.1%} {unseen:20.1%} {psnr:11.1f} dB {result.seconds:5.1f} s")
        useful += [n_views] if unseen < USEFUL else []
        show(column, f"from {n_views}", images[2], result.volume)
    answer = f"from {min(useful)} X-rays on" if useful else "from none of these numbers of X-rays"
    print(f"Novel views are right to {USEFUL:.0%} {answer}.")
    arguments.out.mkdir(parents=True, exist_ok=True)
    figure.tight_layout()
    figure.savefig(arguments.out / "sweep_reconstruction.png", dpi=150)
    print(f"Drawn to {arguments.out / 'sweep_reconstruction.png'}")


if __name__ == "__main__":
    main()
