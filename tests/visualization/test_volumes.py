"""Slices of volumes: which voxel is drawn where."""

import matplotlib
import numpy as np
import pytest
import torch

matplotlib.use("Agg")
from matplotlib import pyplot as plt

from raygrad.data import Volume
from raygrad.visualization import plot_slices


@pytest.fixture(autouse=True)
def closed_figures():
    yield
    plt.close("all")


def seen_at(ax, x, y):
    """The value that a picture has at a point of its axes."""
    (image,) = ax.get_images()
    left, right, bottom, top = image.get_extent()
    picture = np.asarray(image.get_array())
    rows, columns = picture.shape
    return picture[int((y - top) / (bottom - top) * rows), int((x - left) / (right - left) * columns)]


@pytest.mark.parametrize("flip", [1.0, -1.0], ids=["RAS", "LAS"])
def test_every_voxel_is_drawn_at_its_place_in_the_world(flip):
    voxels = torch.rand(4, 5, 6)
    affine = np.diag([2.0 * flip, 3.0, 1.0, 1.0])
    affine[:3, 3] = [10.0, -20.0, 30.0]
    axial, coronal, sagittal = plot_slices(Volume(voxels, affine), centre=(10.0 + 2.0 * flip, -14.0, 33.0))
    for i in range(4):
        for j in range(5):
            assert seen_at(axial, 10.0 + 2.0 * flip * i, -20.0 + 3.0 * j) == voxels[i, j, 3]
        for k in range(6):
            assert seen_at(coronal, 10.0 + 2.0 * flip * i, 30.0 + k) == voxels[i, 2, k]
    for j in range(5):
        for k in range(6):
            assert seen_at(sagittal, -20.0 + 3.0 * j, 30.0 + k) == voxels[1, j, k]


def test_right_and_front_are_on_the_left_and_the_head_is_up():
    axial, coronal, sagittal = plot_slices(Volume(torch.rand(4, 5, 6), np.eye(4)))
    for ax in (axial, coronal, sagittal):
        left, right = ax.get_xlim()
        bottom, top = ax.get_ylim()
        assert left > right  # the world's axes point to the patient's right and front
        assert bottom < top


def test_a_point_outside_is_refused():
    with pytest.raises(ValueError, match="inside the volume"):
        plot_slices(Volume(torch.rand(4, 5, 6), np.eye(4)), centre=(0.0, 0.0, 9.0))
    with pytest.raises(ValueError, match="three axes"):
        plot_slices(Volume(torch.rand(4, 5, 6), np.eye(4)), axs=plt.subplots(ncols=2)[1])
