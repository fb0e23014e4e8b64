"""The pictures: what is drawn in which axes."""

import matplotlib
import numpy as np
import pytest
import torch

matplotlib.use("Agg")
from matplotlib import pyplot as plt

from raygrad.visualization import plot_drr, plot_img_and_mask, plot_mask


@pytest.fixture(autouse=True)
def closed_figures():
    yield
    plt.close("all")


def make_images(batch=2, channels=1, seed=0):
    return torch.rand(batch, channels, 4, 5, generator=torch.Generator().manual_seed(seed), requires_grad=True)


def pictures(ax):
    return [np.asarray(image.get_array()) for image in ax.get_images()]


def test_every_image_gets_its_axes_title_and_corner_numbers():
    images = make_images(2)
    axs = plot_drr(images, title=["first", "second"], vmin=0.0)
    assert len(axs) == 2
    for ax, image, title in zip(axs, images, ["first", "second"], strict=True):
        np.testing.assert_array_equal(pictures(ax)[0], image[0].detach())
        assert ax.get_xlabel() == title
        assert ax.get_images()[0].get_cmap().name == "gray"
        assert ax.get_images()[0].get_clim()[0] == 0
        assert [label.get_text() for label in ax.get_xticklabels()] == ["1", "5"]
        assert [label.get_text() for label in ax.get_yticklabels()] == ["1", "4"]


def test_one_title_serves_all_and_ticks_can_be_left_out():
    axs = plot_drr(make_images(2), title="both", ticks=False)
    assert [ax.get_xlabel() for ax in axs] == ["both", "both"]
    assert all(len(ax.get_xticks()) == len(ax.get_yticks()) == 0 for ax in axs)


@pytest.mark.parametrize("wrap", [lambda ax: ax, lambda ax: [ax]])
def test_given_axes_are_used(wrap):
    _, ax = plt.subplots()
    (drawn,) = plot_drr(make_images(1), axs=wrap(ax))
    assert drawn is ax
    assert len(pictures(ax)) == 1


@pytest.mark.parametrize("color", ["rgb(255,0,51)", "#ff0033"])
def test_structures_are_coloured_where_they_are_seen(color):
    structures = torch.zeros(1, 3, 4, 5)
    structures[0, 0, 1, 2] = structures[0, 1, 3, 3] = structures[0, 2, 0, 0] = 0.1
    _, ax = plt.subplots()
    masks = plot_mask(structures, ax, colors=[color, "blue"], alpha=0.25, return_masks=True)
    assert masks[0, 0, 1, 2].tolist() == masks[0, 2, 0, 0].tolist() == [255, 0, 51, 255]
    assert masks[0, 1, 3, 3].tolist() == [0, 0, 255, 255]
    assert np.count_nonzero(masks.any(-1)) == 3
    assert [image.get_alpha() for image in ax.get_images()] == [0.25] * 3


def test_several_channels_are_drawn_as_their_sum_under_the_structures():
    images = make_images(2, channels=3)
    for draw in (plot_drr, plot_img_and_mask):
        axs = draw(images)
        for ax, image in zip(axs, images, strict=True):
            whole, *structures = pictures(ax)
            np.testing.assert_array_equal(whole, image.sum(0).detach())
            assert [structure.shape for structure in structures] == [(4, 5, 4)] * 2
    assert plot_mask(images, axs) is None


def test_wrong_numbers_of_titles_and_axes_are_refused():
    _, ax = plt.subplots()
    with pytest.raises(ValueError, match="Expected 2 titles"):
        plot_drr(make_images(2), title=["one"])
    with pytest.raises(ValueError, match="Expected 2 axes"):
        plot_drr(make_images(2), axs=ax)
    with pytest.raises(ValueError, match="Expected 2 axes"):
        plot_mask(make_images(2), [ax])


def test_without_matplotlib_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "matplotlib.pyplot", None)
    with pytest.raises(ImportError, match="raygrad"):
        plot_drr(make_images(1))
