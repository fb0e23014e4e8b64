"""A disk that is full while something is written: an error, the old file as it was, and nothing left beside it.

The kernel is told that no file may be longer than some bytes, which every library's writing runs into as into the end
of a disk.
"""

import itertools
import signal
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from found_views import found_view
from reconstruction_cases import make_scene

from raygrad import landscape
from raygrad._errors import WritingError
from raygrad.data import Volume, write_volume
from raygrad.formats import GEOMETRIES, IMAGES, write_geometry, write_image, write_poses, write_stack, write_transform
from raygrad.formats._itk_transforms import _SUFFIXES
from raygrad.geometry.trajectories import circular
from raygrad.pose import RigidTransform
from raygrad.reconstruction import reconstruct

resource = pytest.importorskip("resource", reason="the length of files is limited by POSIX's setrlimit")


@contextmanager
def files_of_at_most(n_bytes):
    assert signal.getsignal(signal.SIGXFSZ) == signal.SIG_IGN  # as Python has it: an error, not the end
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


NOISE = torch.randn(24, 20, 16, generator=torch.Generator().manual_seed(0))
VIEWS = circular(7, sdd=1200.0, sid=800.0, height=16, width=24, delx=4.0)


def write_some_landscape(path):
    slices = [landscape.Slice(("x",), ("mm",), (np.linspace(-1, 1, 21),), np.random.default_rng(0).random(21))]
    truth = landscape.PoseParameters.of(torch.zeros(1, 3), torch.zeros(1, 3), convention="ZXY")
    landscape.Landscape(tuple(slices), truth, 0.0, "loss").save(path)


ITERATIONS = itertools.count(1)


def write_checkpoint(path):
    projector, _, images = make_scene(size=12, pixels=16, n_views=4)
    run = {"method": "sirt", "iterations": next(ITERATIONS), "checkpoint": path}  # each goes on from the one before
    reconstruct(images, projector.views, projector.volume_geometry, **run)


def volume_of(path):
    write_volume(Volume(NOISE, np.diag([1.0, 2.0, 3.0, 1.0])), path)


def image_to(path):
    write_image(path, NOISE[0], spacing=(2.0, 2.0))


def stack_to(path):
    write_stack(path, NOISE, spacing=(2.0, 2.0))


def transform_to(path):
    write_transform(path, RigidTransform(torch.eye(4)[None]))


def geometry_writer(kind, suffix):
    views = VIEWS[[0]] if suffix in (".yml", ".yaml", ".txt") else VIEWS
    return lambda path: write_geometry(path, views, kind=kind)


WRITTEN = {
    **{f"volume{suffix}": volume_of for suffix in (".nii", ".nii.gz", ".nrrd", ".mha")},
    **{f"image{suffix}": image_to for file in IMAGES for suffix in file.written},
    **{f"stack{suffix}": stack_to for suffix in (".tif", ".npy", ".nii.gz", ".mha", ".nrrd")},
    **{
        f"{file.name.split()[0]}{suffix}": geometry_writer(file.name, suffix)
        for file in GEOMETRIES
        for suffix in file.written_suffixes
    },
    **{
        f"transform{suffix}": lambda path: write_transform(path, RigidTransform(torch.eye(4)[None]))
        for suffix in _SUFFIXES
    },
    "landscape.npz": write_some_landscape,
    "landscape.csv": write_some_landscape,
    "pose.json": lambda path: write_poses(path, [found_view("xray.png")]),
    "state.pt": write_checkpoint,
}


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.rglob("*")}


@pytest.mark.parametrize("name", WRITTEN)
def test_a_full_disk_is_an_error_and_leaves_the_old_file(tmp_path, name):
    path, write = tmp_path / name, WRITTEN[name]
    write(path)
    before = contents(tmp_path)
    size = len(before[name])
    for room in (size - 1, size // 2, 1, 0):
        with files_of_at_most(room), pytest.raises(WritingError, match="Could not write"):
            write(path)
        assert contents(tmp_path) == before


def test_what_a_library_cut_short_without_a_word_is_noticed(tmp_path, monkeypatch):
    volume_of(tmp_path / "a.nii")
    before = contents(tmp_path)

    def write(image, name, **_):
        whole = before["a.nii"]
        Path(name).write_bytes(whole[:-7] + b"\0" * 7)

    monkeypatch.setattr("SimpleITK.WriteImage", write)
    with pytest.raises(WritingError, match="does not read back"):
        volume_of(tmp_path / "a.nii")
    assert contents(tmp_path) == before
