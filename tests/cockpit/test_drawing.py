"""Images follow what moves: newest first, the dragged view most often, fine when all rests."""

import threading
import time

import pytest
import torch

from raygrad._cockpit._client import Client


class Slow:
    """Pictures that take a while, and are as bright as the CT is far along x."""

    def __init__(self, seconds=0.0):
        self.seconds = seconds

    def image(self, placement, view, largest):
        time.sleep(self.seconds)
        x = placement.bodies["CT"].matrix[0, 0, 3].item()
        return torch.full((1, 1, 4, 4), x) + torch.rand(1, 1, 4, 4)


class Watched:
    """All images that a session shows."""

    def __init__(self, session):
        self.frames, self.new = [], threading.Condition()
        self.stop = session.listen(self.take)

    def take(self, message):
        if not isinstance(message, dict) and message.key.startswith("drr"):
            with self.new:
                self.frames.append(message)
                self.new.notify_all()

    def until(self, condition):
        with self.new:
            assert self.new.wait_for(lambda: any(condition(frame.header) for frame in self.frames), 5)


def push(session, x, view=0, client=None):
    moved = torch.eye(4, dtype=torch.float64)
    moved[0, 3] = x
    body = type(session.placement.bodies["CT"])(moved[None])
    session.place(session.placement.with_body("CT", body), view, client)


@pytest.fixture
def watched(session):
    watched = Watched(session)
    watched.until(lambda header: header["fine"] and header["view"] == 1)
    watched.frames.clear()
    return watched


def test_all_views_are_drawn_coarse_and_then_fine(session, watched):
    push(session, 5.0)
    watched.until(lambda header: header["fine"] and header["view"] == 1)
    assert [(one.header["view"], one.header["fine"]) for one in watched.frames] == [
        (0, False),
        (1, False),
        (0, True),
        (1, True),
    ]


def test_the_dragged_view_comes_first(session, watched):
    push(session, 5.0, view=1)
    watched.until(lambda header: header["view"] == 0)
    assert watched.frames[0].header["view"] == 1


def test_what_moves_on_is_not_drawn_where_it_was(session, watched):
    session.pictures = Slow(0.02)
    for number in range(1, 41):
        push(session, 10.0 * number)
        time.sleep(0.005)
    watched.until(lambda header: header["fine"])
    lows = [round(one.header["low"] // 10) for one in watched.frames if one.header["view"] == 0]
    assert len(lows) < 20  # of 40: no queue
    assert lows == sorted(lows)
    assert lows[-1] == 40


def test_the_dragged_view_has_most_of_the_time_and_the_other_its_turn(session, watched):
    session.pictures = Slow(0.01)
    for number in range(120):
        push(session, float(number))
        time.sleep(0.005)
    views = [one.header["view"] for one in watched.frames if not one.header["fine"]]
    assert views.count(0) > 2 * views.count(1) > 4


def test_images_say_which_request_they_answer(session, watched):
    client = Client(7, sequence=41)
    push(session, 5.0, client=client)
    watched.until(lambda header: header["fine"])
    assert watched.frames[0].header["answers"] == {"client": 7, "sequence": 41}


def test_a_picture_that_fails_is_said_and_the_next_is_drawn(session, watched):
    said = []
    session.listen(lambda message: said.append(message) if isinstance(message, dict) else None)

    class Broken:
        def image(self, placement, view, largest):
            raise ValueError("broken")

    good, session.pictures = session.pictures, Broken()
    push(session, 5.0)
    time.sleep(0.05)
    session.pictures = good
    push(session, 6.0)
    watched.until(lambda header: header["view"] == 0)
    assert any(message.get("message") == "broken" for message in said)


def test_it_ends_with_the_session(session):
    session.close()
    assert not session.drawing.is_alive()
