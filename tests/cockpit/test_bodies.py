"""Structures and implants one by one: seen, moved, registered, kept, and put back."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scene_cases import cube, write_stl

from raygrad._cockpit import Opened, OpenXRay, Session, read_saved, restore
from raygrad._cockpit import commands as commands
from raygrad._cockpit._commands import call
from raygrad._cockpit._placement import CT
from raygrad._cockpit._saved import save
from raygrad._errors import InputError
from raygrad.data import load_example_ct
from raygrad.formats import View, read_body_poses
from raygrad.geometry import Intrinsics, views_from
from raygrad.march import Marching
from raygrad.pose import RigidTransform, convert, se3_exp_map
from raygrad.scene import Body, Capsule, Mesh, Scene

pytestmark = pytest.mark.usefixtures("one_thread")

CAMERA = Intrinsics(sdd=1020.0, height=100, width=100, delx=4.0, dely=4.0)
T10 = 56


def pose(*numbers):
    rotation, translation = (torch.tensor([part], dtype=torch.float64) for part in (numbers[:3], numbers[3:]))
    return convert(rotation, translation, parameterization="euler_angles", convention="ZXY", degrees=True)


def twist(*numbers):
    """A small motion: mm, then radians."""
    return RigidTransform(se3_exp_map(torch.tensor([numbers], dtype=torch.float64)))


TRUTHS = (pose(0, 0, 0, 0, 850, 0), pose(90, 0, 0, 0, 850, 0))
BEGIN = twist(20.0, 30.0, 10.0, 0.1, 0.2, 0.3)
"""Of the nail in the CT, at first."""
SHIFTS = {"nail": twist(3.0, -2.0, 2.0, 0.03, 0.02, -0.02), "vertebra T10": twist(1.5, 2.0, -1.0, 0.02, 0.02, -0.01)}
"""From where bodies are at first in the CT to where the X-rays show them."""
CORNERS, FACES = cube()
BOX = CORNERS * np.array([5.0, 6.0, 30.0]), FACES


def nail(triangles=None, **changes):
    """A box of titanium."""
    return Mesh(triangles or BOX, **{"material": "titanium", "name": "nail", "pose": BEGIN} | changes)


@pytest.fixture(scope="module")
def subject():
    return load_example_ct(shape=(128, 128, 67))


@pytest.fixture
def opened(subject):
    """A function that opens a session of two X-rays; it is closed at the end."""
    made = []

    def opened(bodies=(), **more):
        blank = torch.zeros(1, 1, *CAMERA.shape)
        xrays = [OpenXRay(f"view {n}", blank, View(truth, CAMERA, "AP")) for n, truth in enumerate(TRUTHS)]
        made.append(Session(subject, xrays, "thorax", bodies=bodies, **more))
        return made[-1]

    yield opened
    for session in made:
        session.close()


def do(session, name, **arguments):
    call(session, name, arguments)
    session.jobs.wait(60.0)
    assert session.jobs.current is None


def show_truth(session, shifts=SHIFTS):
    """Let the X-rays show the CT where it is now and the bodies by so much elsewhere; where that is."""
    true = session.placement
    for name, shift in shifts.items():
        true = true.with_body(name, true.relative(name).compose(shift).compose(true.bodies[CT]))
    for view in range(session.n_views):
        xray = session.xrays[view]
        session.exchange(view, replace(xray, image=session.pictures.image(true, view, None)))
    return true


def away(session, name, true):
    """How far the middle of a body is from where it is in truth, as the first camera sees it, in mm."""
    middle, now = session.bodies.middle(name)[None, None], session.placement
    one, other = (p.bodies[name].compose(p.cameras[0].inverse())(middle) for p in (now, true))
    return (one - other).norm().item()


def same(one, other, atol=1e-9):
    torch.testing.assert_close(one.matrix, other.matrix, atol=atol, rtol=0)


def test_images_are_those_of_the_scene(opened, subject):
    session = opened([nail()])
    placement = session.placement.moved(twist(10.0, 0, 5.0, 0, 0.1, 0)).moved(twist(0, 9.0, 0, 0, 0, 0.4), "nail")
    image = session.pictures.image(placement, 1, None)
    scene = Scene([Body(subject), nail(pose=None)])
    camera = views_from(placement.detector(1, "AP"), placement.cameras[1].to(torch.float32))
    poses = {"ct": placement.bodies[CT], "nail": placement.bodies["nail"]}
    expected = scene.render(camera, poses=poses, marching=Marching("joseph"))
    torch.testing.assert_close(image, expected.float(), atol=1e-4, rtol=1e-4)
    without = Scene([Body(subject)]).render(camera, poses={"ct": placement.bodies[CT]}, marching=Marching("joseph"))
    assert (image - without).max() > 2


def test_a_structure_that_is_taken_out_looks_as_before_and_moves_alone(opened):
    session = opened([nail()])
    before = session.pictures.image(session.placement, 0, None)
    do(session, "take_out", label=T10)
    assert session.selected == "vertebra T10"
    torch.testing.assert_close(session.pictures.image(session.placement, 0, None), before, atol=2e-3, rtol=1e-3)
    middle = session.centre()
    others = {name: session.placement.bodies[name] for name in (CT, "nail")}
    do(session, "step", view=0, axis="right", amount=12.0)
    assert (session.centre() - middle).norm().item() == pytest.approx(12.0)
    for name, stays in others.items():
        assert session.placement.bodies[name] is stays
    assert (session.pictures.image(session.placement, 0, None) - before).abs().max() > 0.05


def test_the_ct_takes_all_along_and_one_is_put_back(opened):
    session = opened([nail()])
    do(session, "select", body="nail")
    do(session, "step", view=0, axis="yaw", amount=20.0)
    do(session, "select", body=CT)
    do(session, "step", view=0, axis="depth", amount=-30.0)
    told = {one["name"]: one for one in session.bodies.described()["list"]}
    assert told["nail"]["moved"] == [0.0, 20.0]
    do(session, "place_back", body="nail")
    same(session.placement.relative("nail"), BEGIN)
    do(session, "undo")
    assert session.bodies.described()["list"][1]["moved"] == [0.0, 20.0]


@pytest.mark.parametrize("way", ["snap", "register"])
def test_all_are_found_together_as_one_step_of_undo(opened, way):
    session, names = opened([nail()]), ["nail"]
    if way == "snap":
        do(session, "take_out", label=T10)
        names.append("vertebra T10")
    true = show_truth(session, {name: SHIFTS[name] for name in names})
    do(session, "select", body=CT)
    for axis, amount in (("right", 6.0), ("depth", 8.0), ("yaw", 3.0)):
        do(session, "step", view=0, axis=axis, amount=amount)
    begun, told = session.placement, []
    session.listen(told.append)
    do(session, way)
    on_the_way = [one["bodies"][CT] for one in told if isinstance(one, dict) and one["type"] == "placement"]
    turns = [
        torch.tensor(matrix, dtype=torch.float64)[:3, :3] @ true.bodies[CT].matrix[0, :3, :3].T for matrix in on_the_way
    ]
    assert turns
    assert min(turn.trace().item() for turn in turns) > 1 + 2 * math.cos(math.radians(10))  # the nail is turned by 21
    limit = {"snap": 0.5, "register": 0.1}[way]
    for name in (CT, *names):
        assert away(session, name, true) < limit, name
    (found,) = session.registering.described()["found"]
    assert found["status"] == "converged"
    assert [one["name"] for one in found["bodies"]] == [CT, *names]
    for name in names:
        do(session, "select", body=name)
        assert "all others below" in session.state()["certainty"]["text"]
    do(session, "undo")
    assert session.placement is begun


def test_only_what_is_free_moves(opened):
    session = opened([nail()])
    do(session, "take_out", label=T10)
    true = show_truth(session, {"nail": SHIFTS["nail"]})
    do(session, "let_move", bodies=["nail"])
    begun = session.placement
    do(session, "snap")
    assert away(session, "nail", true) < 0.3
    for name in (CT, "vertebra T10"):
        same(session.placement.bodies[name], begun.bodies[name])
    do(session, "certainty")
    assert session.state()["certainty"] is None  # of the vertebra, which is selected and was not looked for
    do(session, "select", body="nail")
    assert session.state()["certainty"] is not None


def test_what_does_not_move_by_itself_goes_with_the_ct(opened):
    session = opened([nail()])
    true = show_truth(session, {})
    do(session, "let_move", bodies=[CT])
    do(session, "step", view=0, axis="right", amount=7.0)
    do(session, "register")
    assert away(session, CT, true) < 0.05
    same(session.placement.relative("nail"), BEGIN)


def test_a_view_that_is_not_linked_goes_on_showing_what_it_did(opened):
    session = opened([nail()])
    true = show_truth(session, {})
    do(session, "link", view=1, linked=False)
    do(session, "step", view=0, axis="right", amount=7.0)
    before = session.pictures.image(session.placement, 1, None)
    do(session, "register")
    assert away(session, CT, true) < 1.0
    torch.testing.assert_close(session.pictures.image(session.placement, 1, None), before, atol=0.02, rtol=0.01)
    assert session.registering.found[-1].views == (0,)
    do(session, "link", view=0, linked=False)
    told = []
    session.listen(told.append)
    do(session, "snap")
    assert any("Link at least one" in str(one) for one in told)


def test_a_structure_joins_the_ct_and_undo_knows_it_no_more(opened):
    session = opened([nail()])
    do(session, "take_out", label=T10)
    assert str(T10) not in session.bodies.described()["structures"]
    do(session, "step", view=0, axis="right", amount=5.0)
    do(session, "take_snapshot")
    do(session, "put_in", body="vertebra T10")
    assert (list(session.placement.bodies), session.selected) == ([CT, "nail"], CT)
    do(session, "undo")
    do(session, "restore_snapshot", number=1)
    assert list(session.placement.bodies) == [CT, "nail"]
    assert session.bodies.described()["structures"][str(T10)] == "vertebra T10"
    do(session, "put_in", body="nail")
    assert session.bodies.scene is None
    assert session.bodies.free == {CT}
    do(session, "snap")


@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [
        ("take_out", {"label": 0}, "label of a structure"),
        ("take_out", {"label": 4000}, "label of a structure"),
        ("put_in", {"body": CT}, "a body beside the CT, of: nail"),
        ("let_move", {"bodies": []}, "at least one body"),
        ("let_move", {"bodies": ["nail", "rod"]}, "Got 'rod'"),
        ("place_back", {"body": "rod"}, "Got 'rod'"),
        ("select", {"body": "rod"}, "CT, nail. Got 'rod'"),
    ],
)
def test_what_is_no_body_is_refused(opened, name, arguments, said):
    session = opened([nail()])
    with pytest.raises(InputError, match=said):
        call(session, name, arguments)


def test_bodies_that_cannot_be_are_refused(opened, subject):
    with pytest.raises(InputError, match=r"as Mesh, or as Body.*Got Capsule"):
        opened([Capsule((0, 0, 0), (0, 0, 9), 2.0)])
    with pytest.raises(InputError, match="Got one of another CT, or a whole one"):
        opened([Body(subject)])
    with pytest.raises(InputError, match="not called 'CT'"):
        opened([nail(name=CT)])
    with pytest.raises(InputError, match="different names"):
        opened([nail(), nail()])
    with pytest.raises(InputError, match="each label in one body"):
        opened([Body(subject, (T10,), name="a"), Body(subject, (T10, 57), name="b")])


def test_a_session_keeps_them(opened, subject, tmp_path):
    write_stl(tmp_path / "nail.stl", *BOX)
    session = opened([nail(tmp_path / "nail.stl", material="steel")], opened=Opened("example", out=tmp_path))
    do(session, "take_out", label=T10)
    do(session, "step", view=0, axis="yaw", amount=4.0)
    do(session, "let_move", bodies=["nail", "vertebra T10"])
    save(session, tmp_path / "mine.json")
    saved = read_saved(tmp_path / "mine.json")
    places = read_body_poses(saved.path)  # which `raygrad register --at nail=mine.json` takes
    for name in ("nail", "vertebra T10"):
        same(places[name], session.placement.relative(name), atol=1e-6)
    again = opened(saved.bodies(subject))
    restore(again, saved)
    assert again.bodies.free == {"nail", "vertebra T10"}
    assert again.selected == "vertebra T10"
    for name, matrix in session.placement.bodies.items():
        same(again.placement.bodies[name], matrix)
    assert again.bodies.described() == session.bodies.described()
    image, expected = (one.pictures.image(one.placement, 0, None) for one in (again, session))
    torch.testing.assert_close(image, expected)
    without = opened()
    with pytest.raises(InputError, match="is damaged: it places CT, nail, vertebra T10"):
        restore(without, saved)
    (tmp_path / "nail.stl").write_bytes((tmp_path / "nail.stl").read_bytes()[:-1] + b"x")
    with pytest.raises(InputError, match=r"nail\.stl' is another file"):
        saved.bodies(subject)


def test_a_mesh_without_a_file_is_kept_in_no_session(opened, tmp_path):
    with pytest.raises(InputError, match="'nail' is no file: a session of it cannot be kept"):
        save(opened([nail()]), tmp_path / "mine.json")
    assert not (tmp_path / "mine.json").exists()
