"""Simulated X-rays beside real ones, at one size, to be looked at: does a radiographer tell them apart at first glance?

    python benchmarks/beside_real_xrays.py REAL -o PICTURES

REAL is a folder with `chest/` (a CT with labels: cxr.nii.gz, mask.nii.gz, structures.csv) and `xray_dicom/`
(RG1_J2KI.dcm, a chest radiograph; HasFragmentSequence.dcm, an angiogram). Real pictures stay out of this repository.
"""

import argparse
import csv
import warnings
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from raygrad import read
from raygrad.data import Subject, Volume, finer_slices, read_volume
from raygrad.drr import DRR
from raygrad.formats import read_xray
from raygrad.physics import Collimator, Physics, Tissues, render
from raygrad.pose import convert

BONES = ("vertebrae", "rib_", "sternum", "costal", "scapula", "clavicula", "humerus")
GAP = 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("real", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--only", choices=["radiograph", "fluoroscopy"])
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    for name, make in (("radiograph", radiographs), ("fluoroscopy", fluoroscopy)):
        if arguments.only in (None, name):
            pair = make(arguments.real)
            gap = np.full((pair[0].shape[0], GAP), 0.5)
            whole = np.concatenate([pair[0], gap, pair[1]], axis=1)
            Image.fromarray(np.round(255 * whole).astype(np.uint8)).save(arguments.output / f"{name}.png")
            print(arguments.output / f"{name}.png: simulated, real")


def radiographs(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """A PA chest at 1.8 m, 125 kV, air gap and selenium, beside one at 2 m, 150 kV."""
    drr = DRR(subject_of(folder), 1800.0, 780, 0.4, 860, renderer="joseph")
    physics = Physics.preset("radiography", kvp=125.0, detector="selenium", tissues=Tissues(metal=None))
    picture = taken(drr, (0.0, -1620.0, 0.0), physics)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of this file's collimator, whose edges are no pixels of it
        real = shown(folder / "xray_dicom" / "RG1_J2KI.dcm")
    half = Image.fromarray(real).resize((real.shape[1] // 2, real.shape[0] // 2), Image.Resampling.BOX)
    left = (half.width - 860) // 2
    return picture, np.asarray(half)[90 : 90 + 780, left : left + 860].clip(0, 1)


def fluoroscopy(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """The heart, obliquely, beside a frame of an angiogram, both at the dose of a cine."""
    drr = DRR(subject_of(folder), 1050.0, 512, 0.4, 512, renderer="joseph")
    opened = Collimator(190.0, shape="octagon")
    physics = Physics.preset("fluoroscopy", dose=8.0, tissues=Tissues(metal=None), collimator=opened)
    picture = taken(drr, (-20.0, -760.0, -10.0), physics, turn=30.0)
    return picture, shown(folder / "xray_dicom" / "HasFragmentSequence.dcm", frame=40)


def subject_of(folder: Path) -> Subject:
    ct = sharper(finer_slices(without_contrast_medium(folder / "chest")))
    return read(ct, orientation="PA", remove_table=True)


def sharper(ct: Volume, sigma_mm: float = 0.7, noise: float = 0.05) -> Volume:
    """Wiener's filter of each slice for a Gaussian: a CT blurs edges that radiographs show."""
    x, y, z = ct.spatial_shape
    dx, dy, _ = ct.spacing
    f = torch.fft.fftfreq(x, dx)[:, None] ** 2 + torch.fft.rfftfreq(y, dy) ** 2
    blur = torch.exp(-2 * (torch.pi * sigma_mm) ** 2 * f)
    restore = blur * (1 + noise) / (blur**2 + noise)
    sharp = torch.empty(z, y, x).permute(2, 1, 0)
    for k in range(z):
        sharp[..., k] = torch.fft.irfft2(torch.fft.rfft2(ct.voxels[..., k].float()) * restore, s=(x, y))
    return Volume(sharp.clamp_(-1000, 3000), ct.affine)


def taken(drr: DRR, xyz: tuple[float, float, float], physics: Physics, turn: float = 0.0) -> np.ndarray:
    angles, place = torch.tensor([[turn, 0.0, 0.0]]), torch.tensor([xyz])
    pose = convert(angles, place, parameterization="euler_angles", convention="ZXY", degrees=True)
    with torch.no_grad():
        return render(drr, pose, physics, quantity="picture", noise=0)[0, 0].numpy()


def shown(path: Path, frame: int | None = None) -> np.ndarray:
    """As viewers show it, in the window between two percentiles."""
    xray = read_xray(path, frame)
    pixels = xray.pixels.max() - xray.pixels if xray.bone_is_low else xray.pixels
    low, high = np.percentile(pixels, [0.5, 99.5])
    return ((pixels.numpy() - low) / (high - low)).clip(0, 1).astype(np.float32)


def without_contrast_medium(folder: Path) -> Volume:
    """The CT as it would be without: what is dense, hangs together and is no bone becomes blood."""
    from scipy import ndimage

    ct, labels = (read_volume(folder / name) for name in ("cxr.nii.gz", "mask.nii.gz"))
    with (folder / "structures.csv").open() as file:
        bones = [int(row["id"]) for row in csv.DictReader(file) if row["structure"].startswith(BONES)]
    hu, bone = ct.voxels.numpy(), np.isin(labels.voxels.numpy(), bones)
    near = ndimage.binary_dilation(bone, iterations=3)
    inside, _ = ndimage.label(ndimage.binary_opening((hu > 120) & ~near))
    vessels = np.isin(inside, np.flatnonzero(np.bincount(inside.ravel())[1:] > 2000) + 1)
    dense = (hu > 500) & ~bone | (hu > 1700)
    together, _ = ndimage.label(dense | vessels)
    medium = np.isin(together, np.unique(together[vessels])) & (together > 0)
    medium = ndimage.binary_dilation(medium, iterations=2) & (~bone | (hu > 1500)) & (hu > 45)
    return Volume(torch.from_numpy(np.where(medium, 45, hu.clip(-1000)).astype(np.int16)), ct.affine)


if __name__ == "__main__":
    main()
