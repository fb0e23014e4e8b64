"""Who follows a landscape that is being computed, and ends it."""

import numpy as np
import torch

from raygrad.data import load_example_ct
from raygrad.drr import DRR
from raygrad.landscape import compute_landscape
from raygrad.pose import convert


def test_a_callback_counts_the_images_and_ends_it():
    drr = DRR(load_example_ct(shape=(32, 32, 17)), sdd=1020.0, height=16, delx=25.0)
    truth = convert(torch.zeros(1, 3), torch.tensor([[0.0, 850.0, 0.0]]), parameterization="axis_angle")
    calls = []

    def callback(done, total):
        calls.append((done, total))
        return len(calls) == 2

    landscape = compute_landscape(
        drr, truth, parameterization="axis_angle", slices=["x", "y"], steps=5, batch_size=2, callback=callback
    )
    assert calls == [(2, 10), (4, 10)]
    losses = np.concatenate([piece.loss for piece in landscape.slices])
    assert np.isnan(losses).tolist() == [False] * 4 + [True] * 6
