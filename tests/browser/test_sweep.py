"""The page of a sweep: the strip, what views are for, a reconstruction that is watched, by mouse and by keyboard."""

import time
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from cases_of_sweeps import GRID, IMAGES, VIEWS, open_session, wait

from raygrad._cockpit import OpenSweep, Serving, SweepSession
from raygrad.geometry.trajectories import circular
from raygrad.reconstruction import reconstruct

RULES = {"runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"]}}


def served(session):
    serving = Serving(session)
    serving.start()
    return serving, SimpleNamespace(session=session, url=serving.url, port=int(serving.url.split("/")[2].split(":")[1]))


@pytest.fixture
def cockpit(tmp_path):
    """A sweep, in place of a CT and X-rays."""
    session = open_session(out=tmp_path / "volume.nii.gz")
    serving, cockpit = served(session)
    yield cockpit
    serving.close()
    wait(session)


def option(page, view):
    return page.locator(f"#view-{view}")


def pixels(page, name):
    """Grey levels of the picture of this name, rows and columns."""
    locator = page.get_by_role("img", name=name)
    flat, height, width = locator.evaluate("""(canvas) => {
        const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
        return [Array.from(data).filter((_, i) => i % 4 === 0), canvas.height, canvas.width];
    }""")
    return np.array(flat).reshape(height, width)


def test_the_strip_shows_the_views_and_the_keyboard_goes_through_them(browser_page, expect, cockpit, picture):
    page = browser_page
    expect(page.locator(".strip-view")).to_have_count(12)
    page.locator("#strip-list").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    expect(option(page, 2)).to_have_attribute("aria-selected", "true")
    expect(page.get_by_role("img", name="Measured: view 3")).to_be_visible()
    image = IMAGES[2].numpy()
    shown = pixels(page, "Measured: view 3")
    assert np.abs(shown - 255 * (image - image.min()) / np.ptp(image)).max() < 1.5
    page.keyboard.press("h")
    expect(option(page, 2)).to_have_attribute("data-use", "held out")
    page.keyboard.press("End")
    page.keyboard.press("l")
    expect(option(page, 11)).to_have_attribute("aria-label", "View 12, 330.0°, LPO 30, left out")
    option(page, 2).click()
    page.get_by_role("button", name="Use", exact=True).click()
    expect(option(page, 2)).to_have_attribute("data-use", "used")
    assert cockpit.session.uses == ["used"] * 11 + ["left out"]
    picture(page, "strip")


def test_a_reconstruction_from_the_page_is_the_verbs(browser_page, expect, cockpit, picture):
    page, session = browser_page, cockpit.session
    option(page, 4).click()
    page.get_by_role("button", name="Hold out", exact=True).click()
    expect(page.get_by_role("button", name="Write the volume")).to_be_hidden()
    page.get_by_label("Method").select_option("sirt")
    page.get_by_label("Iterations").fill("25")
    page.get_by_text("Options").click()
    page.get_by_label("relaxation").fill("1.5")
    page.get_by_role("button", name="Reconstruct").click()
    expect(page.get_by_text("iteration 25, residual")).to_be_visible()
    expect(page.get_by_role("table")).to_contain_text("Held-out views")
    expect(page.locator(".sweep-said")).to_contain_text("Held out: the reconstruction never saw it.")
    used = [view for view in range(12) if view != 4]
    expected = reconstruct(IMAGES[used], VIEWS[used], GRID, method="sirt", iterations=25, relaxation=1.5)
    assert torch.equal(session.made.volume, expected.volume)
    slider = page.get_by_role("slider", name="Axial slice")
    slider.focus()
    page.keyboard.press("Home")
    for _ in range(4):
        page.keyboard.press("ArrowRight")
    expect(page.get_by_role("heading", name="Axial 5 of 12")).to_be_visible()
    axial = expected.volume[:, :, 4].flip(0, 1).T.numpy()
    assert np.corrcoef(pixels(page, "Axial slice").ravel(), axial.ravel())[0, 1] > 0.99
    picture(page, "made")
    page.get_by_role("button", name="Write the volume").click()
    expect(page.get_by_text("Written: ")).to_be_visible()
    assert session.sweep.out.is_file()


def test_cancel_ends_it_and_a_page_that_comes_back_sees_all(browser_page, expect, cockpit, open_page):
    page, session = browser_page, cockpit.session
    page.get_by_label("Method").select_option("cgls")
    page.get_by_label("Iterations").fill("1000000")
    page.get_by_role("button", name="Reconstruct").click()
    expect(page.locator(".plot polyline")).to_be_visible()
    began = time.perf_counter()
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_role("button", name="Reconstruct")).to_be_enabled()
    assert time.perf_counter() - began < 1
    expect(page.get_by_text("cancelled").last).to_be_visible()
    page.reload()
    expect(page.get_by_text("cancelled").last).to_be_visible()
    expect(page.get_by_role("heading", name="Axial 7 of 12")).to_be_visible()
    assert session.made.status == "cancelled"


def test_what_is_wrong_is_said(browser_page, expect):
    page = browser_page
    page.get_by_label("Voxel, mm").fill("0")
    page.get_by_role("button", name="Set").click()
    expect(page.get_by_role("alert")).to_contain_text("Expected")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(browser_page, axe, expect, picture, scheme):
    page = browser_page
    page.emulate_media(color_scheme=scheme)
    option(page, 4).click()
    page.get_by_role("button", name="Hold out", exact=True).click()
    page.get_by_label("Iterations").fill("2")
    page.get_by_role("button", name="Reconstruct").click()
    expect(page.get_by_role("table")).to_be_visible()
    found = axe.run(page, options=RULES).response["violations"]
    assert {rule["id"]: [node["html"] for node in rule["nodes"]] for rule in found} == {}
    picture(page, scheme)


class TestAThousandViews:
    """The strip holds what is seen of it only."""

    @pytest.fixture
    def cockpit(self):
        views = circular(1000, sdd=600.0, sid=400.0, height=16, width=20, delx=5.0)
        images = IMAGES.repeat(84, 1, 1)[:1000]
        session = SweepSession(OpenSweep("many", images, views, [f"view {n}" for n in range(1000)], GRID))
        serving, cockpit = served(session)
        yield cockpit
        serving.close()

    def test_few_are_in_the_page(self, browser_page, expect):
        page = browser_page
        expect(option(page, 0)).to_be_visible()
        page.locator("#strip-list").focus()
        page.keyboard.press("End")
        expect(option(page, 999)).to_be_visible()
        expect(option(page, 999)).to_have_attribute("aria-posinset", "1000")
        assert page.locator(".strip-view").count() < 100
