"""Pose files: what is read is what was written, with units and conventions named, and nothing half written."""

import json
import math

import numpy as np
import pytest
import torch

from raygrad._files import written_whole
from raygrad.cli._parsing import parse_pose
from raygrad.data import Subject, Volume
from raygrad.formats import (
    InputError,
    View,
    join_views,
    read_geometry,
    read_poses,
    write_camera,
    write_poses,
    write_xray,
)
from raygrad.geometry import Intrinsics
from raygrad.pose import RigidTransform

CAMERA = Intrinsics(sdd=600.0, height=24, width=32, delx=3.0, dely=4.0)


def pose_of(*numbers):
    return parse_pose(None, None, ",".join(map(str, numbers)))


@pytest.fixture
def pose_file(tmp_path):
    write_poses(
        tmp_path / "pose.json", [View(pose_of(10, -20, 30, 4, 800, -6), CAMERA, xray="x.png")], {"note": "test"}
    )
    return tmp_path / "pose.json"


@pytest.mark.parametrize("orientation", ["AP", "PA", None])
def test_poses_are_read_as_they_were_written(tmp_path, orientation):
    views = tuple(
        View(pose_of(angle, -20, 30, 4, 800, -6), Intrinsics(1e3, 5, 6, 0.1, 0.2, 1.0, -2.0, False), orientation, name)
        for angle, name in ((10, "x.png"), (100, None))
    )
    write_poses(tmp_path / "pose.json", views)
    for found, view in zip(read_poses(tmp_path / "pose.json"), views, strict=True):
        assert (found.intrinsics, found.orientation, found.xray) == (view.intrinsics, orientation, view.xray)
        torch.testing.assert_close(found.pose.matrix, view.pose.matrix.double(), atol=1e-9, rtol=0)


def test_a_view_makes_the_drr_that_it_is_of():
    subject = Subject(Volume(torch.zeros(4, 4, 4), np.eye(4)), orientation="PA")
    view = View(pose_of(10, -20, 30, 4, 800, -6), Intrinsics(1e3, 5, 6, 0.1, 0.2, 1.0, -2.0, False), "PA", "x.png")
    drr = view.make_drr(subject, renderer="joseph")
    assert drr.renderer == "joseph"
    assert View.of(drr, view.pose, "x.png") == view
    with pytest.raises(ValueError, match="orientation AP"):
        View(view.pose, view.intrinsics).make_drr(subject)


def test_what_is_written_is_what_it_has_always_been(tmp_path):
    """Other programs read these files, and files of every version are read."""
    pose = RigidTransform(torch.tensor([[0.0, -1, 0, 5], [1, 0, 0, -7], [0, 0, 1, 800], [0, 0, 0, 1]]))
    write_poses(tmp_path / "pose.json", [View(pose, Intrinsics(1020.0, 200, 100, 2.0, 4.0, 1.5))], {"score": 0.5})
    content = json.loads((tmp_path / "pose.json").read_text())
    assert list(content) == [
        "format", "schema_version", "raygrad_version", "conventions", "views", "registration",
    ]  # fmt: skip
    assert content["views"] == [
        {
            "xray": None,
            "pose": [[0, -1, 0, 5], [1, 0, 0, -7], [0, 0, 1, 800], [0, 0, 0, 1]],
            "camera_to_world": [[0, 0, 1, 5], [1, 0, 0, -7], [0, 1, 0, 800], [0, 0, 0, 1]],
            "euler_angles": [90, 0, 0],
            "translation": [-7, -5, 800],
            "intrinsics": {
                "sdd": 1020, "height": 200, "width": 100, "delx": 2, "dely": 4, "x0": 1.5, "y0": 0,
                "orientation": "AP", "reverse_x_axis": True,
            },
        }
    ]  # fmt: skip
    assert list(content["views"][0]["intrinsics"]) == [
        "sdd", "height", "width", "delx", "dely", "x0", "y0", "orientation", "reverse_x_axis",
    ]  # fmt: skip


def test_pose_files_name_units_and_hold_the_whole_camera(pose_file):
    content = json.loads(pose_file.read_text())
    assert content["conventions"]["length"] == "millimetres"
    assert "RAS+" in content["conventions"]["world"]
    (view,) = content["views"]
    assert view["euler_angles"] == pytest.approx([10, -20, 30], abs=1e-4)
    assert view["translation"] == pytest.approx([4, 800, -6], abs=1e-3)
    # A detector pixel found from camera_to_world alone is the one that the DRR projects to.
    drr = View(pose_of(0, 0, 0, 0, 800, 0), CAMERA).make_drr(Subject(Volume(torch.zeros(4, 4, 4), np.eye(4))))
    point = torch.tensor([[[12.0, -7.0, 25.0]]])
    world_to_camera = np.linalg.inv(np.array(view["camera_to_world"]))
    x, y, z = (world_to_camera @ [12.0, -7.0, 25.0, 1.0])[:3]
    u, v = 16 - CAMERA.sdd * x / z / CAMERA.delx, 12 - CAMERA.sdd * y / z / CAMERA.dely
    expected = drr.perspective_projection(read_poses(pose_file)[0].pose, point.double())[0, 0]
    assert expected.tolist() == pytest.approx([u, v], abs=1e-3)


DAMAGES = {
    "not JSON": (lambda content: "{", "not JSON"),
    "another file": (lambda content: {"some": "thing"}, "pose file, which begins"),
    "later schema": (lambda content: content | {"schema_version": 2, "raygrad_version": "9.1"}, "raygrad 9.1"),
    "no views": (lambda content: content | {"views": []}, "no views"),
    "no pose": (lambda content: content | {"views": [{"intrinsics": {}}]}, "without 'pose'"),
    "ragged": (lambda content: damaged(content, "pose", [[1.0]]), "4 x 4"),
    "not rigid": (lambda content: damaged(content, "pose", np.diag([1.0, 1, 2, 1]).tolist()), "rigid"),
    "mirrored": (lambda content: damaged(content, "pose", np.diag([1.0, 1, -1, 1]).tolist()), "rigid"),
    "not finite": (lambda content: damaged(content, "pose", [[math.nan] * 4] * 4), "finite"),
    "intrinsics missing": (lambda content: damaged(content, "intrinsics", {"sdd": 1.0}), "Expected intrinsics"),
    "half a pixel": (lambda content: damaged(content, "intrinsics", {"height": 2.5}, merge=True), "height"),
    "text": (lambda content: damaged(content, "intrinsics", {"sdd": "far"}, merge=True), "sdd"),
    "negative": (lambda content: damaged(content, "intrinsics", {"delx": -1.0}, merge=True), "delx"),
    "orientation": (lambda content: damaged(content, "intrinsics", {"orientation": "LL"}, merge=True), "LL"),
}


def damaged(content, key, value, merge=False):
    (view,) = content["views"]
    return content | {"views": [view | {key: view[key] | value if merge else value}]}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_pose_files_are_refused_with_the_reason(pose_file, damage):
    change, reason = DAMAGES[damage]
    changed = change(json.loads(pose_file.read_text()))
    pose_file.write_text(changed if isinstance(changed, str) else json.dumps(changed))
    with pytest.raises(ValueError, match=reason) as error:
        read_poses(pose_file)
    assert str(pose_file) in str(error.value)


def test_a_pose_that_cannot_be_written_leaves_the_old_file(pose_file):
    before = pose_file.read_text()
    with pytest.raises(ValueError, match="JSON"):
        write_poses(pose_file, [View(pose_of(0, 0, 0, 0, 850, 0), CAMERA)], {"score": math.nan})

    def write_half():
        with written_whole(pose_file) as unfinished:
            unfinished.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_half()
    assert pose_file.read_text() == before
    assert list(pose_file.parent.iterdir()) == [pose_file]


def test_parallel_beams_are_read_as_they_were_written(tmp_path):
    path, pose = tmp_path / "pose.json", pose_of(10, -20, 30, 4, 800, -6)
    views = (View(pose, CAMERA.replaced(parallel=True)), View(pose, CAMERA))
    write_poses(path, views)
    assert [view.intrinsics for view in read_poses(path)] == [view.intrinsics for view in views]
    content = json.loads(path.read_text())
    assert "no source" in content["conventions"]["parallel"]
    assert "parallel" not in content["views"][1]["intrinsics"]
    subject = Subject(Volume(torch.zeros(4, 4, 4), np.eye(4)))
    drr = views[0].make_drr(subject)
    assert drr.detector.parallel
    assert View.of(drr, pose) == views[0]
    with pytest.raises(InputError, match=r"Expected a cone beam for view 1 of .*pose.json.* Got a parallel beam"):
        read_geometry(path)
    content["views"][0]["intrinsics"]["parallel"] = 1
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match="parallel as true or false"):
        read_poses(path)


def test_files_with_a_source_refuse_parallel_beams(tmp_path):
    view = View(pose_of(10, -20, 30, 4, 800, -6), CAMERA.replaced(parallel=True))
    for write in (
        lambda: write_xray(tmp_path / "a.dcm", torch.ones(CAMERA.shape), view),
        lambda: write_camera(tmp_path / "a.tfm", view),
        lambda: join_views([view]),
    ):
        with pytest.raises(InputError, match=r"Expected a cone beam for .* Got a parallel beam"):
            write()
    assert not list(tmp_path.iterdir())
