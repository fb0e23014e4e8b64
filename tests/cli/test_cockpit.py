"""`raygrad cockpit`: what is opened, what is refused before anything heavy, and that a saved session goes on."""

import threading
from pathlib import Path

import pytest
import torch
from cockpit_work import AFFINE, POSES, write_files
from dicom_xrays import save_dicom
from real_files import real_data
from scene_cases import cube, write_stl
from typer.testing import CliRunner

from raygrad._cockpit import Serving
from raygrad._cockpit._commands import call
from raygrad._cockpit._saved import save
from raygrad._errors import InputError
from raygrad.cli import app
from raygrad.cli._cockpit_inputs import Asked, plan
from raygrad.data import Volume, read, write_volume
from raygrad.formats import read_poses
from raygrad.registration import SearchRanges, ViewRanges

CAMERA = {"sdd": 1000.0, "height": None, "width": None, "delx": 4.0, "dely": None, "x0": None, "y0": None}
TYPED = tuple(",".join(map(str, numbers)) for numbers in POSES.values())


@pytest.fixture
def folder(tmp_path):
    write_files(tmp_path)
    return tmp_path


@pytest.fixture
def opened():
    """A function that opens what was asked for; it is closed at the end."""
    made = []

    def opened(asked):
        said = []
        made.append(plan(asked)(said.append))
        assert said[0].startswith("Reading ")
        return made[-1]

    yield opened
    for session in made:
        session.close()


def asked(files, /, **more):
    xrays = [files / name for name in POSES]
    return Asked(str(files / "ct.nii.gz"), **{"xrays": xrays, "pose": TYPED, "camera": CAMERA} | more)


def run(*arguments):
    return CliRunner().invoke(app, ["cockpit", *map(str, arguments), "--no-browser"])


def test_x_rays_are_opened_where_they_were_said_to_be(folder, opened):
    session = opened(asked(folder, search="view"))
    assert [xray.name for xray in session.xrays] == ["front.tif", "side.tif"]
    assert [xray.path for xray in session.xrays] == [folder / "front.tif", folder / "side.tif"]
    assert session.files.opened.options == {"search": "view"}
    assert session.files.opened.ranges == ViewRanges()
    assert session.state()["registering"]["typed"] == "view"
    for view in range(2):
        image = session.pictures.image(session.placement, view, None)
        assert session.compared(view, image)["similarity"] > 0.95


def test_a_session_is_saved_opened_again_and_saved_the_same(folder, opened):
    session = opened(asked(folder, search="60,100"))
    call(session, "step", {"view": 0, "axis": "yaw", "amount": 4.0})
    call(session, "take_snapshot", {"name": "here"})
    call(session, "simulate_xray", {"angle": 20.0})
    call(session, "change_geometry", {"view": 1, "values": {"y0": 3.0}})
    save(session, folder / "saved.json")
    again = opened(Asked(None, session=folder / "saved.json", camera=CAMERA))
    save(again, folder / "again.json")
    assert (folder / "again.json").read_text() == (folder / "saved.json").read_text()
    assert again.files.opened.ranges == SearchRanges(degrees=60.0, mm=100.0)
    for one, other in zip(session.xrays, again.xrays, strict=True):
        torch.testing.assert_close(one.image, other.image)


def test_implants_and_structures_are_opened_saved_and_opened_again(folder, opened):
    write_stl(folder / "pin.stl", *cube(5.0))
    voxels = read(folder / "ct.nii.gz").volume.voxels
    write_volume(Volume((voxels > 500).to(torch.uint8), AFFINE), folder / "labels.nii.gz")
    bodies = {"meshes": [f"pin={folder}/pin.stl:steel"], "at": ["pin=60,10,530"], "structures": ["core=1"]}
    session = opened(asked(folder, labelmap=folder / "labels.nii.gz", **bodies))
    kinds = {one["name"]: one["kind"] for one in session.state()["bodies"]["list"]}
    assert kinds == {"CT": "ct", "core": "structure", "pin": "implant"}
    in_file = session.subject.file_to_world @ [60.0, 10.0, 530.0, 1.0]
    assert session.centre("pin").tolist() == pytest.approx(in_file[:3].tolist())
    call(session, "select", {"body": "pin"})
    call(session, "step", {"view": 0, "axis": "yaw", "amount": 4.0})
    save(session, folder / "saved.json")
    again = opened(Asked(None, session=folder / "saved.json", camera=CAMERA))
    save(again, folder / "again.json")
    assert (folder / "again.json").read_text() == (folder / "saved.json").read_text()
    assert again.selected == "pin"


def test_register_starts_from_a_saved_session(folder, opened):
    session = opened(asked(folder))
    call(session, "step", {"view": 0, "axis": "right", "amount": 4.0})
    save(session, folder / "saved.json")
    xrays = [str(folder / name) for name in POSES]
    arguments = ["register", str(folder / "ct.nii.gz"), *xrays, "--init", str(folder / "saved.json"), "--no-animation"]
    result = CliRunner().invoke(app, [*arguments, "-o", str(folder / "found")])
    assert result.exit_code in (0, 1), result.output
    found, truth = read_poses(folder / "found" / "pose.json"), session.start
    for number, view in enumerate(found):
        off = (view.pose.matrix - truth.pose(number).matrix)[0, :3, 3].norm()
        assert off < 2.0  # of a CT of 6 mm voxels; it was 4 mm off


def test_a_ct_alone_opens(folder, opened):
    session = opened(Asked(str(folder / "ct.nii.gz"), orientation="PA"))
    assert session.n_views == 0
    assert session.subject.orientation == "PA"


def test_an_x_ray_of_the_folder_takes_what_is_typed_beside_it(folder, opened):
    session = opened(asked(folder, folder=folder, camera=dict.fromkeys(CAMERA) | {"sdd": 900.0, "delx": 4.0}))
    assert call(session, "open_xray", {"name": "front.tif"}) == 2
    assert session.placement.intrinsics[2].sdd == 900.0
    call(session, "open_xray", {"name": "front.tif", "sdd": 1100.0, "delx": 2.0})
    assert (session.placement.intrinsics[3].sdd, session.placement.intrinsics[3].delx) == (1100.0, 2.0)


def test_an_x_ray_without_geometry_says_what_to_type(folder, opened):
    session = opened(asked(folder, folder=folder, xrays=(), pose=(), camera=None))
    save_dicom(folder / "bare.dcm", (torch.arange(48 * 40).reshape(40, 48) % 999).numpy().astype("uint16"))
    with pytest.raises(InputError, match="type it beside Open"):
        call(session, "open_xray", {"name": "bare.dcm"})


def test_frames_become_views_and_come_back(folder, opened):
    pixels = (torch.arange(3 * 40 * 48).reshape(3, 40, 48) % 1000).numpy().astype("uint16")
    header = {"DistanceSourceToDetector": 1000, "ImagerPixelSpacing": [0.4, 0.4]}
    save_dicom(folder / "run.dcm", pixels, "XA", **header)
    poses = (TYPED[0], TYPED[0])
    session = opened(Asked(str(folder / "ct.nii.gz"), [folder / "run.dcm"], pose=poses, frames=("2:3",)))
    assert [xray.frame for xray in session.xrays] == [2, 3]
    assert [xray.path for xray in session.xrays] == [folder / "run.dcm"] * 2
    save(session, folder / "saved.json")
    again = opened(Asked(None, session=folder / "saved.json"))
    assert [xray.frame for xray in again.xrays] == [2, 3]
    for one, other in zip(session.xrays, again.xrays, strict=True):
        torch.testing.assert_close(one.image, other.image)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "Which CT?"),
        (["nowhere.nii.gz"], "There is no file or folder 'nowhere.nii.gz'"),
        (["nowhere.json"], "There is no pose file"),
        (["{f}/ct.nii.gz", "{f}/none.tif", "--sdd", "1000"], "none.tif"),
        (["{f}/ct.nii.gz", "{f}/front.tif"], "give --sdd"),
        (["{f}/ct.nii.gz", "--pose", "0,0,0,0,850,0"], "--pose is said of X-rays"),
        (["example", "--search", "far"], "--search takes"),
        (["example", "--folder", "{f}/none"], "There is no folder"),
        (["example", "--out", "{f}/ct.nii.gz"], "--out takes a folder"),
        (["example", "--labelmap", "{f}/none.nii.gz"], "There is no file or folder"),
        (["example", "--session", "{f}/x.json"], "A saved session says"),
        (["example", "--mesh", "cup.stl"], "--mesh takes a name, a file and a material"),
        (["example", "--mesh", "cup={f}/none.stl:steel"], "There is no file"),
        (["example", "--at", "cup=1,2,3"], "--at takes the name of a --mesh"),
        (["{f}/ct.nii.gz", "--structure", "core=1"], "--structure needs --labelmap"),
    ],
)
def test_mistakes_are_told_before_anything_is_read(folder, arguments, sentence, monkeypatch):
    def never(*_):
        raise AssertionError("a server was started")

    monkeypatch.setattr(Serving, "__init__", never)
    result = run(*(argument.format(f=folder) for argument in arguments))
    assert result.exit_code == 2, result.output
    assert sentence in result.output
    assert not Path("cockpit").exists()


def test_a_ct_that_cannot_be_read_ends_the_command_with_its_sentence(folder):
    (folder / "broken.nii.gz").write_bytes(b"no CT at all")
    result = run(folder / "broken.nii.gz")
    assert result.exit_code == 2, result.output
    assert "Cockpit: http://127.0.0.1:" in result.output
    assert "broken.nii.gz" in result.output
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("raygrad cockpit")]


def test_real_x_rays_open(folder, opened):
    for name in ("RI6XDosiGap.dcm", "dx_fuji.dcm"):
        session = opened(asked(folder, folder=real_data("xray_dicom"), camera=None, xrays=(), pose=()))
        assert call(session, "open_xray", {"name": name}) == 0
        assert call(session, "geometry_table", {"view": 0})["header"]
