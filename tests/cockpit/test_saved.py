"""A session as a file: all of it comes back, and what cannot be trusted is refused."""

import json
import shutil
from dataclasses import replace

import pytest
import torch
from cockpit_work import open_work, write_files

from raygrad._cockpit._saved import read_saved, restore, save
from raygrad._errors import InputError
from raygrad.formats import read_file_to_world, read_poses


@pytest.fixture
def work(tmp_path):
    (tmp_path / "out").mkdir()
    write_files(tmp_path)
    made = open_work(tmp_path, out=tmp_path / "out", options={"search": "view"})
    yield made
    made.session.close()


def changed(work):
    """A session that has a bit of everything."""
    session = work.session
    work.do("take_snapshot", name="first")
    work.do("step", view=0, axis="yaw", amount=3.0)
    work.do("step", view=1, axis="right", amount=-7.0)
    work.do("change_geometry", view=1, values={"sdd": 1010.5, "mirrored": True})
    session.placement = session.placement.linking(1, False)
    work.do("lock", axes=["depth", "roll"])
    mask = torch.ones(40, 48)
    mask[:7, 5:] = 0
    session.xrays = (replace(session.xrays[0], mask=mask), session.xrays[1])
    session.files.keepers["colours"] = (lambda: {"window": [1, 2]}, lambda said: None)
    return session


def same(one, other):
    for first, second in zip(one.cameras, other.cameras, strict=True):
        torch.testing.assert_close(first.matrix, second.matrix, atol=1e-12, rtol=0)
    torch.testing.assert_close(one.bodies["CT"].matrix, other.bodies["CT"].matrix, atol=1e-12, rtol=0)
    assert one.intrinsics == other.intrinsics
    assert one.unlinked == other.unlinked


def test_everything_comes_back(work, tmp_path):
    session = changed(work)
    save(session, tmp_path / "out" / "mine.json")
    saved = read_saved(tmp_path / "out" / "mine.json")
    assert saved.files() == {"ct": [tmp_path / "ct.nii.gz"], "labelmap": [], "xrays": [x.path for x in session.xrays]}
    again = open_work(tmp_path)
    took = []
    again.session.files.keepers["colours"] = (dict, took.append)
    restore(again.session, saved)
    same(again.session.placement, session.placement)
    same(again.session.start, session.start)
    (snapshot,), (kept,) = session.snapshots, again.session.snapshots
    assert kept.name == snapshot.name == "first"
    same(kept.placement, snapshot.placement)
    assert again.session.locked == {"depth", "roll"}
    assert torch.equal(again.session.xrays[0].mask, session.xrays[0].mask)
    assert again.session.xrays[1].mask is None
    assert took == [{"window": [1, 2]}]
    assert saved.part["options"] == {"search": "view"}
    again.session.close()


def test_it_is_a_pose_file(work, tmp_path):
    session = changed(work)
    save(session, tmp_path / "mine.json")
    views = read_poses(tmp_path / "mine.json")
    for number, view in enumerate(views):
        torch.testing.assert_close(view.pose.matrix, session.placement.pose(number).matrix, atol=1e-8, rtol=0)
        assert view.intrinsics == session.placement.intrinsics[number]
    assert [view.xray for view in views] == ["front.tif", "side.tif"]
    assert read_file_to_world(tmp_path / "mine.json") is not None


def test_a_folder_that_was_moved_whole_is_found(work, tmp_path):
    save(work.session, tmp_path / "mine.json")
    elsewhere = tmp_path.parent / f"{tmp_path.name}-elsewhere"
    shutil.copytree(tmp_path, elsewhere)
    assert read_saved(elsewhere / "mine.json").files()["ct"] == [elsewhere / "ct.nii.gz"]


def test_another_file_is_not_opened_for_the_one_that_was(work, tmp_path):
    save(work.session, tmp_path / "mine.json")
    content = bytearray((tmp_path / "front.tif").read_bytes())
    content[-1] ^= 1
    (tmp_path / "front.tif").write_bytes(content)
    with pytest.raises(InputError, match=r"front.tif' is another file .*checksum differs"):
        read_saved(tmp_path / "mine.json").files()
    (tmp_path / "front.tif").unlink()
    with pytest.raises(InputError, match="not there any more"):
        read_saved(tmp_path / "mine.json").files()


@pytest.mark.parametrize(
    "damage",
    [
        {"placement": {"cameras": []}},
        {"placement": None},
        {"xrays": []},
        {"snapshots": [{}]},
        {"locked": 3},
    ],
)
def test_a_damaged_file_is_refused_and_nothing_of_it_is_taken(work, tmp_path, damage):
    path = tmp_path / "mine.json"
    save(work.session, path)
    content = json.loads(path.read_text())
    content["cockpit"] |= damage
    path.write_text(json.dumps(content))
    before = work.session.placement
    with pytest.raises(InputError):
        restore(work.session, read_saved(path))
    assert work.session.placement is before


def test_what_is_no_session_is_refused(work, tmp_path):
    path = tmp_path / "mine.json"
    save(work.session, path)
    content = json.loads(path.read_text())
    content["cockpit"]["version"] = 99
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match="version 99"):
        read_saved(path)
    del content["cockpit"]
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match="without a cockpit's session"):
        read_saved(path)


def test_what_changed_is_kept_by_itself_and_nothing_before(work, tmp_path, monkeypatch):
    monkeypatch.setattr("raygrad._cockpit._saved.EVERY_S", 0.02)
    saving = work.session.saving
    saving.start()
    saving.keep()
    assert list((tmp_path / "out").iterdir()) == []
    work.do("step", view=0, axis="right", amount=1.0)
    saving.close()
    (kept,) = (tmp_path / "out").iterdir()
    assert kept.name.startswith("autosave-")
    same_pose = read_poses(kept)[0].pose.matrix
    torch.testing.assert_close(same_pose, work.session.placement.pose(0).matrix, atol=1e-8, rtol=0)


def test_a_disk_that_is_full_ends_no_session(work, tmp_path, monkeypatch):
    def full(path, content):
        raise OSError("No space left on device")

    monkeypatch.setattr("raygrad._cockpit._saved.write_content", full)
    said = []
    work.session.tell = said.append
    work.session.saving.start()
    work.do("step", view=0, axis="right", amount=1.0)
    said.clear()
    work.session.saving.keep()
    work.session.saving.keep()
    assert [message["message"] for message in said if message["type"] == "trouble"] == [
        "The session could not be kept: No space left on device"
    ]
