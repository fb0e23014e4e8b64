"""Structures and implants in the page: taken out, dragged by themselves, registered, put back."""

from dataclasses import replace

import pytest
import torch
from cockpits import Case, make_case
from scene_cases import cube

from raygrad.scene import Mesh

T10 = "vertebra T10"


def make_case_with_nail():
    """The thorax with a nail in it."""
    case = make_case()
    corners, faces = cube()
    nail = Mesh((corners * [5.0, 6.0, 30.0] + [20.0, 30.0, 10.0], faces), material="titanium", name="nail")
    return Case(case.subject, case.xrays, case.truths, (nail,))


def open_bodies(page):
    page.get_by_role("tab", name="Bodies").click()
    return page.get_by_role("region", name="Bodies", exact=True)


def test_a_vertebra_is_taken_out_moved_by_keys_and_joined_again(browser_page, cockpit, expect, picture):
    page, session = browser_page, cockpit.session
    panel = open_bodies(page)
    expect(panel).to_contain_text("found by itself")
    panel.get_by_label("Structure of the CT").select_option(label=T10)
    panel.get_by_role("button", name="Move by itself").click()
    expect(panel.get_by_role("radio", name=f"Hands move {T10}")).to_be_checked()
    ct = session.placement.bodies["CT"]
    page.locator(".pane").first.focus()
    page.keyboard.press("ArrowRight")
    expect(panel.get_by_role("row", name=T10)).to_contain_text("1.00 mm, 0.00° off")
    assert session.placement.bodies["CT"] is ct
    picture(page, "a vertebra by itself")
    panel.get_by_role("button", name=f"{T10} back to where it was").click()
    expect(panel.get_by_role("row", name=T10)).to_contain_text("as at first")
    panel.get_by_role("button", name=f"Make {T10} part of the CT again").click()
    expect(panel.get_by_role("row")).to_have_count(0)
    assert session.bodies.scene is None


@pytest.mark.parametrize("cockpit", [make_case_with_nail], indirect=True)
def test_an_implant_is_dragged_alone_and_registered_with_the_ct(browser_page, cockpit, expect, until):
    page, session = browser_page, cockpit.session
    true = session.placement.with_pose(0, cockpit.truths[0])
    for view in range(2):
        session.exchange(view, replace(session.xrays[view], image=session.pictures.image(true, view, None)))
    panel = open_bodies(page)
    page.keyboard.press("b")
    expect(panel.get_by_role("radio", name="Hands move nail")).to_be_checked()
    ct, begun = session.placement.bodies["CT"], session.centre("nail")
    box = page.locator(".pane").first.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 9, y + 5, steps=5)
    page.mouse.up()
    until(lambda: (session.centre("nail") - begun).norm() > 3)
    assert session.placement.bodies["CT"] is ct
    page.get_by_role("button", name="Register", exact=True).click()
    page.get_by_role("tab", name="Align").click()
    outcome = page.locator("#panel-registration .found")
    expect(outcome).to_contain_text("nail: converged", timeout=60_000)
    away = session.placement.relative("nail").matrix - torch.eye(4).double()
    assert away.abs().max() < 0.1
    expect(page.locator("#panel-certainty strong")).to_contain_text("all others below")


@pytest.mark.parametrize("cockpit", [make_case_with_nail], indirect=True)
def test_the_last_body_that_registers_stays_so(browser_page, cockpit, expect, until):
    page = browser_page
    panel = open_bodies(page)
    panel.get_by_role("checkbox", name="Register CT").uncheck()
    until(lambda: cockpit.session.bodies.free == {"nail"})
    last = panel.get_by_role("checkbox", name="Register nail")
    last.click()
    expect(page.get_by_text("Expected at least one body that a registration may move")).to_be_visible()
    expect(last).to_be_checked()
