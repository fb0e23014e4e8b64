"""`raygrad.cockpit` takes what `register` takes, and gives back where the X-rays were taken from."""

import http.client
import sys
import types

import pytest
import torch

pytest.importorskip("uvicorn", reason="needs raygrad[cockpit]")

from cockpit_cases import CAMERA, motion, pose, small_subject
from scene_cases import cube

import raygrad as rg
from raygrad._cockpit import _for_python as for_python
from raygrad._cockpit._placement import CT
from raygrad._errors import InputError
from raygrad.formats import View, write_image, write_poses
from raygrad.scene import Body, Mesh

POSES = rg.RigidTransform(torch.cat([pose(0, 0, 0, 0, 800, 0).matrix, pose(90, 0, 0, 0, 800, 0).matrix]).float())


@pytest.fixture
def drr():
    return View(pose(0, 0, 0, 0, 800, 0), CAMERA, "AP").make_drr(small_subject())


@pytest.fixture
def images(drr):
    with torch.no_grad():
        return drr(POSES)


@pytest.fixture
def opened(monkeypatch):
    """`cockpit` without a browser; closed in the end."""
    monkeypatch.setattr(for_python.Serving, "open_browser", lambda self: None)
    made = []

    def cockpit(*arguments, **options):
        made.append(rg.cockpit(*arguments, wait=False, **options))
        return made[-1]

    yield cockpit
    for one in made:
        one.close()


def ask(url, path="/"):
    connection = http.client.HTTPConnection(url.split("/")[2], timeout=5)
    connection.request("GET", path)
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer


def test_a_drr_images_and_poses_are_opened_and_come_back(opened, drr, images):
    cockpit = opened(drr, images, POSES)
    assert ask(cockpit.url).status == 200
    torch.testing.assert_close(torch.cat([view.pose.matrix for view in cockpit.poses()]).float(), POSES.matrix)
    push = motion(5, 0, 0, 10, 0, 0)
    cockpit.session.place(cockpit.session.placement.moved(push))
    expected = POSES.to(torch.float64).compose(push.inverse())
    torch.testing.assert_close(torch.cat([view.pose.matrix for view in cockpit.poses()]), expected.matrix)
    cockpit.close()
    assert len(cockpit.poses()) == 2


def test_files_and_a_pose_file_are_opened(opened, drr, images, tmp_path):
    paths = [tmp_path / "one.tif", tmp_path / "two.tif"]
    for path, image in zip(paths, images, strict=True):
        write_image(path, image[0], (CAMERA.delx, CAMERA.dely))
    write_poses(tmp_path / "start.json", [View.of(drr, rg.RigidTransform(m[None])) for m in POSES.matrix])
    cockpit = opened(drr.subject, paths, tmp_path / "start.json")
    assert [xray.name for xray in cockpit.session.xrays] == ["one.tif", "two.tif"]
    torch.testing.assert_close(cockpit.session.xrays[1].image, images[1:], rtol=1e-3, atol=1e-3)


def test_an_implant_is_opened_with_the_ct(opened, drr, images):
    pin = Mesh(cube(6.0), material="steel", name="pin")
    session = opened(drr, images, POSES, bodies=[pin]).session
    assert list(session.placement.bodies) == [CT, "pin"]
    image = session.pictures.image(session.placement, 0, None)
    session.bodies.put_in("pin")
    session.jobs.wait(20.0)
    assert image.max() > 2  # 12 mm of steel
    assert list(session.placement.bodies) == [CT]
    with pytest.raises(InputError, match="of another CT"):
        opened(drr, images, POSES, bodies=[Body(small_subject(), name="another")])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"views": None}, "from where and with what"),
        ({"views": rg.RigidTransform(POSES.matrix[:1])}, "a view for each of 2"),
        ({"ct": small_subject()}, "as a DRR with the X-rays' detector"),
        ({"xrays": torch.zeros(2, 3, 40, 36)}, r"\(view, 1, height, width\)"),
        ({"xrays": torch.zeros(2, 1, 40, 30)}, "X-ray 1 of 40 x 36 pixels.*Got 40 x 30"),
        ({"xrays": torch.full((2, 1, 40, 36), torch.nan)}, "finite"),
        ({"xrays": []}, "at least one"),
        ({"labelmap": "labels.nii"}, "labelmap only with a CT that is a file"),
        ({"views": [View(pose(0, 0, 0, 0, 800, 0), CAMERA, "PA")] * 2}, "orientation AP. Got PA"),
    ],
)
def test_what_does_not_fit_is_said_before_anything_is_opened(drr, images, change, message):
    given = {"ct": drr, "xrays": images, "views": POSES, **change}
    with pytest.raises(InputError, match=message):
        rg.cockpit(**given, wait=False)


@pytest.mark.parametrize("change", [{"ct": 3}, {"xrays": [3]}, {"views": [3, 4]}])
def test_other_types_are_refused(drr, images, change):
    with pytest.raises(TypeError, match="Expected"):
        rg.cockpit(**{"ct": drr, "xrays": images, "views": POSES, **change}, wait=False)


@pytest.fixture
def notebook(monkeypatch):
    """As if a kernel ran this, without IPython."""
    pytest.importorskip("anywidget", reason="needs raygrad[cockpit]")
    shell = types.SimpleNamespace(kernel=object())
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=lambda: shell))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # traitlets' and ipywidgets' own
@pytest.mark.usefixtures("notebook")
class TestInANotebook:
    def test_the_widget_follows_the_session(self, drr, images):
        widget = rg.cockpit(drr, images, POSES)
        try:
            torch.testing.assert_close(torch.tensor(widget.matrices).float(), POSES.matrix)
            body = widget.session.placement.with_body(CT, motion(5, 0, 0, 10, 0, 0))
            widget.session.place(body)
            torch.testing.assert_close(
                torch.tensor(widget.matrices).double(), torch.cat([view.pose.matrix for view in widget.poses()])
            )
            assert (torch.tensor(widget.matrices).float() - POSES.matrix).abs().max() > 1
        finally:
            widget.close()
        assert len(widget.poses()) == 2

    def test_only_a_page_of_this_machine_that_shows_the_widget_may_hold_the_frame(self, drr, images):
        widget = rg.cockpit(drr, images, POSES)
        policy = "Content-Security-Policy"
        try:
            assert "frame-ancestors 'none'" in ask(widget.url).headers[policy]
            for origin in ("https://example.org", "http://localhost.example.org:80", "http://localhost:1 *", "null"):
                widget.origin = origin
                assert widget.allowed == ""
            assert "frame-ancestors 'none'" in ask(widget.url).headers[policy]
            widget.origin = "http://localhost:8888"
            assert widget.allowed == "http://localhost:8888"
            assert ask(widget.url).headers[policy].endswith("frame-ancestors http://localhost:8888")
        finally:
            widget.close()
