"""A hand on an X-ray: what is under the pointer stays under it, and one drag is one step of undo."""

import io

import numpy as np
import pytest
import torch
from cockpits import make_flat_case
from PIL import Image


def centre_in_camera(cockpit, view):
    """The CT's centre in the view's camera frame, in mm."""
    session = cockpit.session
    camera = session.placement.camera_to_world(view, session.subject.orientation)
    return camera.inverse()(session.centre()[None, None])[0, 0]


def centre_in_pane(cockpit, box, view):
    """Where the CT's centre is in a tab, in CSS pixels, and how many of these are a pixel of the view."""
    intrinsics = cockpit.session.placement.intrinsics[view]
    scale = min(box["width"] / intrinsics.width, box["height"] / intrinsics.height)
    u, v = intrinsics.project(centre_in_camera(cockpit, view)[None, None])[0, 0].tolist()
    left = box["x"] + (box["width"] - scale * intrinsics.width) / 2
    top = box["y"] + (box["height"] - scale * intrinsics.height) / 2
    return torch.tensor([left + scale * u, top + scale * v], dtype=torch.float64), scale


def drag(page, start, by):
    page.mouse.move(*start)
    page.mouse.down()
    page.mouse.move(start[0] + by[0], start[1] + by[1], steps=8)
    page.mouse.up()


@pytest.mark.parametrize("view", [0, 1])
def test_the_anatomy_follows_the_pointer_and_is_as_deep_and_as_turned_as_before(browser_page, cockpit, until, view):
    session, by = cockpit.session, torch.tensor([45.0, -30.0], dtype=torch.float64)
    box = browser_page.locator(".pane").nth(view).bounding_box()
    begin, _ = centre_in_pane(cockpit, box, view)
    depth = centre_in_camera(cockpit, view)[2].item()
    drag(browser_page, begin.tolist(), by.tolist())
    until(lambda: session.history.described()["undo"] is not None)
    end, scale = centre_in_pane(cockpit, box, view)
    # browsers tell programs the size of an element in whole CSS pixels, so the page's scale is off by up to 1 in 700
    torch.testing.assert_close(end - begin, by, rtol=0, atol=0.1)
    # so many pixels, each so many mm in the plane of the detector, less there where the anatomy is
    moved = session.placement.bodies["CT"].translation[0].norm().item()
    intrinsics = session.placement.intrinsics[view]
    assert moved == pytest.approx(by.norm().item() / scale * intrinsics.delx * depth / intrinsics.sdd, rel=2e-3)
    assert centre_in_camera(cockpit, view)[2].item() == pytest.approx(depth, abs=1e-9)
    torch.testing.assert_close(session.placement.bodies["CT"].rotation[0], torch.eye(3, dtype=torch.float64))


@pytest.mark.parametrize("cockpit", [make_flat_case], indirect=True, ids=["flat"])
def test_the_drr_on_the_screen_moves_as_far_as_the_pointer(cockpit, browser_page, until):
    """Of the pictures alone: what is drawn is found again where it was dragged to, whatever poses say."""
    registration = pytest.importorskip("skimage.registration")
    pane = browser_page.locator(".pane").first
    browser_page.get_by_label("How the DRR lies over X-ray 1").select_option("drr")
    until(lambda: cockpit.session._kept["drr 0"].header["fine"])
    before, by = shown(browser_page, pane), (40.0, -25.0)
    box = pane.bounding_box()
    drag(browser_page, centre_in_pane(cockpit, box, 0)[0].tolist(), by)
    until(lambda: cockpit.session.history.described()["undo"] is not None)
    until(lambda: cockpit.session._kept["drr 0"].header["fine"])
    after = shown(browser_page, pane)
    down, right = registration.phase_cross_correlation(after, before, upsample_factor=10, normalization=None)[0]
    assert (right, down) == pytest.approx(by, abs=0.5)


def shown(page, pane):
    """The middle of a pane in greys, once it changes no more."""
    page.wait_for_timeout(300)
    last = None
    while (picture := pane.screenshot()) != last:
        last = picture
        page.wait_for_timeout(150)
    grey = np.asarray(Image.open(io.BytesIO(picture)).convert("L"), dtype=np.float64)
    return grey[30:-30, 30:-30]


def test_a_drag_is_one_step_of_undo_and_is_drawn(browser_page, cockpit, until, expect):
    pane = browser_page.locator(".pane").first
    box = pane.bounding_box()
    until(lambda: "drr 0" in cockpit.session._kept)
    before = pane.screenshot()
    begin, _ = centre_in_pane(cockpit, box, 0)
    drag(browser_page, begin.tolist(), (60.0, 0.0))
    undo = browser_page.get_by_role("button", name="Undo")
    expect(undo).to_be_enabled()
    until(lambda: pane.screenshot() != before)
    undo.click()
    expect(undo).to_be_disabled()
    assert cockpit.session.placement is cockpit.session.start
