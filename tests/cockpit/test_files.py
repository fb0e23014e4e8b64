"""Which files a page can have opened and written: those of the folders that were named, and no others."""

import base64
import os
from pathlib import Path

import pytest
import torch
from cockpit_work import open_work, write_files

from raygrad._cockpit import Opened, Session
from raygrad._errors import InputError


@pytest.fixture
def work(tmp_path):
    inside = tmp_path / "inside"
    (inside / "deeper").mkdir(parents=True)
    (tmp_path / "out").mkdir()
    write_files(inside)
    (inside / "side.tif").rename(inside / "deeper" / "side.tif")
    (inside / "notes.txt").write_text("no X-ray")
    (tmp_path / "secret.tif").write_bytes((inside / "front.tif").read_bytes())

    def read(path, frame, typed):
        assert path == path.resolve()
        return [made.session.xrays[0]]

    (inside / "deeper" / "side.tif").rename(inside / "side.tif")
    made = open_work(inside, folder=inside, out=tmp_path / "out", read=read)
    (inside / "side.tif").rename(inside / "deeper" / "side.tif")
    yield made
    made.session.close()


def test_x_rays_of_the_folder_are_listed_and_nothing_else(work):
    assert [file["name"] for file in work.do("list_files")] == ["ct.nii.gz", "front.tif", "deeper/side.tif"]


@pytest.mark.parametrize(
    "name",
    [
        "../secret.tif",
        "deeper/../../secret.tif",
        "..",
        "",
        ".",
        "deeper",
        "/etc/passwd",
        "//etc/passwd",
        "C:\\secret.tif",
        "C:secret.tif",
        "..\\secret.tif",
        "front.tif\0",
        "missing.tif",
        "link.tif",
        "folder/secret.tif",
        "pipe.tif",
        "~/secret.tif",
    ],
)
def test_no_name_leads_out_of_the_folder(work, name):
    (work.folder / "link.tif").symlink_to(work.folder.parent / "secret.tif")
    (work.folder / "folder").symlink_to(work.folder.parent, target_is_directory=True)
    os.mkfifo(work.folder / "pipe.tif")
    with pytest.raises(InputError):
        work.do("open_xray", name=name)
    assert [file["name"] for file in work.do("list_files")] == ["ct.nii.gz", "front.tif", "deeper/side.tif"]


def test_an_absolute_name_is_refused_even_of_a_file_inside(work):
    with pytest.raises(InputError, match="Expected the name of a file in the folder"):
        work.do("open_xray", name=str(work.folder / "front.tif"))


def test_without_a_folder_nothing_is_opened_and_nothing_written(work):
    plain = Session(work.session.subject, work.session.xrays, opened=Opened("ct.nii.gz"))
    with pytest.raises(InputError, match="--folder"):
        plain.files.path_of("front.tif")
    with pytest.raises(InputError, match="--out"):
        plain.files.target("session.json")
    assert plain.files.listed() == []
    plain.close()


@pytest.mark.parametrize("name", ["../x", "a/b", "/tmp/x", "", ".hidden", "x\ny", "a" * 200, "C:\\x"])
def test_files_are_written_under_plain_names_only(work, name):
    with pytest.raises(InputError, match="plain name"):
        work.do("save_session", name=name or " ", download=name == "a/b")


def test_a_view_is_opened_and_closed_and_undo_still_leads_back(work):
    session = work.session
    work.do("step", view=0, axis="right", amount=12.0)
    before = [session.placement.pose(view).matrix for view in range(2)]
    assert work.do("open_xray", name="deeper/side.tif") == 2
    assert session.n_views == len(session.placement.cameras) == 3
    # It shows the CT as its file has it, which is where the first view had it at first.
    torch.testing.assert_close(session.placement.pose(2).matrix, session.start.pose(0).matrix)
    assert work.do("undo") is not None
    torch.testing.assert_close(session.placement.pose(0).matrix, session.start.pose(0).matrix)
    work.do("redo")
    work.do("close_xray", view=0)
    assert [xray.name for xray in session.xrays] == ["side.tif", "front.tif"]
    torch.testing.assert_close(session.placement.pose(0).matrix, before[1])
    work.do("undo")
    torch.testing.assert_close(session.placement.pose(0).matrix, session.start.pose(0).matrix)
    work.do("open_xray", name="front.tif", instead=0)
    assert [xray.name for xray in session.xrays] == ["side.tif", "front.tif"]
    assert session.n_views == len(session.start.cameras)
    work.do("open_xray", name="front.tif", instead=1)
    assert [xray.name for xray in session.xrays] == ["side.tif", "side.tif"]


def test_all_can_be_closed_and_one_simulated(work):
    session = work.session
    for _ in range(2):
        work.do("close_xray", view=0)
    assert session.state()["views"] == []
    with pytest.raises(InputError):
        work.do("step", view=0, axis="right", amount=1.0)
    work.do("undo")
    assert work.do("simulate_xray", angle=30.0) == 0
    assert session.xrays[0].name == "simulated, 30 degrees"
    there = session.compared(0, session.pictures.image(session.placement, 0, 100))["similarity"]
    work.do("step", view=0, axis="right", amount=20.0)
    assert session.compared(0, session.pictures.image(session.placement, 0, 100))["similarity"] < there - 0.1
    assert session.drawing.is_alive()


def test_nothing_is_written_over_unasked(work):
    assert work.do("save_session", name="mine") == {"path": str(work.session.files.opened.out / "mine.json")}
    path = work.session.files.opened.out / "mine.json"
    first = path.read_bytes()
    work.do("step", view=0, axis="right", amount=12.0)
    assert work.do("save_session", name="mine") == {"exists": "mine.json"}
    assert path.read_bytes() == first
    work.do("save_session", name="mine", replace=True)
    assert path.read_bytes() != first


def test_a_download_comes_in_pieces_and_is_gone_then(work, monkeypatch):
    monkeypatch.setattr("raygrad._cockpit._downloads.PIECE", 1000)
    wanted = work.do("save_session", name="mine", download=True)["download"]
    assert wanted["name"] == "mine.json"
    content = b""
    while len(content) < wanted["size"]:
        content += base64.b64decode(work.do("download", key=wanted["key"], start=len(content)))
    work.do("save_session", name="mine")
    assert content == (work.session.files.opened.out / "mine.json").read_bytes()
    with pytest.raises(InputError, match="not there any more"):
        work.do("download", key=wanted["key"], start=0)


def test_a_picture_of_the_page_is_a_png_or_refused(work):
    with pytest.raises(InputError, match="PNG"):
        work.do("keep_picture", name="seen", png=base64.b64encode(b"<svg>").decode())
    with pytest.raises(InputError, match="base64"):
        work.do("keep_picture", name="seen", png="@@")
    content = b"\x89PNG\r\n\x1a\n and so on"
    path = work.do("keep_picture", name="seen", png=base64.b64encode(content).decode())["path"]
    assert path.endswith("seen.png")
    assert Path(path).read_bytes() == content
