"""Register, snap, search, cancel and undo of a session, without a page."""

import time
from dataclasses import replace

import pytest
import torch

from raygrad import registration
from raygrad._cockpit import Opened, OpenXRay, Session
from raygrad._cockpit import commands as commands
from raygrad._cockpit._commands import COMMANDS
from raygrad._cockpit._placement import CT
from raygrad._errors import InputError
from raygrad.data import load_example_ct
from raygrad.formats import View
from raygrad.geometry import Intrinsics
from raygrad.metrics import mean_target_registration_error
from raygrad.pose import RigidTransform, convert

pytestmark = pytest.mark.usefixtures("one_thread")

CAMERA = Intrinsics(sdd=1020.0, height=100, width=100, delx=4.0, dely=4.0)
TARGETS = 100 * (2 * torch.rand(1, 50, 3, generator=torch.Generator().manual_seed(0)).double() - 1)


def pose(*numbers):
    rotation, translation = (torch.tensor([part], dtype=torch.float64) for part in (numbers[:3], numbers[3:]))
    return convert(rotation, translation, parameterization="euler_angles", convention="ZXY", degrees=True)


TRUTHS = [pose(0, 0, 0, 0, 850, 0), pose(90, 0, 0, 0, 850, 0)]
OFF = pose(4, -3, 3, 10, 10, -8)


def do(session, name, **arguments):
    return COMMANDS[name].function(session, **arguments)


@pytest.fixture(scope="module")
def opened():
    subject = load_example_ct(shape=(128, 128, 67))
    xrays = []
    for number, truth in enumerate(TRUTHS):
        image = View(truth, CAMERA, "AP").make_drr(subject)(RigidTransform(truth.matrix.float())).detach()
        start = RigidTransform(OFF.matrix @ truth.matrix)
        xrays.append(OpenXRay(f"view {number}", image, View(start, CAMERA, "AP")))
    return subject, xrays


@pytest.fixture
def session(opened):
    session = Session(*opened)
    yield session
    session.close()


def ended(session, seconds=60.0):
    session.jobs.wait(seconds)
    assert session.jobs.current is None
    return session.state()["registering"]["found"]


def error(session, view=0):
    return mean_target_registration_error(session.placement.pose(view), TRUTHS[view], TARGETS).max().item()


def test_registers_to_the_truth_as_one_step(session):
    told = []
    session.listen(lambda message: told.append(message) if isinstance(message, dict) else None)
    before, begun = session.placement, error(session)
    do(session, "register")
    (found,) = ended(session)
    assert error(session) < 0.5
    assert error(session, 1) < 0.5
    assert found["fresh"]
    assert found["status"] in ("converged", "inconsistent")
    assert {"name", "text", "share"} <= [one["job"] for one in told if one["type"] == "job"][-1].keys()
    assert sum(one["type"] == "placement" for one in told) > 3  # the anatomy moved along
    certainty = session.state()["certainty"]
    assert "all others below" in certainty["text"]
    assert all(0 < view["axes"][1] <= view["axes"][0] < 1 for view in certainty["views"])
    assert do(session, "undo") == "Register"
    assert session.placement is before
    assert session.state()["certainty"] is None
    assert not session.state()["registering"]["found"][0]["fresh"]
    assert error(session) == begun
    assert do(session, "redo") == "Register"
    assert error(session) < 0.5


def test_a_snap_lowers_the_error(session):
    begun = error(session)
    do(session, "snap")
    (found,) = ended(session)
    assert error(session) < 0.3 * begun
    assert found["name"] == "Snap"
    assert session.history.described() == {"undo": "Snap", "redo": None}


def test_what_a_snap_needs_is_prepared_once(session):
    do(session, "prepare")
    do(session, "prepare")
    do(session, "snap")
    (found,) = ended(session)
    assert found["fresh"]
    (refiner,) = [made for _, made in session.registering._refiners.values()]
    assert session.registering.refiner((0, 1)) is refiner
    session.registering.set(replace(session.registering.options, response="log"))
    assert session.registering.refiner((0, 1)) is not refiner


def test_cancel_leaves_it_where_it_was_best(session):
    do(session, "register")
    while session.placement is session.start:
        time.sleep(0.001)
    do(session, "cancel")
    asked = time.perf_counter()
    (found,) = ended(session)
    assert time.perf_counter() - asked < 1
    assert found["status"] == "stopped"
    assert session.history.described()["undo"] == "Register"
    do(session, "undo")
    assert session.placement is session.start


def test_a_hand_takes_it_away(session):
    do(session, "register")
    while session.placement is session.start:
        time.sleep(0.001)
    do(session, "step", view=0, axis="right", amount=3.0)
    mine = session.placement
    ended(session)
    assert session.placement is mine


def test_views_that_are_not_linked_are_registered_by_themselves(session):
    session.place(session.placement.linking(1, False))
    bodies = session.placement.bodies[CT]
    do(session, "snap")
    found = ended(session)
    assert [one["views"] for one in found] == [[0], [1]]
    assert all(one["fresh"] for one in found)
    assert not torch.equal(session.placement.bodies[CT].matrix, bodies.matrix)
    assert torch.equal(session.placement.cameras[0].matrix, session.start.cameras[0].matrix)
    assert not torch.equal(session.placement.cameras[1].matrix, session.start.cameras[1].matrix)


def test_a_look_moves_nothing(session):
    do(session, "certainty")
    (found,) = ended(session)
    assert session.placement is session.start
    assert found["fresh"]
    assert session.state()["certainty"]["views"][0]["centre"] == pytest.approx(project(session, 0), abs=1e-6)
    assert session.history.described()["undo"] is None


def project(session, view):
    return do(session, "project", point=tuple(session.centre().tolist()))[view]


def test_an_ellipse_is_as_wide_as_the_image_magnifies(session):
    from raygrad._cockpit._certainty import described

    covariance = torch.diag(torch.tensor([0.2, 0.1, 4.0, 1e-3, 1e-3, 1e-3], dtype=torch.float64) ** 2)[None]
    uncertainty = registration.Uncertainty(covariance, 100.0)
    session.place(session.placement.with_pose(0, TRUTHS[0]))
    told = described(uncertainty, 0, session.placement, session.centre(), (0, 1), "AP")
    pixels = 5.991**0.5 * 1020 / 850 / 4
    assert told["views"][0]["axes"] == pytest.approx([0.2 * pixels, 0.1 * pixels], rel=1e-2)
    assert told["text"].startswith("Depth along the beam: ±7.8 mm; all others below 0.39 mm")
    assert told["views"][1]["axes"][0] == pytest.approx(4.0 * pixels, rel=0.1)  # the other view sees that depth


def test_a_search_goes_as_far_as_was_typed(opened, monkeypatch):
    asked = []
    monkeypatch.setattr("raygrad._cockpit._registering.search", lambda *given, **_: asked.append(given[2]) or 1 / 0)
    ranges = registration.SearchRanges(degrees=7.0, mm=9.0)
    session = Session(*opened, opened=Opened(ranges=ranges, options={"search": "7,9"}))
    try:
        assert session.state()["registering"]["typed"] == "7,9"
        do(session, "search", ranges="typed")
        ended(session)
    finally:
        session.close()
    assert asked == [ranges]


def test_mistakes_are_said(session):
    with pytest.raises(InputError, match="Expected unknowns among"):
        do(session, "register_by", unknowns=["depth"], response="auto")
    with pytest.raises(InputError, match="Expected ranges as view"):
        do(session, "search", ranges="all")
    with pytest.raises(InputError, match="header"):
        do(session, "search", ranges="header")
    with pytest.raises(InputError, match="--search"):
        do(session, "search", ranges="typed")
    with pytest.raises(InputError, match="up to 180 degrees"):
        do(session, "search", ranges="range", degrees=400.0)
    with pytest.raises(InputError, match="Expected the number of one of 0"):
        do(session, "take_rival", number=0)


def test_what_a_verb_refuses_is_told_as_it_is(session):
    told = []
    session.listen(lambda message: told.append(message) if isinstance(message, dict) else None)
    session.place(session.placement.moved(pose(0, 0, 0, 9000, 0, 0)))
    do(session, "snap")
    ended(session)
    (trouble,) = [one for one in told if one["type"] == "trouble"]
    assert "beam meets the CT" in trouble["message"]
    assert trouble["about"] == "Snap"


def test_a_landscape_has_its_top_where_the_xray_was_taken(session):
    session.place(session.placement.with_pose(0, TRUTHS[0]))
    before = session.placement
    do(session, "landscape", view=0, first="x", second="gamma", mm=8.0, degrees=4.0, steps=5)
    ended(session)
    told = session.state()["landscape"]
    assert told["labels"] == ["sideways (mm)", "turn in the image (degrees)"]
    assert told["deviations"][0] == [-8.0, -4.0, 0.0, 4.0, 8.0]
    assert told["best"] == [0.0, 0.0]
    assert told["here"] == max(max(row) for row in told["scores"]) > 0.9
    assert told["fresh"]
    do(session, "go_in_landscape", first=8.0, second=0.0)
    assert not session.state()["landscape"]["fresh"]
    moved = session.placement.pose(0).matrix @ TRUTHS[0].inverse().matrix
    assert moved[0, :3, 3].abs().tolist() == pytest.approx([8.0, 0.0, 0.0], abs=1e-6)
    assert do(session, "undo") == "Go in the landscape"
    assert session.placement is before


def test_a_landscape_refuses_one_direction(session):
    with pytest.raises(InputError, match="two directions"):
        do(session, "landscape", view=0, first="x", second="x")
    with pytest.raises(InputError, match="3 to 41 steps"):
        do(session, "landscape", view=0, first="x", second="y", steps=100)
    with pytest.raises(InputError, match="Got none"):
        do(session, "go_in_landscape", first=0.0, second=0.0)
