"""Implants in real fluoroscopy: their meshes at the published poses cover what was labelled in the images."""

import pytest
import SimpleITK
import torch
from real_files import real_data

from raygrad import read_geometry
from raygrad.formats import Frames
from raygrad.scene import Mesh, Scene


@pytest.mark.filterwarnings("ignore:.*inside out:UserWarning")
@pytest.mark.parametrize("knee", ["knee_a", "knee_b"])
@pytest.mark.parametrize("part", ["fem", "tib"])
def test_silhouettes_are_the_labels(knee, part):
    pytest.importorskip("trimesh")
    folder = real_data("fluoroscopy") / knee
    views = read_geometry(folder / f"{part}.jts", Frames((1024, 1024)))
    silhouettes = Scene([Mesh(next(folder.glob(f"*_{part}.stl")))]).silhouettes(views)[:, 0]
    labels = sorted((folder / "labels").glob(f"*_label_{part}.tif"))
    assert len(labels) == len(views) > 2
    for path, found in zip(labels, silhouettes, strict=True):
        label = torch.from_numpy(SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(path)))) > 0
        overlap = (found & label).sum() / (found | label).sum()
        assert overlap > 0.999, path.name
