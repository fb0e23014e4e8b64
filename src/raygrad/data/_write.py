"""Volumes to image files."""

import os
from pathlib import Path

import numpy as np

from raygrad._files import suffix_of
from raygrad._optional import require
from raygrad._simpleitk import write_simpleitk
from raygrad.data._simpleitk import LPS_TO_RAS
from raygrad.data._suffixes import VOLUME_FILES
from raygrad.data._volume import Volume

_WRITTEN = {suffix: file for suffix, file in VOLUME_FILES.items() if file.written}


def check_writable(path: str | os.PathLike[str]) -> Path:
    """The path, if a volume can be written there.

    Raises:
        ValueError: a suffix that is not known here.
        FileNotFoundError: there is no such folder.
    """
    path = Path(path).expanduser()
    if suffix_of(path, _WRITTEN) is None:
        raise ValueError(f"Expected a file name that ends in {', '.join(_WRITTEN)}. Got {path.name}.")
    if not path.absolute().parent.is_dir():
        raise FileNotFoundError(f"There is no folder {path.absolute().parent} to write {path.name} to.")
    return path


def check_right_angles(affine: np.ndarray) -> None:
    """Raise a ValueError unless a grid's axes are at right angles, as the files that are written say them."""
    direction = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    if not np.allclose(direction.T @ direction, np.eye(3), atol=1e-4):
        angles = np.degrees(np.arccos((direction.T @ direction)[[0, 0, 1], [1, 2, 2]].clip(-1, 1)))
        raise ValueError(
            "Expected voxel axes at right angles, which a volume's file can say. Got angles of "
            f"{', '.join(f'{angle:.4g}' for angle in angles)} degrees, as of a tilted gantry."
        )


def write_volume(volume: Volume, path: str | os.PathLike[str]) -> None:
    """Write a volume to a path that ends as NIfTI, NRRD or MetaImage; the file is whole or absent at any moment.

    Raises:
        ValueError: another kind of file, or a volume whose axes are not at right angles, which these files cannot say.
        FileNotFoundError: there is no such folder.
        OSError: the disk is full or the folder closed to us.
        ImportError: SimpleITK is not installed.
    """
    path = check_writable(path)
    suffix = suffix_of(path, _WRITTEN) or ""
    sitk = require("SimpleITK", "writing volumes")
    check_right_angles(volume.affine)
    voxel_to_lps = LPS_TO_RAS @ volume.affine
    spacing = np.linalg.norm(voxel_to_lps[:3, :3], axis=0)
    direction = voxel_to_lps[:3, :3] / spacing
    image = sitk.GetImageFromArray(volume.voxels.detach().cpu().permute(2, 1, 0).contiguous().numpy())
    image.SetSpacing(spacing.tolist())
    image.SetDirection(direction.ravel().tolist())
    image.SetOrigin(voxel_to_lps[:3, 3].tolist())
    write_simpleitk(image, path, _WRITTEN[suffix].compressed)
