"""Real implants: their images at published poses against the labels of real fluoroscopy, and rays that leak nowhere."""

import numpy as np
import pytest
import torch
from PIL import Image
from real_files import real_data
from scene_cases import check_nothing_leaks, rays_through

from raygrad.formats import Frames, read_geometry
from raygrad.kernels import project_mesh
from raygrad.scene import Mesh, Scene

# Some of the surfaces come inside out, and are turned.
pytestmark = pytest.mark.filterwarnings("ignore:.*are inside out and are turned:UserWarning")
SHAPE = (1024, 1024)
PARTS = [(knee, part) for knee in ("knee_a", "knee_b") for part in ("fem", "tib")]


def implant(knee, part):
    """The implant's mesh, and the folder that has all about it."""
    folder = real_data("fluoroscopy") / knee
    pytest.importorskip("trimesh")
    (surface,) = folder.glob(f"*_{part}.stl")
    return Mesh(surface), folder


def overlap(one, other):
    """The share of what either covers that both cover."""
    return ((one & other).sum() / (one | other).sum()).item()


def frames_of(folder, part):
    """The view and the label of every frame."""
    views = read_geometry(folder / f"{part}.jts", Frames(SHAPE))
    frames = sorted(file.stem for file in folder.glob("*.tif"))
    assert len(views) == len(frames)
    for number, frame in enumerate(frames):
        label = np.asarray(Image.open(folder / "labels" / f"{frame}_label_{part}.tif")) > 0
        yield views[number : number + 1], torch.from_numpy(label)


# The labels were not drawn by hand, but are pictures of the same surfaces at these poses: so close is close enough.
@pytest.mark.parametrize(("knee", "part"), PARTS)
def test_implants_cover_their_labels_in_real_fluoroscopy(knee, part):
    mesh, folder = implant(knee, part)
    scene = Scene([mesh])
    overlaps = [overlap(scene.render(views)[0, 0] > 0, label) for views, label in frames_of(folder, part)]
    assert min(overlaps) > 0.9995, overlaps


@pytest.mark.slow
@pytest.mark.parametrize(("knee", "part"), PARTS)
def test_nothing_leaks_out_of_an_implant(knee, part):
    mesh, _ = implant(knee, part)
    source, target = rays_through(mesh.vertices, 250_000, seed=2)
    thickness = project_mesh(mesh.vertices, mesh.faces, source, target)[0]
    check_nothing_leaks(mesh.vertices, mesh.faces, source, target, thickness)
