"""Snapshots, files, export and geometry in the page."""

import json

import torch

from raygrad._cockpit._moves import translation


def open_tab(page, name):
    page.get_by_role("tab", name=name).click()


def test_a_snapshot_is_taken_compared_and_gone_back_to(browser_page, cockpit, expect, until, picture):
    page, session = browser_page, cockpit.session
    open_tab(page, "Files")
    page.get_by_role("button", name="Take a snapshot").click()
    expect(page.get_by_text("Snapshot 1", exact=True).first).to_be_visible()
    before = session.placement
    session.place(before.moved(before.bodies["CT"].inverse().compose(_moved(3.0))))
    page.get_by_role("button", name="Compare").click()
    expect(page.get_by_text("The CT’s middle moved by 3.00 mm, and it turned by 0.00°.")).to_be_visible()
    canvas = page.get_by_role("img", name="front: Snapshot 1")
    expect(canvas).to_have_js_property("width", 200)
    picture(page, "compared")
    page.get_by_role("button", name="Go back to Snapshot 1").click()
    until(lambda: session.placement is before)
    page.get_by_role("button", name="Undo").click()
    until(lambda: session.placement is not before)


def test_a_session_and_an_export_are_downloaded(browser_page, cockpit, expect, tmp_path):
    page = browser_page
    open_tab(page, "Files")
    panel = page.get_by_role("region", name="Session and X-rays")
    expect(panel.get_by_role("button", name="Save", exact=True)).to_be_disabled()
    with page.expect_download() as download:
        panel.get_by_role("button", name="Download").click()
    assert download.value.suggested_filename == "session.json"
    download.value.save_as(tmp_path / "session.json")
    content = json.loads((tmp_path / "session.json").read_text())
    assert [view["xray"] for view in content["views"]] == ["front", "side"]
    page.get_by_role("button", name="Export and pictures").click()
    page.get_by_role("button", name="What can be had now?").click()
    row = page.get_by_role("row", name="RTK's XML")
    with page.expect_download() as download:
        row.get_by_role("button", name="Download").click()
    assert download.value.suggested_filename == "export.xml"
    expect(page.get_by_role("row", name="OpenCV's YAML")).to_contain_text("It has one view")
    with page.expect_download() as download:
        page.get_by_text("X-rays as they are seen").get_by_role("button", name="Download").click()
    download.value.save_as(tmp_path / "seen.png")
    assert (tmp_path / "seen.png").read_bytes().startswith(b"\x89PNG")


def test_another_number_is_typed_refused_and_undone(browser_page, cockpit, expect, until):
    page, session = browser_page, cockpit.session
    open_tab(page, "Geometry")
    field = page.get_by_label("Source to detector in mm")
    expect(field).to_have_value("1100")
    field.fill("1200")
    field.press("Tab")
    until(lambda: session.placement.intrinsics[0].sdd == 1200.0)
    expect(page.get_by_text("typed or found here")).to_be_visible()
    field.fill("-1")
    field.press("Tab")
    expect(page.get_by_text("Source to detector: expected a positive number of mm. Got -1.")).to_be_visible()
    assert session.placement.intrinsics[0].sdd == 1200.0
    page.get_by_role("button", name="Undo").click()
    expect(field).to_have_value("1100")


def test_without_x_rays_the_page_says_what_to_do(browser_page, cockpit, expect, until):
    page, session = browser_page, cockpit.session
    open_tab(page, "Files")
    for name in ("front", "side"):
        page.get_by_role("button", name=f"Close {name}").click()
    expect(page.get_by_text("No X-ray is open. Simulate one of this CT")).to_be_visible()
    page.get_by_role("button", name="Simulate an X-ray").click()
    until(lambda: session.n_views == 1)
    expect(page.get_by_text("simulated, 0 degrees").first).to_be_visible()


def _moved(mm):
    return translation(torch.tensor([mm, 0.0, 0.0], dtype=torch.float64))
