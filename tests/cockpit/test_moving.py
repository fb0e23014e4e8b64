"""What hands, keys and wheels do, whoever else does something."""

import pytest
import torch

from raygrad._cockpit import commands as commands
from raygrad._cockpit._client import Client
from raygrad._cockpit._commands import COMMANDS, call
from raygrad._cockpit._placement import CT
from raygrad._errors import InputError


def shift(session, end, client, start=(10.0, 10.0), **more):
    call(session, "drag", {"view": 0, "how": "shift", "start": list(start), "end": list(end), **more}, client)


def centre_in(session, view=0):
    return call(session, "project", {"point": session.centre().tolist()})[view]


def test_a_drag_is_one_step_of_undo(session):
    client, before = Client(1), centre_in(session)
    call(session, "grab", {}, client)
    for end in ((12.0, 10.0), (15.0, 11.0), (18.0, 14.0)):
        shift(session, end, client)
    call(session, "drop", {}, client)
    assert centre_in(session) == pytest.approx([before[0] + 8, before[1] + 4], abs=1e-6)
    assert call(session, "undo", {}) == "Drag"
    assert centre_in(session) == pytest.approx(before, abs=1e-9)
    assert call(session, "redo", {}) == "Drag"
    assert centre_in(session) == pytest.approx([before[0] + 8, before[1] + 4], abs=1e-6)


def test_two_hands_move_by_the_sum_of_both(session):
    one, other, before = Client(1), Client(2), centre_in(session)
    call(session, "grab", {}, one)
    call(session, "grab", {}, other)
    for step in range(1, 6):
        shift(session, (10.0 + step, 10.0), one)
        shift(session, (10.0, 10.0 + 2 * step), other)
    assert centre_in(session) == pytest.approx([before[0] + 5, before[1] + 10], abs=1e-6)
    call(session, "drop", {}, one)
    call(session, "drop", {}, other)
    call(session, "undo", {})
    call(session, "undo", {})
    assert centre_in(session) == pytest.approx(before, abs=1e-9)


def test_two_pointers_of_a_page_are_two_hands(session):
    client, before = Client(1), centre_in(session)
    for pointer in (1, 2):
        call(session, "grab", {"pointer": pointer}, client)
    shift(session, (13.0, 10.0), client, pointer=1)
    shift(session, (10.0, 14.0), client, pointer=2)
    shift(session, (14.0, 10.0), client, pointer=1)
    assert centre_in(session) == pytest.approx([before[0] + 4, before[1] + 4], abs=1e-6)


def test_a_hand_goes_on_from_where_a_wheel_and_another_way_put_things(session):
    client = Client(1)
    call(session, "grab", {}, client)
    shift(session, (14.0, 10.0), client)
    call(session, "step", {"view": 0, "axis": "depth", "amount": 30.0}, client)
    deep = session.centre(placement=session.placement)
    shift(session, (14.0, 10.0), client)
    torch.testing.assert_close(session.centre(), deep)  # the pointer did not move
    turned = {"view": 0, "how": "turn", "start": [10.0, 10.0], "end": [14.0, 10.0]}
    call(session, "drag", turned, client)
    torch.testing.assert_close(session.centre(), deep)
    call(session, "drop", {}, client)
    call(session, "undo", {})
    assert session.placement is session.start


def test_a_page_that_goes_in_the_middle_of_a_drag_leaves_one_step(session):
    client = Client(1)
    call(session, "grab", {}, client)
    shift(session, (14.0, 10.0), client)
    session.left(client)
    assert session.history.described()["undo"] == "Drag"
    session.left(client)
    call(session, "undo", {})
    assert session.placement is session.start


def test_a_hand_that_moved_nothing_is_no_step(session):
    call(session, "grab", {})
    call(session, "drop", {})
    assert session.history.described() == {"undo": None, "redo": None}


def test_keys_that_are_held_down_are_one_step(session):
    for _ in range(5):
        call(session, "step", {"view": 0, "axis": "right", "amount": 1.0})
    call(session, "step", {"view": 0, "axis": "down", "amount": 1.0})
    assert call(session, "undo", {}) == "Down"
    assert call(session, "undo", {}) == "Right"
    assert session.placement is session.start
    assert call(session, "undo", {}) is None


@pytest.mark.parametrize(
    ("name", "one", "other"),
    [
        ("step", {"axis": "yaw", "amount": 2.5}, {"axis": "yaw", "amount": -1.0}),
        ("step", {"axis": "depth", "amount": 7.0}, {"axis": "depth", "amount": 3.0}),
        ("deepen", {"factor": 1.1}, {"factor": 0.95}),
        ("drag", {"how": "turn", "start": [3, 4], "end": [9, 9]}, {"how": "turn", "start": [3, 4], "end": [8, 2]}),
    ],
)
def test_requests_that_are_done_as_one_do_what_they_do_one_by_one(session, name, one, other):
    one, other = {"view": 1, **one}, {"view": 1, **other}
    call(session, "grab", {})
    for request in (one, other):
        call(session, name, request)
    apart = session.placement.bodies[CT].matrix
    call(session, "drop", {})
    call(session, "undo", {})
    call(session, "grab", {})
    call(session, name, COMMANDS[name].fold(one, other))
    torch.testing.assert_close(session.placement.bodies[CT].matrix, apart, rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", ["step", "deepen", "drag"])
def test_requests_of_other_views_stay_apart(name):
    one = {"view": 0, "axis": "yaw", "amount": 1.0, "factor": 1.1, "how": "turn", "start": [1, 2], "end": [3, 4]}
    assert COMMANDS[name].fold(one, {**one, "view": 1}) is None


def test_an_unlinked_view_moves_alone_and_undo_links_it_again(session):
    call(session, "link", {"view": 1, "linked": False})
    assert [view["linked"] for view in session.state()["views"]] == [True, False]
    before = session.placement
    call(session, "step", {"view": 1, "axis": "right", "amount": 12.0})
    torch.testing.assert_close(session.placement.pose(0).matrix, before.pose(0).matrix)
    assert (session.placement.pose(1).matrix - before.pose(1).matrix).abs().max() > 1
    assert centre_in(session, 1)[0] > 0
    call(session, "undo", {})
    call(session, "undo", {})
    assert session.placement is session.start


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("step", {"view": 0, "axis": "right", "amount": float("nan")}),
        ("step", {"view": 0, "axis": "right", "amount": float("inf")}),
        ("step", {"view": 0, "axis": "sideways", "amount": 1.0}),
        ("step", {"view": 2, "axis": "right", "amount": 1.0}),
        ("step", {"view": True, "axis": "right", "amount": 1.0}),
        ("step", {"view": 0, "axis": "right"}),
        ("step", {"view": 0, "axis": "right", "amount": 1.0, "client": 3}),
        ("drag", {"view": 0, "how": "shift", "start": [0.0], "end": [1.0, 1.0]}),
        ("drag", {"view": 0, "how": "shift", "start": [0.0, 10**400], "end": [1.0, 1.0]}),
        ("deepen", {"view": 0, "factor": -1.0}),
        ("nothing", {}),
        ("__class__", {}),
        ("undo", []),
        ("undo", {"a": 1}),
    ],
)
def test_what_makes_no_sense_is_said_and_changes_nothing(session, name, arguments):
    with pytest.raises(InputError, match="Expected"):
        call(session, name, arguments)
    assert session.placement is session.start
