"""The session is the server's: a page that lost it comes back to it, and two pages see the same."""

import pytest

SOCKETS = """
    const Original = window.WebSocket;
    window.sockets = [];
    window.WebSocket = class extends Original {
        constructor(...given) { super(...given); window.sockets.push(this); }
    };
"""
"""What a test needs to close the page's websocket."""


def move(cockpit):
    """As another page would: 10 mm to the right."""
    from raygrad._cockpit._commands import call

    call(cockpit.session, "step", {"view": 0, "axis": "right", "amount": 10.0})


def undo_button(page):
    return page.get_by_role("button", name="Undo")


@pytest.mark.parametrize("closed_by", ["page", "network"])
def test_a_lost_connection_comes_back_with_the_session_as_it_is_now(context, open_page, cockpit, expect, closed_by):
    context.add_init_script(SOCKETS)
    routes = []
    if closed_by == "network":

        def pass_on(route):
            route.connect_to_server()
            routes.append(route)

        context.route_web_socket("**/socket", pass_on)
    page = open_page()
    expect(undo_button(page)).to_be_disabled()
    if closed_by == "network":
        routes[0].close(code=1011, reason="gone")
    else:
        page.evaluate("window.sockets[0].close()")
    move(cockpit)  # while the page is not there, or is just coming back
    expect(undo_button(page)).to_be_enabled()
    expect(page.locator("#status")).not_to_contain_text("lost")
    undo_button(page).click()
    expect(undo_button(page)).to_be_disabled()
    assert cockpit.session.placement is cockpit.session.start


def test_a_page_says_that_the_connection_is_lost(context, open_page, complaints, expect):
    complaints.expect("WebSocket connection")
    context.add_init_script(SOCKETS)
    page = open_page()
    page.evaluate("() => { window.WebSocket = class { constructor() { setTimeout(() => this.onclose?.()); } }; }")
    page.evaluate("window.sockets[0].close()")
    expect(page.locator("#status")).to_contain_text("connection was lost")


def test_two_tabs_see_one_session(open_page, cockpit, expect):
    first, second = open_page(), open_page()
    expect(undo_button(second)).to_be_disabled()
    move(cockpit)
    for page in (first, second):
        expect(undo_button(page)).to_be_enabled()
    undo_button(first).click()
    for page in (first, second):
        expect(undo_button(page)).to_be_disabled()
        expect(page.get_by_role("button", name="Redo")).to_be_enabled()


def test_a_reload_keeps_the_session_and_the_token(browser_page, cockpit, expect):
    move(cockpit)
    browser_page.reload()
    expect(undo_button(browser_page)).to_be_enabled()
    browser_page.goto(cockpit.url.partition("#")[0])  # as a person who cut the address short
    expect(undo_button(browser_page)).to_be_enabled()


def test_a_page_without_a_token_says_what_to_do(context, cockpit, complaints, expect):
    page = context.new_page()
    complaints.watch(page)
    page.goto(cockpit.url.partition("#")[0])
    expect(page.get_by_role("alert")).to_contain_text("token")


def test_nothing_of_the_token_is_sent_with_requests(context, cockpit, complaints, expect):
    page = context.new_page()
    complaints.watch(page)
    sent = []
    page.on("request", lambda request: sent.append(request.url + str(request.all_headers())))
    page.goto(cockpit.url)
    expect(page.locator("#ct-name")).to_have_text("thorax")
    assert len(sent) > 5
    assert [text for text in sent if cockpit.token in text] == []
