"""ITK's transforms, as .tfm, .txt and .h5 files: rigid and affine maps of points, in LPS there and in RAS here."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from raygrad._errors import InputError, WritingError
from raygrad._files import check_room, suffix_of, written_whole
from raygrad._optional import require
from raygrad._simpleitk import ITK_ERRORS, name_for_itk, quiet
from raygrad.data import LPS_TO_RAS
from raygrad.formats._views import View, right_handed
from raygrad.pose import AffineTransform, RigidTransform

_HDF5 = (".h5", ".hdf5", ".hdf")
_HDF5_BYTES = 2**16
"""More than such a file has. HDF5 that could not write all of it brings the process down at its end."""
_SUFFIXES = (".tfm", ".txt", *_HDF5)
_CONVERT = "import sys, SimpleITK; SimpleITK.WriteTransform(SimpleITK.ReadTransform(sys.argv[1]), sys.argv[2])"
_CONVERTING_S = 30
_FLIP = torch.from_numpy(LPS_TO_RAS)


def read_transform(path: str | os.PathLike[str]) -> RigidTransform:
    """Read the map of points that a file of ITK's holds, in RAS+ mm, float64.

    ITK's transforms take points of a fixed image to the moving one. So `read_transform(path).inverse()` is what moves a
    volume onto the fixed image, as Slicer shows it under a transform of this file: `raygrad.read(ct, transform=...)`.

    Returns:
        A `RigidTransform`, or an `AffineTransform` if it stretches.

    Raises:
        FileNotFoundError: there is no such file.
        InputError: it is damaged, not of 3D points, or bends them.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f"There is no transform '{path}'.")
    try:
        transform = _read_apart(path) if suffix_of(path, _HDF5) or _is_hdf5(path) else _read_here(path)
    except ITK_ERRORS as error:
        reason = str(error).strip().splitlines()[-1]
        raise InputError(f"Expected a transform of ITK's. Got '{path}', which cannot be read: {reason}") from error
    if transform.GetDimension() != 3 or not transform.IsLinear():
        kind = f"{transform.GetName()} of {transform.GetDimension()}D points"
        raise InputError(f"Expected a rigid or affine transform of 3D points. Got {kind} in '{path}'.")
    # By mapped points, which counts for every kind, centre and composition.
    origin = np.array(transform.TransformPoint((0.0, 0.0, 0.0)))
    matrix = np.eye(4)
    matrix[:3, 3] = origin
    for axis in range(3):
        matrix[:3, axis] = np.array(transform.TransformPoint(tuple(np.eye(3)[axis]))) - origin
    in_ras = _FLIP @ torch.from_numpy(matrix) @ _FLIP
    rotation = in_ras[:3, :3]
    if not in_ras.isfinite().all() or torch.linalg.det(rotation) == 0:
        raise InputError(f"Expected a transform that can be inverted. Got {matrix.tolist()} in '{path}'.")
    deviation = (rotation @ rotation.T - torch.eye(3, dtype=torch.float64)).abs().max()
    is_rigid = deviation < 1e-6 and torch.linalg.det(rotation) > 0
    return RigidTransform(in_ras) if is_rigid else AffineTransform(in_ras)


def _is_hdf5(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(8) == b"\x89HDF\r\n\x1a\n"


def _read_here(path: Path) -> Any:
    sitk = require("SimpleITK", "reading transforms")
    with quiet():
        return sitk.ReadTransform(name_for_itk(path))


def _read_apart(path: Path) -> Any:
    """Read by a process of its own, which writes what it finds as text: HDF5 ends a process where a file is damaged.

    Raises:
        RuntimeError: it cannot be read.
    """
    require("SimpleITK", "reading transforms")
    with tempfile.TemporaryDirectory(prefix="raygrad-") as folder:
        text = Path(folder) / "transform.tfm"
        command = [sys.executable, "-c", _CONVERT, name_for_itk(path.absolute()), str(text)]
        try:
            ended = subprocess.run(command, capture_output=True, timeout=_CONVERTING_S, check=False)
        except subprocess.TimeoutExpired as error:
            raise RuntimeError(f"reading it took more than {_CONVERTING_S} s") from error
        if ended.returncode or not text.exists():
            said = ended.stderr.decode(errors="replace").strip() or f"reading it ended with code {ended.returncode}"
            raise RuntimeError(said)
        return _read_here(text)


def write_camera(path: str | os.PathLike[str], view: View) -> None:
    """Write where a view's camera is to a file of ITK's transforms, whole or not at all.

    It takes points of the patient to the camera's frame, where the source is at (0, 0, 0) and the detector in the plane
    z = sdd: the patient is the fixed image. So Slicer, which inverts what it reads, puts things of the camera's frame
    where they are in the patient. Both are RAS there and LPS in the file, as ITK has it.

    Args:
        path: its name ends in .tfm, .txt or .h5.
        view: of one pose.

    Raises:
        ValueError: several poses, or one that is not finite.
        InputError: another suffix, or a parallel beam.
        OSError: the file cannot be written.
    """
    camera_to_world, _ = right_handed(view)
    write_transform(path, camera_to_world.inverse())


def write_transform(path: str | os.PathLike[str], transform: RigidTransform) -> None:
    """Write one map of points in RAS+ mm to a file of ITK's, whole or not at all; `read_transform` reads it back.

    Args:
        path: its name ends in .tfm, .txt or .h5.
        transform: one, rigid or affine.

    Raises:
        ValueError: several transforms, or one that is not finite.
        InputError: another suffix.
        OSError: the file cannot be written.
    """
    path = Path(path).expanduser()
    if len(transform) != 1 or not transform.matrix.isfinite().all():
        raise ValueError(f"Expected one finite transform. Got {len(transform)}.")
    if suffix_of(path, _SUFFIXES) is None:
        raise InputError(f"Expected a file name that ends in {', '.join(_SUFFIXES)}. Got '{path}'.")
    sitk = require("SimpleITK", "writing transforms")
    in_lps = (_FLIP @ transform.matrix[0].detach().cpu().double() @ _FLIP).numpy()
    affine: Any = sitk.AffineTransform(3)
    affine.SetMatrix(in_lps[:3, :3].ravel().tolist())
    affine.SetTranslation(in_lps[:3, 3].tolist())
    with written_whole(path) as unfinished:
        if suffix_of(path, _HDF5) is not None:
            check_room(unfinished, _HDF5_BYTES)
        try:
            with quiet():
                sitk.WriteTransform(affine, name_for_itk(unfinished))
                sitk.ReadTransform(name_for_itk(unfinished))  # what a full disk cut short cannot be read
        except ITK_ERRORS as error:
            raise WritingError(f"Could not write '{path}': {str(error).strip().splitlines()[-1]}") from error
