"""The page in a frame of a notebook: another page of this machine, with a model that talks to the kernel's widget.

What is not covered: Jupyter and VS Code themselves, and kernels on other machines, where there is nothing to be shown.
"""

import http.server
import json
import threading
from pathlib import Path

import pytest

import raygrad._cockpit

PAGE = b"""<!doctype html><title>notebook</title><main id="cell"></main><script type="module">
import widget from "./widget.js";
const values = JSON.parse(await begin()), listeners = {};
const model = {
  get: (name) => values[name],
  set: (name, value) => { values[name] = value; },
  save_changes: async () => {
    const allowed = await ask(values.origin);
    if (allowed === values.allowed) return;
    values.allowed = allowed;
    for (const listener of listeners["change:allowed"] ?? []) listener();
  },
  on: (event, listener) => { (listeners[event] ??= []).push(listener); },
  off: () => {},
};
widget.render({ model, el: document.getElementById("cell") });
</script>"""


class Notebook(http.server.BaseHTTPRequestHandler):
    """Serves a page and the widget's module."""

    def do_GET(self):
        module = self.path == "/widget.js"
        text = (Path(raygrad._cockpit.__file__).parent / "widget.js").read_bytes() if module else PAGE
        self.send_response(200)
        self.send_header("Content-Type", "text/javascript" if module else "text/html")
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_):
        pass


@pytest.fixture
def notebook():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Notebook)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # traitlets' own
def test_a_notebook_of_this_machine_shows_the_page_and_another_page_cannot(browser, cockpit, notebook, until):
    pytest.importorskip("anywidget", reason="needs raygrad[cockpit]")
    from raygrad._cockpit._widget import make_widget

    widget = make_widget(cockpit.session)
    context = browser.new_context()
    try:
        page = context.new_page()

        def ask(origin):
            widget.origin = origin
            return widget.allowed

        page.expose_function("begin", lambda: json.dumps({"url": widget.url, "height": 600, "allowed": ""}))
        page.expose_function("ask", ask)
        page.goto(notebook)
        inside = page.frame_locator("iframe").locator("#ct-name")
        inside.wait_for()
        until(lambda: inside.text_content() == cockpit.session.name)
        assert page.locator("iframe").bounding_box()["height"] == 600

        other = context.new_page()
        other.route("**/*", lambda route: route.fulfill(body="<!doctype html>", content_type="text/html"), times=1)
        other.goto(notebook.replace("127.0.0.1", "localhost"))
        other.evaluate(
            "url => { const f = document.createElement('iframe'); f.src = url; document.body.append(f); }", widget.url
        )
        other.wait_for_timeout(500)
        assert not other.frame_locator("iframe").locator("#ct-name").is_visible()
    finally:
        context.close()
        widget.close()
