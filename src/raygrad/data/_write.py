"""Volumes to image files."""

import os
from pathlib import Path

import numpy as np

from raygrad._files import written_whole
from raygrad._optional import require
from raygrad.data._simpleitk import LPS_TO_RAS
from raygrad.data._volume import Volume

SUFFIXES = (".nii.gz", ".nii", ".nrrd", ".mha")


def check_writable(path: str | os.PathLike[str]) -> Path:
    """The path, if a volume can be written there.

    Raises:
        ValueError: a suffix that is not known here.
        FileNotFoundError: there is no such folder.
    """
    path = Path(path).expanduser()
    if not path.name.lower().endswith(SUFFIXES):
        raise ValueError(f"Expected a file name that ends in {', '.join(SUFFIXES)}. Got {path.name}.")
    if not path.absolute().parent.is_dir():
        raise FileNotFoundError(f"There is no folder {path.absolute().parent} to write {path.name} to.")
    return path


def write_volume(volume: Volume, path: str | os.PathLike[str]) -> None:
    """Write a volume to a NIfTI, NRRD or MetaImage file, which is whole or absent at any moment.

    Raises:
        ValueError: another kind of file, or a volume whose axes are not at right angles, which these files cannot say.
        FileNotFoundError: there is no such folder.
        ImportError: SimpleITK is not installed.
    """
    path = check_writable(path)
    sitk = require("SimpleITK", "writing volumes")
    voxel_to_lps = LPS_TO_RAS @ volume.affine
    spacing = np.linalg.norm(voxel_to_lps[:3, :3], axis=0)
    direction = voxel_to_lps[:3, :3] / spacing
    if not np.allclose(direction.T @ direction, np.eye(3), atol=1e-4):
        raise ValueError(f"Expected voxel axes at right angles. Got\n{volume.affine}")
    image = sitk.GetImageFromArray(volume.voxels.detach().cpu().permute(2, 1, 0).contiguous().numpy())
    image.SetSpacing(spacing.tolist())
    image.SetDirection(direction.ravel().tolist())
    image.SetOrigin(voxel_to_lps[:3, 3].tolist())
    with written_whole(path) as unfinished:
        sitk.WriteImage(image, str(unfinished), useCompression=path.name.lower().endswith((".gz", ".nrrd", ".mha")))
