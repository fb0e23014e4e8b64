"""What axe-core finds, which is what a program can find of WCAG 2.1 AA: names, roles, contrast."""

import pytest

RULES = {"runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"]}}


def violations(axe, page):
    """Each rule that is broken, with where."""
    found = axe.run(page, options=RULES).response["violations"]
    return {rule["id"]: [node["html"] for node in rule["nodes"]] for rule in found}


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(browser_page, axe, picture, scheme):
    browser_page.emulate_media(color_scheme=scheme)
    picture(browser_page, scheme)
    assert violations(axe, browser_page) == {}


def test_axe_finds_what_is_wrong(browser_page, axe):
    browser_page.evaluate("document.querySelector('#tools').append(document.createElement('button'))")
    assert list(violations(axe, browser_page)) == ["button-name"]


def test_every_button_is_reached_by_the_keyboard(browser_page, expect):
    """By Tab, or by arrow keys from another of its toolbar or its tabs, which Tab reaches."""
    expect(browser_page.locator("#tools")).not_to_have_attribute("inert", "")
    browser_page.keyboard.press("Tab")
    first = browser_page.evaluate("document.activeElement.id || document.activeElement.textContent")
    for _ in range(200):
        browser_page.evaluate("document.activeElement.dataset.reached = 'yes'")
        browser_page.keyboard.press("Tab")
        if browser_page.evaluate("document.activeElement.id || document.activeElement.textContent") == first:
            break
    missed = browser_page.evaluate("""() => {
        const among = "[role=toolbar], [role=tablist], nav";
        const reached = (one) => one.dataset.reached || one.closest(among)?.querySelector("[data-reached]");
        const seen = [...document.querySelectorAll("button:not(:disabled)")].filter((one) => one.offsetParent !== null);
        return seen.filter((one) => !reached(one)).map((one) => one.outerHTML);
    }""")
    assert missed == []
