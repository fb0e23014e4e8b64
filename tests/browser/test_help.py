"""The machine's help from the page: register, snap, cancel, and what the page says of how that ended."""

import torch

from raygrad.metrics import mean_target_registration_error

TARGETS = 100 * (2 * torch.rand(1, 50, 3, generator=torch.Generator().manual_seed(0)).double() - 1)


def error(cockpit, view=0):
    return mean_target_registration_error(cockpit.session.placement.pose(view), cockpit.truths[view], TARGETS).item()


def yellow(page):
    """How many pixels of the panes have the ellipse's colour."""
    return page.evaluate("""() => [...document.querySelectorAll(".pane canvas")].map((canvas) => {
        const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
        let found = 0;
        const is = (i) => data[i] > 230 && data[i + 1] > 180 && data[i + 2] < 130;
        for (let i = 0; i < data.length; i += 4) found += is(i) ? 1 : 0;
        return found;
    })""")


def test_register_from_the_page_ends_at_the_truth(browser_page, cockpit, expect, until, picture):
    page = browser_page
    begun = error(cockpit)
    assert sum(yellow(page)) == 0
    page.get_by_role("button", name="Register", exact=True).click()
    outcome = page.locator("#panel-registration .found")
    expect(outcome).to_contain_text("similarity", timeout=60_000)
    assert error(cockpit) < 0.5
    assert error(cockpit, 1) < 0.5
    expect(page.locator("#panel-certainty strong")).to_contain_text("all others below")
    until(lambda: min(yellow(page)) > 20)
    picture(page, "registered")
    page.get_by_role("button", name="Undo").click()
    expect(outcome).to_contain_text("moved since")
    assert error(cockpit) == begun
    until(lambda: sum(yellow(page)) == 0)


def test_snap_and_its_key(browser_page, cockpit, expect, until):
    page = browser_page
    begun = error(cockpit)
    page.get_by_role("button", name="Snap").click()
    expect(page.locator("#panel-registration .found")).to_contain_text("Snap, similarity", timeout=20_000)
    assert error(cockpit) < 0.5 * begun
    page.keyboard.press("Control+z")
    until(lambda: error(cockpit) == begun)
    page.locator("body").press("s")
    until(lambda: error(cockpit) < 0.5 * begun)


def test_cancel_stops_where_it_was_best(browser_page, cockpit, expect, until):
    page = browser_page
    page.get_by_role("button", name="Register", exact=True).click()
    until(lambda: cockpit.session.placement is not cockpit.session.start)
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator("#panel-registration .found")).to_contain_text("Stopped", timeout=10_000)
    assert cockpit.session.history.described()["undo"] == "Register"


def test_what_is_in_the_way_is_said(browser_page, expect):
    page = browser_page
    page.get_by_label("How far to search").select_option("header")
    page.get_by_role("button", name="Search").click()
    expect(page.locator("#messages")).to_contain_text("No X-ray has a header")
    page.get_by_text("What is not known").click()
    page.get_by_role("checkbox", name="Source to detector").check()
    page.get_by_label("The X-rays show").select_option("log")
    expect(page.get_by_role("checkbox", name="Source to detector")).to_be_checked()
