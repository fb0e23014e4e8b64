"""What waits for a page is bounded, newest first where the newest says it all."""

import asyncio
import json
import struct

import numpy as np
import pytest

from raygrad._cockpit._frame import Frame, grey_frame
from raygrad._cockpit._mailbox import MOST_TEXTS, UNSEEN, Mailbox


def frame(key, value=0):
    return Frame(key, np.full((2, 2), value, np.uint8))


def taken(put, n=None):
    """What a page gets, as far as there is something, of what `put` puts into a mailbox."""

    async def run():
        mailbox = Mailbox(asyncio.get_running_loop())
        put(mailbox)
        found = []
        while n is None or len(found) < n:
            try:
                found.append(await asyncio.wait_for(mailbox.take(), 0.05))
            except asyncio.TimeoutError:
                break
            if found[-1] is None:
                break
        return found

    return [json.loads(one) if isinstance(one, str) else one for one in asyncio.run(run())]


def read(encoded):
    (length,) = struct.unpack_from("<I", encoded)
    header = json.loads(encoded[4 : 4 + length])
    assert (4 + length) % 8 == 0
    array = np.frombuffer(encoded, np.dtype(header["dtype"]).newbyteorder("<"), offset=4 + length)
    return header, array.reshape(header["shape"])


def test_of_placements_the_newest_is_sent_and_of_replies_all():
    def put(mailbox):
        for number in range(5):
            mailbox.put({"type": "placement", "number": number})
            mailbox.put({"type": "reply", "id": number})

    found = taken(put)
    assert [one["id"] for one in found if one["type"] == "reply"] == [0, 1, 2, 3, 4]
    assert [one["number"] for one in found if one["type"] == "placement"] == [4]


def test_a_placement_that_is_newer_than_a_state_comes_after_it():
    def put(mailbox):
        for kind in ("placement", "state", "placement"):
            mailbox.put({"type": kind})

    assert [one["type"] for one in taken(put)] == ["state", "placement"]


def test_a_page_that_never_says_what_it_saw_gets_no_more_images():
    def put(mailbox):
        for number in range(100):
            for key in ("a", "b", "c"):
                mailbox.put(frame(key, number))

    found = taken(put)
    assert [read(one)[0]["key"] for one in found] == ["a", "b"]
    assert len(found) == UNSEEN
    assert all(read(one)[1].max() == 99 for one in found)


def test_no_image_waits_for_ever_behind_one_that_is_made_more_often():
    async def run():
        mailbox, found = Mailbox(asyncio.get_running_loop()), []
        mailbox.put(frame("rare"))
        for number in range(8):
            mailbox.put(frame("often", number))
            header, _ = read(await mailbox.take())
            mailbox.seen(header["number"])
            found.append(header["key"])
        return found

    assert asyncio.run(run())[:2] == ["rare", "often"]


def test_a_page_that_does_not_read_is_given_up():
    def put(mailbox):
        for number in range(10 * MOST_TEXTS):
            mailbox.put({"type": "reply", "id": number})
        assert mailbox.full
        assert not mailbox._texts

    assert taken(put) == [None]


def test_what_is_no_json_is_said_to_whom_sends_it():
    def put(mailbox):
        with pytest.raises(ValueError, match="not JSON compliant"):
            mailbox.put({"type": "state", "value": float("nan")})

    assert taken(put) == []


def test_greys_are_the_image_again_to_a_65535th():
    image = np.random.default_rng(0).normal(size=(5, 7)).astype(np.float32)
    header, array = read(grey_frame("drr 0", image, view=0).encoded(3))
    assert (header["key"], header["number"], header["view"]) == ("drr 0", 3, 0)
    again = header["low"] + array * (header["high"] - header["low"]) / 65535
    np.testing.assert_allclose(again, image, atol=(header["high"] - header["low"]) / 65535)
    flat, array = read(grey_frame("drr 0", np.full((2, 2), 3.5)).encoded(1))
    assert flat["low"] == flat["high"] == 3.5
    assert array.max() == 0
