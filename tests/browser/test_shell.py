"""The page around its parts: columns, tabs, keys, colours, messages, the tour; with keyboard and screen reader, too."""

import re
import time

import pytest

SCREENS = {
    "laptop": (1440, 900),
    "desk": (1920, 1080),
    "small laptop": (1280, 720),
    "tablet": (1024, 768),
    "standing tablet": (768, 1024),
    "phone": (390, 844),
    "laptop at 200 percent": (720, 450),
}


def press(page, *keys):
    for key in keys:
        page.keyboard.press(key)


def tab_to(page, selector, most=200):
    """With the Tab key alone, which also shows that it can be reached so."""
    for _ in range(most):
        page.keyboard.press("Tab")
        if page.evaluate("selector => document.activeElement.matches(selector)", selector):
            return
    raise AssertionError(f"{selector} is not reached with {most} Tabs")


def box(page, selector):
    return page.locator(selector).first.bounding_box()


# --- columns


def test_splitters_go_by_pointer_and_keys_and_are_remembered(browser_page, expect):
    splitter = browser_page.get_by_role("separator", name="Width of the X-rays")
    before = box(browser_page, "#xrays")["width"]
    splitter.press("ArrowRight")
    expect(splitter).to_have_attribute("aria-valuenow", "55")
    assert box(browser_page, "#xrays")["width"] > before
    bar = splitter.bounding_box()
    browser_page.mouse.move(bar["x"] + 3, 400)
    browser_page.mouse.down()
    browser_page.mouse.move(bar["x"] - 97, 400, steps=4)
    browser_page.mouse.up()
    moved = splitter.bounding_box()
    assert moved["x"] == pytest.approx(bar["x"] - 100, abs=15)
    browser_page.reload()
    expect(splitter).to_be_visible()
    assert splitter.bounding_box()["x"] == pytest.approx(moved["x"], abs=1)
    splitter.press("Enter")
    expect(splitter).to_have_attribute("aria-valuenow", "52")


@pytest.mark.parametrize("screen", SCREENS)
def test_pictures_have_a_useful_size_on_every_screen(browser_page, screen, picture):
    width, height = SCREENS[screen]
    browser_page.set_viewport_size({"width": width, "height": height})
    browser_page.evaluate("new Promise(requestAnimationFrame)")
    picture(browser_page, screen.replace(" ", "-"))
    assert browser_page.evaluate("document.scrollingElement.scrollWidth") <= width
    for pane in browser_page.locator("#xrays .pane").all():
        place = pane.bounding_box()
        assert min(place["width"], place["height"]) >= min(200, 0.3 * width)


def test_a_phone_shows_one_part_at_a_time(browser_page, expect):
    browser_page.set_viewport_size({"width": 390, "height": 844})
    parts = browser_page.get_by_role("navigation", name="Parts of the page")
    expect(browser_page.locator("#xrays")).to_be_visible()
    expect(browser_page.locator("#side")).to_be_hidden()
    parts.get_by_role("button", name="Panels").click()
    expect(browser_page.locator("#xrays")).to_be_hidden()
    expect(browser_page.locator("#side")).to_be_visible()
    parts.get_by_role("button", name="X-rays").click()
    expect(browser_page.locator("#xrays")).to_be_visible()


# --- panels


def test_tabs_go_by_arrow_keys(browser_page, expect):
    tabs = browser_page.locator("#side").get_by_role("tab")
    expect(tabs.first).to_have_attribute("aria-selected", "true")
    tabs.first.press("ArrowRight")
    expect(tabs.nth(1)).to_be_focused()
    expect(tabs.nth(1)).to_have_attribute("aria-selected", "true")
    shown = browser_page.locator("#side > [role=tabpanel]:visible")
    expect(shown).to_have_count(1)
    assert shown.get_attribute("aria-labelledby") == tabs.nth(1).get_attribute("id")
    tabs.nth(1).press("Home")
    expect(tabs.first).to_have_attribute("aria-selected", "true")


def test_a_folded_panel_stays_folded(browser_page, expect):
    fold = browser_page.locator("#side .panel:visible .fold").first
    body = browser_page.locator("#" + fold.get_attribute("aria-controls"))
    expect(body).to_be_visible()
    fold.click()
    expect(fold).to_have_attribute("aria-expanded", "false")
    expect(body).to_be_hidden()
    browser_page.reload()
    expect(fold).to_have_attribute("aria-expanded", "false")


def test_a_picture_is_enlarged_and_put_back(browser_page, expect):
    panel = browser_page.locator("#space .panel.fill").first
    before = panel.bounding_box()
    enlarge = panel.get_by_role("button", name="Enlarge")
    enlarge.click()
    assert panel.bounding_box()["width"] > 1.5 * before["width"]
    assert browser_page.locator("#xrays .panel").first.evaluate("panel => panel.inert")
    browser_page.keyboard.press("Escape")
    expect(enlarge).to_have_attribute("aria-pressed", "false")
    assert panel.bounding_box() == before
    assert not browser_page.locator("#xrays .panel").first.evaluate("panel => panel.inert")


# --- keys, colours, messages


def test_the_help_lists_every_key_and_none_twice(browser_page, expect):
    browser_page.locator("body").press("?")
    dialog = browser_page.get_by_role("dialog", name="Keys and pointer")
    expect(dialog).to_be_visible()
    expect(dialog.get_by_role("row").filter(has_text="Undo")).to_contain_text("Ctrl")
    shown = dialog.get_by_role("row").count()
    table = browser_page.evaluate("""async () => {
        const { registered } = await import("/shell/keys.js");
        return registered().map(({ keys, what, where }) => [String(keys), what, where ?? "Everywhere"].join("|"));
    }""")
    assert shown == len(set(table))
    browser_page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)


def test_keys_undo_but_not_while_text_is_typed(browser_page, cockpit, expect):
    cockpit.session.history.record("Drag", cockpit.session.placement)
    cockpit.session.tell_state()
    undo = browser_page.locator("#undo")
    expect(undo).to_be_enabled()
    browser_page.evaluate("""() => {
        const field = Object.assign(document.createElement("input"), { id: "typed", ariaLabel: "Text" });
        document.body.prepend(field);
        field.focus();
    }""")
    press(browser_page, "a", "Control+z", "?")
    expect(browser_page.locator("dialog")).to_have_count(0)
    expect(undo).to_be_enabled()
    browser_page.evaluate("document.getElementById('typed').blur()")
    press(browser_page, "Control+z")
    expect(undo).to_be_disabled()
    expect(browser_page.locator("#status")).to_have_text("Undone: Drag")
    press(browser_page, "Control+Shift+Z")
    expect(undo).to_be_enabled()
    expect(browser_page.locator("#status")).to_have_text("Done again: Drag")


def test_the_button_for_colours_goes_round_and_is_remembered(browser_page, expect):
    ground = "getComputedStyle(document.body).backgroundColor"
    button = browser_page.locator("#theme")
    dark = browser_page.evaluate(ground)
    button.click()
    expect(button).to_have_accessible_name("Colours: dark")
    assert browser_page.evaluate(ground) == dark
    button.click()
    expect(button).to_have_accessible_name("Colours: light")
    light = browser_page.evaluate(ground)
    assert light != dark
    browser_page.reload()
    expect(button).to_have_accessible_name("Colours: light")
    assert browser_page.evaluate(ground) == light
    button.click()
    browser_page.emulate_media(color_scheme="light")
    assert browser_page.evaluate(ground) == light


def test_a_mistake_is_said_and_stays_until_dismissed(browser_page, cockpit, expect):
    cockpit.session.tell({"type": "trouble", "about": "save", "message": "Expected a file name. Got <b>none</b>."})
    message = browser_page.get_by_role("alert")
    expect(message).to_contain_text("Got <b>none</b>.")
    browser_page.wait_for_timeout(500)
    expect(message).to_be_visible()
    message.get_by_role("button", name="Dismiss").click()
    expect(message).to_have_count(0)


def test_what_is_worked_on_has_a_bar_and_can_be_cancelled(browser_page, cockpit, expect):
    def work(job):
        while not job.tell(text="level 1 of 4", share=0.25):
            time.sleep(0.02)

    cockpit.session.jobs.start("Registration", work)
    bar = browser_page.get_by_role("progressbar", name="Registration")
    expect(bar).to_have_attribute("aria-valuenow", "25")
    expect(browser_page.locator("#status")).to_contain_text("Registration")
    browser_page.locator("#cancel").click()
    expect(bar).to_be_hidden()


def test_a_server_that_has_gone_is_said_with_what_to_do(browser_page, case, complaints, expect):
    complaints.expect("WebSocket|ERR_")
    browser_page.evaluate("""async () => {
        const { mountStatus } = await import("/shell/status.js");
        const { Store } = await import("/store.js");
        const store = new Store();
        mountStatus(document.createElement("div"), { store, connection: {} });
        window.lostConnection = () => store.emit("connection", false);
        window.gotConnection = () => store.emit("connection", true);
    }""")
    browser_page.clock.install()
    browser_page.evaluate("lostConnection()")
    expect(browser_page.locator("#status")).to_have_text("The connection was lost. Trying again …")
    browser_page.clock.fast_forward(15_000)
    expect(browser_page.get_by_role("alert")).to_contain_text("Start it again in the terminal")
    browser_page.evaluate("gotConnection()")
    expect(browser_page.get_by_role("alert")).to_have_count(0)
    expect(browser_page.locator("#status")).to_contain_text("Connected again")


# --- for the keyboard and screen readers


def test_the_first_tab_skips_to_the_xrays(browser_page, expect):
    browser_page.keyboard.press("Tab")
    expect(browser_page.get_by_role("link", name="Skip to the X-rays")).to_be_focused()
    browser_page.keyboard.press("Enter")
    browser_page.keyboard.press("Tab")
    assert browser_page.evaluate("document.activeElement.closest('#xrays') !== null")


def test_a_toolbar_is_one_stop_of_the_tab_key(browser_page, expect):
    tab_to(browser_page, "#tools *")
    first = browser_page.evaluate("document.activeElement.textContent")
    browser_page.keyboard.press("ArrowRight")
    assert browser_page.evaluate("document.activeElement.textContent") != first
    browser_page.keyboard.press("Tab")
    assert browser_page.evaluate("document.activeElement.closest('#tools') === null")


@pytest.fixture
def check(axe):
    """A function that fails with what axe finds on a page."""

    def check(page):
        found = axe.run(page).response["violations"]
        assert not found, "\n".join(
            f"{one['id']}: {node['html'][:200]} {node['failureSummary']}" for one in found for node in one["nodes"]
        )

    return check


@pytest.mark.parametrize("screen", ["laptop", "phone", "laptop at 200 percent"])
@pytest.mark.parametrize("scheme", ["dark", "light"])
def test_axe_finds_nothing(browser_page, check, scheme, screen, picture):
    width, height = SCREENS[screen]
    browser_page.set_viewport_size({"width": width, "height": height})
    browser_page.emulate_media(color_scheme=scheme)
    for part in ("xrays", "space", "side"):
        shown = browser_page.locator(f"#places button[data-place={part}]:visible")
        if shown.count():
            shown.click()
        elif part != "xrays":
            continue
        for tab in browser_page.locator("#side [role=tab]:visible").all() or [None]:
            if tab is not None:
                tab.click()
            check(browser_page)
    picture(browser_page, f"{scheme}-{screen.replace(' ', '-')}")


def test_axe_finds_nothing_in_the_help_and_the_tour(browser_page, check):
    browser_page.locator("#tour").click()
    check(browser_page)
    browser_page.keyboard.press("Escape")
    browser_page.keyboard.press("?")
    browser_page.get_by_role("dialog").wait_for()
    check(browser_page)


def test_nothing_moves_for_those_who_want_it_so(browser_page):
    moving = browser_page.evaluate("document.getAnimations().length")
    assert moving == 0


# --- the tour


def test_the_tour_is_offered_once_on_the_example_only(browser_page, open_page, cockpit, expect):
    offer = browser_page.get_by_role("button", name="Start the tour")
    expect(offer).to_have_count(0)  # this is no example
    cockpit.session.name = "example"
    other = open_page()
    expect(other.get_by_role("button", name="Start the tour")).to_be_visible()
    other.reload()
    expect(other.locator("#ct-name")).to_have_text("example")
    expect(other.get_by_role("button", name="Start the tour")).to_have_count(0)
    expect(other.locator("#tour")).to_be_visible()


def test_the_tour_is_left_and_resumed(browser_page, expect):
    browser_page.locator("#tour").click()
    card = browser_page.get_by_role("dialog")
    card.locator("#tour-next").click()
    expect(card.get_by_role("heading")).to_have_text("Drag the anatomy")
    card.get_by_role("button", name="Leave").click()
    expect(card).to_be_hidden()
    expect(browser_page.locator("#tour")).to_be_focused()
    browser_page.reload()
    browser_page.locator("#tour").click()
    expect(card.get_by_role("heading")).to_have_text("Drag the anatomy")


def test_the_tour_is_done_with_the_keyboard_alone(browser_page, expect, picture):
    """From the skip link on; every step that waits for something gets it, by keys that any person has."""
    does = {
        "Drag the anatomy": ["ArrowRight", "ArrowRight", "ArrowDown"],
        "Snap": ["Enter"],
        "Undo": ["Enter"],
        "Register": ["Enter"],
        "Landscape": ["Enter"],
        "Keep a snapshot": ["Enter"],
    }
    tab_to(browser_page, "#tour, #menu button")
    while not browser_page.evaluate("document.activeElement.id === 'tour'"):
        browser_page.keyboard.press("ArrowLeft")
    browser_page.keyboard.press("Enter")
    card = browser_page.locator(".tour")
    title = card.get_by_role("heading")
    seen = []
    for _ in range(12):
        expect(title).to_be_focused()
        seen.append(title.text_content())
        picture(browser_page, re.sub(r"\W+", "-", seen[-1].lower()))
        if seen[-1] in does:
            browser_page.keyboard.press("F2")
            press(browser_page, *does[seen[-1]])
            expect(card.locator(".said")).to_have_text("Done.", timeout=60_000)
            browser_page.keyboard.press("F2")
            expect(title).to_be_focused()
        tab_to(browser_page, "#tour-next", 5)
        browser_page.keyboard.press("Enter")
        if seen[-1] == "Your own X-rays":
            break
    expect(card).to_be_hidden()
    assert seen[0] == "Two X-rays and a CT"
    assert len(seen) == 10
