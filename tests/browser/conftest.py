"""A page in a real browser: Chromium without a window, over a server in this process.

    make test-browser
    make test-browser PYTEST_ARGS="-k reload"        some of them
    RAYGRAD_HEADED=1 make test-browser               in a window
    RAYGRAD_SCREENSHOTS=folder make test-browser     pictures of the page

What a test needs of Playwright it takes from fixtures, so that the folder can be collected without it.
"""

import os
import re
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from cockpits import make_case

SIZE = {"width": 1440, "height": 900}


def pytest_itemcollected(item: pytest.Item) -> None:
    """Everything in this folder needs a browser."""
    item.add_marker("browser")


# --- the server


@pytest.fixture(scope="session")
def case():
    """The CT and its X-rays."""
    return make_case()


@pytest.fixture
def cockpit(request, case):
    """A session that nobody has touched yet, being served; a test may name another function that makes its case."""
    serving, cockpit = (request.param() if hasattr(request, "param") else case).serving()
    serving.start()
    yield cockpit
    serving.close()


@pytest.fixture(scope="session")
def until():
    """A function that waits until another one says True, for 10 s."""

    def until(true):
        end = time.monotonic() + 10
        while not true():
            assert time.monotonic() < end, "it did not come about in 10 s"
            time.sleep(0.02)

    return until


# --- the browser


@pytest.fixture(scope="session")
def playwright_api():
    """The module playwright.sync_api."""
    return pytest.importorskip("playwright.sync_api", reason="needs playwright: make test-browser")


@pytest.fixture(scope="session")
def expect(playwright_api):
    """Playwright's assertions, which wait until they hold."""
    return playwright_api.expect


@pytest.fixture(scope="session")
def browser(playwright_api):
    """Chromium, one for all tests."""
    import chromium

    path = chromium.find()
    if path is None:
        pytest.skip("needs a Chromium: make test-browser installs one")
    with playwright_api.sync_playwright() as playwright:
        headless = "RAYGRAD_HEADED" not in os.environ
        browser = playwright.chromium.launch(executable_path=path, args=list(chromium.FLAGS), headless=headless)
        yield browser
        browser.close()


class Complaints:
    """What a page must not do: errors in its console or its programs, and requests that leave the machine."""

    def __init__(self, host):
        self.host = host
        self.said = []
        self.expected = []

    def expect(self, pattern):
        """A test makes this happen."""
        self.expected.append(re.compile(pattern))

    def watch(self, page):
        page.on("console", lambda message: message.type == "error" and self.add("console", message.text))
        page.on("pageerror", lambda error: self.add("program", str(error)))
        page.on("request", lambda request: self.check(request.url))
        page.on("websocket", lambda socket: self.check(socket.url))

    def check(self, url):
        parts = urlsplit(url)
        if parts.scheme not in ("data", "blob") and parts.netloc != self.host:
            self.add("request", url)

    def add(self, kind, text):
        self.said.append(f"{kind}: {text}")

    def left(self):
        return [text for text in self.said if not any(pattern.search(text) for pattern in self.expected)]


@pytest.fixture
def complaints(cockpit):
    """Of all pages of a test, which fails if any are left at its end."""
    complaints = Complaints(f"127.0.0.1:{cockpit.port}")
    yield complaints
    assert complaints.left() == []


@pytest.fixture
def context(browser):
    """A profile of its own, as large as a laptop's screen."""
    context = browser.new_context(viewport=SIZE, color_scheme="dark", reduced_motion="reduce")
    context.set_default_timeout(15_000)
    yield context
    context.close()


@pytest.fixture
def open_page(context, cockpit, complaints):
    """A function that opens the cockpit in a new tab, and returns once the page knows the session."""

    def open_page():
        page = context.new_page()
        complaints.watch(page)
        page.goto(cockpit.url)
        page.locator("#ct-name:not(:empty)").wait_for()  # not wait_for_function: it evaluates text, which is forbidden
        return page

    return open_page


@pytest.fixture
def browser_page(open_page):
    """The cockpit in a tab."""
    return open_page()


@pytest.fixture
def picture(request):
    """A function that keeps a screenshot of a page, if the environment variable RAYGRAD_SCREENSHOTS names a folder."""

    def picture(page, name):
        if folder := os.environ.get("RAYGRAD_SCREENSHOTS"):
            page.screenshot(path=Path(folder) / f"{request.node.name}-{name}.png")

    return picture


@pytest.fixture
def axe(complaints):
    """axe-core, which looks for what a program can find of WCAG."""
    made = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe: make test-browser").Axe()
    complaints.expect("Applying inline style")  # axe's own, while it looks; the policy refuses it
    return made
