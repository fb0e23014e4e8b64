"""What was cut out of a CT, in red."""

import numpy as np
import pytest
from matplotlib.figure import Figure
from table_cases import Scan

from raygrad.data import read
from raygrad.visualization import plot_cut_out


def test_the_table_is_red_behind_the_patient():
    scan = Scan(shape=(90, 70, 8), spacing=(5.0, 5.0, 10.0)).torso().table(top=-105, shell=10)
    subject = read(scan.volume(), remove_table=True)
    axes = plot_cut_out(subject, Figure().subplots(1, 2))
    for ax in axes:
        colours = np.asarray(ax.images[0].get_array())
        red = (colours[..., 0] > colours[..., 1]).any(axis=1 if ax is axes[0] else 0)
        assert red[-len(red) // 4 :].any()  # below in the axial slice, on the right, behind, in the sagittal one
        assert not red[: len(red) // 2].any()
    assert axes[0].images[0].get_array().shape == (70, 90, 3)
    assert axes[1].images[0].get_array().shape == (8, 70, 3)


def test_it_needs_to_know_what_went():
    ct = Scan(shape=(20, 20, 4)).volume()
    with pytest.raises(ValueError, match="remove_table=True"):
        plot_cut_out(read(ct))
    with pytest.raises(ValueError, match="two axes"):
        plot_cut_out(read(ct, remove_table=True), Figure().subplots(1, 3))
