"""What of an X-ray counts, as a person painted it."""

import base64

import numpy as np
import pytest
import torch

from raygrad._cockpit import commands as commands  # each makes its own known
from raygrad._cockpit._commands import call
from raygrad._errors import InputError


def packed(mask):
    return base64.b64encode(np.packbits(mask.astype(np.uint8))).decode()


def painted(session):
    height, width = session.xrays[1].image.shape[-2:]
    mask = np.ones((height, width), np.uint8)
    mask[3:9, 5:20] = 0
    return mask


def test_a_mask_is_kept_as_weights_told_and_sent(session):
    mask = painted(session)
    call(session, "mask", {"view": 1, "bits": packed(mask)})
    torch.testing.assert_close(session.xrays[1].mask, torch.from_numpy(mask).float())
    assert session.xrays[0].mask is None
    assert [view["masked"] for view in session.state()["views"]] == [False, True]
    np.testing.assert_array_equal(session._kept["mask 1"].array, 255 * mask)


def test_all_pixels_count_again(session):
    call(session, "mask", {"view": 1, "bits": packed(painted(session))})
    call(session, "mask", {"view": 1, "bits": None})
    assert session.xrays[1].mask is None
    assert (session._kept["mask 1"].array == 255).all()


@pytest.mark.parametrize("bits", ["", "AAAA", "not base64!", packed(np.zeros((40, 36)))])
def test_masks_that_fit_no_image_or_leave_nothing_are_refused(session, bits):
    with pytest.raises(InputError, match="Expected"):
        call(session, "mask", {"view": 0, "bits": bits})
    assert session.xrays[0].mask is None


def test_the_page_learns_what_counts_of_an_x_ray_that_takes_the_place_of_another(session):
    call(session, "mask", {"view": 0, "bits": packed(painted(session))})
    call(session, "close_xray", {"view": 0})
    assert session.n_views == 1
    assert (session._kept["mask 0"].array == 255).all()  # of what was view 1
    assert "mask 1" not in session._kept
