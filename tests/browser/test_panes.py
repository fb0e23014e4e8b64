"""The panes of X-rays: modes, zoom, keys, locked axes, masks, and drags that are put back."""

import pytest
import torch
from test_dragging import centre_in_pane, drag


@pytest.fixture
def pane(browser_page):
    return browser_page.locator(".pane").first


def middle_of(pane):
    box = pane.bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def moved(cockpit):
    """How far the CT's centre is from where it began, in mm, along the first view's right, down and depth."""
    session = cockpit.session
    axes = session.start.camera_to_world(0, session.subject.orientation).matrix[0, :3, :3]
    step = axes.T @ (session.centre() - session.centre(placement=session.start))
    return step * torch.tensor([-1.0, -1.0, 1.0], dtype=torch.float64)


def test_escape_puts_a_drag_back_and_leaves_nothing_to_undo(browser_page, pane, cockpit, until):
    x, y = middle_of(pane)
    browser_page.mouse.move(x, y)
    browser_page.mouse.down()
    browser_page.mouse.move(x + 50, y + 20, steps=5)
    until(lambda: moved(cockpit).norm() > 1)
    browser_page.keyboard.press("Escape")
    until(lambda: cockpit.session.placement is cockpit.session.start)
    browser_page.mouse.move(x + 90, y, steps=3)
    browser_page.mouse.up()
    browser_page.wait_for_timeout(200)
    assert cockpit.session.placement is cockpit.session.start
    assert cockpit.session.history.described()["undo"] is None


def test_arrows_move_by_millimetres(browser_page, pane, cockpit, until):
    pane.focus()
    browser_page.keyboard.press("ArrowRight")
    browser_page.keyboard.press("Shift+ArrowDown")
    wanted = torch.tensor([1.0, 0.1, 0.0], dtype=torch.float64)
    until(lambda: torch.allclose(moved(cockpit), wanted, atol=1e-6))


def test_the_wheel_goes_deeper_and_with_ctrl_zooms(browser_page, pane, cockpit, until):
    browser_page.mouse.move(*middle_of(pane))
    browser_page.mouse.wheel(0, 100)
    until(lambda: moved(cockpit)[2] > 10)
    placement = cockpit.session.placement
    browser_page.keyboard.down("Control")
    browser_page.mouse.wheel(0, -300)
    browser_page.keyboard.up("Control")
    browser_page.wait_for_timeout(200)
    assert cockpit.session.placement is placement


def test_zoomed_in_the_anatomy_still_follows_the_pointer(browser_page, pane, cockpit, until):
    pane.focus()
    for _ in range(3):
        browser_page.keyboard.press("+")
    box, zoom = pane.bounding_box(), 1.25**3
    start, _ = centre_in_pane(cockpit, box, 0)
    x, y = middle_of(pane)
    drag(browser_page, (x, y), (60.0, -40.0))
    until(lambda: cockpit.session.history.described()["undo"] is not None)
    end, _ = centre_in_pane(cockpit, box, 0)
    torch.testing.assert_close(zoom * (end - start), end.new_tensor([60.0, -40.0]), rtol=0, atol=0.3)


def test_locked_axes_stay(browser_page, pane, cockpit, until):
    browser_page.get_by_role("button", name="Lock right").click()
    until(lambda: cockpit.session.locked == {"right"})
    drag(browser_page, middle_of(pane), (50.0, 40.0))
    until(lambda: cockpit.session.history.described()["undo"] is not None)
    right, down, _ = moved(cockpit).tolist()
    assert right == pytest.approx(0, abs=1e-9)
    assert down > 5


def test_what_is_hidden_reaches_the_server_and_is_shown_again(browser_page, pane, cockpit, until):
    browser_page.get_by_role("button", name="Hide", exact=True).click()
    drag(browser_page, middle_of(pane), (60.0, 0.0))
    until(lambda: cockpit.session.xrays[0].mask is not None)
    mask = cockpit.session.xrays[0].mask
    assert mask[100, 100] == 0
    assert 0.9 < mask.mean() < 1
    assert cockpit.session.placement is cockpit.session.start
    browser_page.get_by_role("button", name="Undo the last stroke, X-ray 1").click()
    until(lambda: cockpit.session.xrays[0].mask is None)


@pytest.mark.parametrize("mode", ["blend", "edges", "checker", "difference", "xray", "drr"])
def test_every_mode_draws(browser_page, pane, cockpit, until, picture, mode):
    until(lambda: "drr 1" in cockpit.session._kept)
    browser_page.locator(".xray select").first.select_option(mode)
    browser_page.wait_for_timeout(500)
    picture(browser_page, mode)
    shades = pane.evaluate("""(pane) => {
        const canvas = pane.querySelector("canvas");
        const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
        return new Set(new Uint32Array(data.buffer)).size;
    }""")
    assert shades > 50
