"""What pages say to the server: done in order, answered, and refused where our page would not say it."""

import http.client
import json
import struct
import threading
import time

import pytest

pytest.importorskip("uvicorn", reason="needs raygrad[cockpit]")

from cockpit_cases import small_session
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from raygrad._cockpit import Serving
from raygrad._cockpit import _mailbox as mailbox
from raygrad._cockpit._commands import COMMANDS, command
from raygrad._cockpit._told import Told

FULL = threading.Event()


@pytest.fixture(scope="module")
def session():
    return small_session()


@pytest.fixture(scope="module")
def serving(session):
    @command(slow=True)
    def wait_long(session: Told) -> str:
        FULL.wait(5)
        return "at last"

    @command
    def fill(session: Told, length: int) -> str:
        return "x" * length

    serving = Serving(session).start()
    yield serving
    serving.close()
    for name in ("wait_long", "fill"):
        del COMMANDS[name]


class Page:
    """A page without a browser."""

    def __init__(self, serving):
        address, _, token = serving.url.partition("#")
        self.opening = connect(
            address.replace("http", "ws") + "socket",
            origin=address.rstrip("/"),
            subprotocols=["raygrad", f"token.{token}"],
            max_size=2**26,
            compression=None,
            proxy=None,
        )
        self.number = 0

    def __enter__(self):
        self.socket = self.opening.__enter__()
        self.client = self.until("welcome")["client"]
        self.state = self.until("state")["state"]
        return self

    def __exit__(self, *_):
        self.opening.__exit__(None, None, None)

    def say(self, **message):
        self.socket.send(json.dumps(message))

    def say_and_listen(self, message):
        self.socket.send(message)
        self.listen()

    def listen(self):
        """As long as the connection lasts."""
        while True:
            self.next()

    def next(self):
        message = self.socket.recv(timeout=5)
        if isinstance(message, str):
            return json.loads(message)
        (length,) = struct.unpack_from("<I", message)
        header = json.loads(message[4 : 4 + length])
        self.say(do="seen", number=header["number"])
        return {"type": "frame", **header}

    def until(self, kind, condition=lambda message: True):
        while True:
            message = self.next()
            if message["type"] == kind and condition(message):
                return message

    def ask(self, name, **arguments):
        self.number += 1
        number = self.number
        self.say(do=name, arguments=arguments, id=number)
        return number

    def answer(self, number):
        return self.until("reply", lambda message: message["id"] == number)

    def call(self, name, **arguments):
        return self.answer(self.ask(name, **arguments))


@pytest.fixture
def page(serving):
    with Page(serving) as page:
        yield page


def depth(session):
    return session.placement.pose(0).matrix[0, :3, 3].norm().item()


def test_a_page_gets_the_state_and_images(page):
    assert [view["name"] for view in page.state["views"]] == ["view 0", "view 1"]
    missing = {"xray 0", "xray 1", "drr 0", "drr 1"}
    while missing:
        missing.discard(page.until("frame")["key"])


def test_steps_that_come_at_once_add_up(page, session):
    before = depth(session)
    for _ in range(500):
        page.say(do="step", arguments={"view": 0, "axis": "depth", "amount": 0.1})
    assert page.call("undo")["result"] == "Depth"
    assert page.call("redo")["result"] == "Depth"
    moved = session.placement.bodies["CT"].matrix[0, :3, 3].norm().item()
    assert moved == pytest.approx(50.0, abs=1e-6)
    page.call("reset")
    assert depth(session) == pytest.approx(before)


def test_a_drag_is_answered_by_an_image_with_its_number(page):
    page.say(do="grab")
    for number in range(1, 30):
        end = [10.0 + number / 10, 12.0]
        page.say(
            do="drag", arguments={"view": 0, "how": "shift", "start": [10.0, 12.0], "end": end}, sequence=100 + number
        )
    page.say(do="drop")
    page.until("frame", lambda frame: frame.get("answers") == {"client": page.client, "sequence": 129})
    assert page.call("undo")["result"] == "Drag"


def test_what_is_slow_delays_neither_hands_nor_other_pages(page, serving, session):
    FULL.clear()
    slow = page.ask("wait_long")
    assert page.call("step", view=0, axis="right", amount=1.0)["result"] is None
    with Page(serving) as other:
        assert other.call("undo")["result"] == "Right"
    FULL.set()
    assert page.answer(slow)["result"] == "at last"


def test_all_pages_see_what_one_does(page, serving):
    with Page(serving) as other:
        assert other.client != page.client
        page.call("lock", axes=["depth"])
        assert other.until("state", lambda message: message["state"]["locked"] == ["depth"])
        page.call("lock", axes=[])


def test_mistakes_are_answered_and_the_page_stays(page):
    assert "Expected a command" in page.call("nothing")["error"]
    assert "Expected step(" in page.call("step", view=0)["error"]
    assert len(page.call("x" * 100_000)["error"]) < 700
    assert len(page.call("select", body="y" * 100_000)["error"]) < 700
    page.say(do="step", arguments={"view": 9, "axis": "right", "amount": 1.0})
    assert "from 0 to 1" in page.until("trouble")["message"]
    assert page.call("lock", axes=[])["result"] is None


@pytest.mark.parametrize(
    "message",
    [
        "no json",
        "",
        "[]",
        "3",
        "null",
        '{"do": 3}',
        '{"do": "undo", "id": "a"}',
        '{"do": "undo", "id": [[[]]]}',
        '{"do": "undo", "id": 1e999}',
        '{"do": "undo", "id": true}',
        '{"do": "seen"}',
        '{"do": "seen", "number": 1.5}',
        "[" * 100_000,
        '{"do":' * 100_000,
        b"\x00\x01",
    ],
    ids=lambda message: repr(message[:24]),
)
def test_what_our_page_would_not_say_ends_the_connection_and_nothing_else(serving, session, message):
    before = session.placement
    with Page(serving) as page:
        with pytest.raises(ConnectionClosed) as ended:
            page.say_and_listen(message)
        assert ended.value.rcvd.code == 1008
    assert session.placement is before
    with Page(serving) as again:
        assert again.call("lock", axes=[])["result"] is None


def test_a_message_that_says_it_is_too_long_is_not_waited_for(serving, session):
    """Of what follows nothing is sent, so that the server's answer is not lost with what nobody reads."""
    with Page(serving) as page:
        text, masked, long = 0x81, 0x80, 127  # RFC 6455, 5.2: final text frame, masked, of a length in 8 bytes
        page.socket.socket.sendall(struct.pack("!BBQI", text, masked | long, 2**24 + 1, 0))
        with pytest.raises(ConnectionClosed) as ended:
            page.listen()
        assert ended.value.rcvd.code == 1009
    with Page(serving) as again:
        assert again.call("lock", axes=[])["result"] is None


def test_deeply_nested_arguments_are_a_mistake(page):
    page.socket.send('{"do": "step", "id": 77, "arguments": {"view": ' + "[" * 400 + "]" * 400 + "}}")
    assert len(page.answer(77)["error"]) < 300


def test_a_page_that_never_reads_keeps_nothing_of_the_server(serving, session):
    """Nor does it hold up others: what it asks for waits in its own socket."""
    address = serving.url
    listeners = len(session._listeners)
    with Page(serving) as deaf, Page(serving) as other:
        done = threading.Event()

        def ask():
            try:
                while not done.is_set():
                    deaf.ask("fill", length=100_000)
            except ConnectionClosed:
                pass

        asking = threading.Thread(target=ask)
        asking.start()
        time.sleep(0.5)
        began = time.perf_counter()
        assert other.call("lock", axes=[])["result"] is None
        assert time.perf_counter() - began < 1
        boxes = [listener.__self__ for listener in session._listeners if hasattr(listener, "__self__")]
        boxes = [box for box in boxes if isinstance(box, mailbox.Mailbox)]
        assert sum(len(text) for box in boxes for text in box._texts.values()) < 2e8
        done.set()
        deaf.socket.socket.close()
        asking.join(5)
        assert not asking.is_alive()
    assert serving.url == address
    with Page(serving) as again:
        assert again.call("lock", axes=[])["result"] is None
    for _ in range(100):
        if len(session._listeners) <= listeners:
            break
        time.sleep(0.02)
    assert len(session._listeners) <= listeners


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/nothing", {}, 404),
        ("/", {"Origin": "http://example.org"}, 403),
        ("/app.js", {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}, 403),
        ("/app.js", {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "cors"}, 403),
        ("/", {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}, 200),
        ("/app.js", {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors"}, 200),
        ("/socket", {}, 404),
    ],
)
def test_every_answer_says_what_a_page_may_do(serving, path, headers, status):
    host = serving.url.split("/")[2]
    connection = http.client.HTTPConnection(host, timeout=5)
    connection.request("GET", path, headers=headers)
    answer = connection.getresponse()
    assert answer.status == status
    assert answer.headers["Content-Security-Policy"].startswith(
        "default-src 'self'; connect-src 'self' ws://127.0.0.1:"
    )
    assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert "Server" not in answer.headers
    connection.close()
