"""Only a page of this server that knows its token is served; other pages and other machines are not."""

import http.client
import socket

import pytest
import torch
from registration_cases import make_drr, make_subject

from raygrad.formats import View
from raygrad.pose import convert

pytest.importorskip("uvicorn", reason="needs raygrad[cockpit]")

from raygrad._cockpit import OpenXRay, Serving, Session


@pytest.fixture(scope="module")
def serving():
    subject = make_subject()
    pose = convert(
        torch.zeros(1, 3), torch.tensor([[0.0, 850.0, 0.0]]), parameterization="euler_angles", convention="ZXY"
    )
    drr = make_drr(subject)
    with torch.no_grad():
        xray = OpenXRay("xray", drr(pose), View.of(drr, pose))
    serving = Serving(Session(subject, [xray])).start()
    yield serving
    serving.close()


@pytest.fixture
def port(serving):
    return int(serving.url.split("/")[2].split(":")[1])


@pytest.fixture
def token(serving):
    return serving.url.partition("#")[2]


def ask(port, path="/", method="GET", address="127.0.0.1", **headers):
    """The answer to a request of exactly these headers; Host is what a browser of this machine would say."""
    headers = {"Host": f"127.0.0.1:{port}"} | {name.replace("_", "-"): value for name, value in headers.items()}
    connection = http.client.HTTPConnection(address, port, timeout=5)
    try:
        connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        for name, value in headers.items():
            if value is not None:
                connection.putheader(name, value)
        connection.endheaders()
        answer = connection.getresponse()
        if answer.status != 101:
            answer.read()
        return answer
    finally:
        connection.close()


def shake_hands(port, offered, **headers):
    """The status that a websocket is answered with; 101 is a yes."""
    websocket = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec_WebSocket_Version": "13",
        "Sec_WebSocket_Key": "AAAAAAAAAAAAAAAAAAAAAA==",
        "Sec_WebSocket_Protocol": offered,
        "Origin": f"http://127.0.0.1:{port}",
    }
    return ask(port, "/socket", **websocket | headers).status


# --- the page's files


@pytest.mark.parametrize("path", ["/", "/app.js", "/style.css", "/vendor/three/three.module.min.js"])
def test_the_page_is_served_with_a_policy(port, path):
    answer = ask(port, path)
    assert answer.status == 200
    assert answer.headers["Content-Security-Policy"].startswith("default-src 'self';")
    assert "unsafe" not in answer.headers["Content-Security-Policy"]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    if path.endswith(".js"):
        assert "javascript" in answer.headers["Content-Type"]


@pytest.mark.parametrize(
    "host", ["example.org", "example.org:{port}", "127.0.0.1", "127.0.0.1:1", "0.0.0.0:{port}", ""]
)
def test_a_name_that_was_bent_to_this_machine_is_refused(port, host):
    """DNS rebinding: the browser thinks that it talks to the attacker's own server, and says so in Host."""
    answer = ask(port, Host=host.format(port=port))
    assert answer.status in (400, 403)


def test_a_request_without_a_host_is_refused(port):
    assert ask(port, Host=None).status in (400, 403)


@pytest.mark.parametrize("origin", ["http://example.org", "null", "https://127.0.0.1:{port}", "http://127.0.0.1:1"])
def test_other_origins_are_refused(port, origin):
    answer = ask(port, "/app.js", Origin=origin.format(port=port))
    assert answer.status == 403
    assert "Access-Control-Allow-Origin" not in answer.headers


@pytest.mark.parametrize("path", ["/../_server.py", "/%2e%2e/_server.py", "//etc/passwd", "/%2fetc/passwd", "/vendor"])
def test_only_files_of_the_page_are_there(port, path):
    assert ask(port, path).status in (307, 400, 404)


def test_nothing_can_be_posted(port):
    assert ask(port, method="POST").status == 405


def test_other_addresses_of_this_machine_do_not_answer(port):
    with pytest.raises(OSError, match=r"refused|unreachable|assign|timed out"):
        socket.create_connection(("127.0.0.2", port), timeout=2).close()


# --- the websocket


def test_the_page_is_let_in(port, token):
    assert shake_hands(port, f"raygrad, token.{token}") == 101
    assert (
        shake_hands(port, f"raygrad, token.{token}", Host=f"localhost:{port}", Origin=f"http://localhost:{port}") == 101
    )


@pytest.mark.parametrize("offered", ["raygrad", "raygrad, token.", "raygrad, token.{wrong}", "raygrad, token.{cut}"])
def test_a_wrong_token_is_refused(port, token, offered):
    wrong = token[:-1] + ("A" if token[-1] != "A" else "B")
    assert shake_hands(port, offered.format(wrong=wrong, cut=token[:-1])) == 403


@pytest.mark.parametrize("origin", ["http://example.org", "null", "http://127.0.0.1:1", None])
def test_a_websocket_of_another_page_is_refused_even_with_the_token(port, token, origin):
    assert shake_hands(port, f"raygrad, token.{token}", Origin=origin) == 403


def test_a_websocket_to_another_name_is_refused_even_with_the_token(port, token):
    assert shake_hands(port, f"raygrad, token.{token}", Host=f"example.org:{port}") == 403
