"""A sweep in the cockpit: views in use or not, the verb's volume to the bit, seen while it comes, ended at once."""

import json
import re
import time

import numpy as np
import pytest
import torch
from cases_of_sweeps import GRID, IMAGES, VIEWS, call, open_session, wait
from typer.testing import CliRunner

from raygrad._cockpit import OpenSweep, SweepSession
from raygrad._cockpit._sweep_pictures import Axes, thumbnails
from raygrad._errors import InputError
from raygrad._progress import Iteration
from raygrad.cli import app
from raygrad.cli._cockpit_sweep import open_sweep
from raygrad.cli._reconstruct_inputs import read_problem
from raygrad.data import VolumeGeometry, read_volume
from raygrad.formats import write_geometry, write_stack
from raygrad.geometry import choose_grid, trajectories
from raygrad.reconstruction import METHODS, reconstruct


@pytest.fixture
def session():
    session = open_session()
    yield session
    wait(session)
    session.close()


# --- what views are for


def test_the_state_is_json_and_says_where_every_view_is(session):
    state = json.loads(json.dumps(session.state(), allow_nan=False))
    assert state["sweep"]["turned"] == pytest.approx([30.0 * number for number in range(12)], abs=0.02)
    assert np.allclose(state["placement"]["cameras"], VIEWS.camera_to_world, atol=1e-5)
    assert state["views"][3]["intrinsics"]["sdd"] == 600.0
    assert state["sweep"]["made"] is None
    assert [method["name"] for method in state["sweep"]["methods"]] == list(METHODS)


def test_every_so_many_th_view_is_held_out_as_the_command_line_does(session):
    call(session, "sweep_use", views=[3], use="left out")
    call(session, "sweep_hold_out", every=4)
    assert session.numbers_of("held out") == [7, 11]  # of 3, 7, 11
    assert session.numbers_of("left out") == [3]
    call(session, "sweep_hold_out", every=0)
    assert session.numbers_of("held out") == []


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("sweep_use", {"views": [12], "use": "used"}),
        ("sweep_use", {"views": [0], "use": "thrown away"}),
        ("sweep_hold_out", {"every": 13}),
        ("sweep_choose", {"view": -1}),
        ("sweep_cut", {"plane": "axial", "index": 0}),  # nothing is made
        ("sweep_write", {}),
        ("sweep_grid", {"spacing": [0.0, 1.0, 1.0]}),
        ("sweep_grid", {"shape": [4, 4, 4], "spacing": [1.0, 1.0, 1.0], "centre": [0.0, 0.0, 5000.0]}),
        ("sweep_start", {"method": "magic", "options": {}}),
        ("sweep_start", {"method": "sirt", "options": {"n_subsets": 2}}),
        ("sweep_start", {"method": "sirt", "options": {"relaxation": "much"}}),
        ("sweep_start", {"method": "sirt", "options": {"nonnegative": 1}}),
        ("sweep_start", {"method": "sirt", "options": {"relaxation": 3.0}}),
        ("sweep_start", {"method": "sirt", "options": {}, "iterations": 0}),
        ("sweep_start", {"method": "fdk", "options": {}, "iterations": 3}),
        ("undo", {}),  # of another kind of session
    ],
)
def test_what_makes_no_sense_is_refused_before_any_work(session, name, arguments):
    with pytest.raises(ValueError, match=r"[Ee]xpected"):
        call(session, name, **arguments)
    assert session.jobs.current is None


def test_too_few_views_are_refused(session):
    call(session, "sweep_use", views=list(range(11)), use="left out")
    with pytest.raises(InputError, match="at least 2 views"):
        call(session, "sweep_start", method="sirt", options={})


def test_a_file_that_cannot_be_written_is_refused_at_once(tmp_path):
    with pytest.raises(ValueError, match=r"\.nii"):
        SweepSession(OpenSweep("sweep", IMAGES, VIEWS, ["view"] * 12, GRID, out=tmp_path / "volume.png"))


def test_a_voxel_size_alone_gives_the_box_that_all_views_see(session):
    call(session, "sweep_grid", spacing=[5.0, 5.0, 5.0])
    assert session.grid == choose_grid(VIEWS, None, (5.0, 5.0, 5.0))
    call(session, "sweep_grid")
    assert session.grid == GRID


# --- the volume


@pytest.mark.parametrize("method", ["fdk", "sirt", "os_sart", "osem"])
def test_the_volume_is_the_verbs_to_the_bit(session, method):
    call(session, "sweep_use", views=[2, 5], use="held out")
    call(session, "sweep_use", views=[8], use="left out")
    used = [0, 1, 3, 4, 6, 7, 9, 10, 11]
    iterations = {} if method == "fdk" else {"iterations": 3}
    call(session, "sweep_start", method=method, options={}, **iterations)
    wait(session)
    expected = reconstruct(IMAGES[used].clamp(min=0), VIEWS[used], GRID, method=method, **iterations)
    assert torch.equal(session.made.volume, expected.volume)
    assert session.made.unseen == (2, 5, 8)
    rendered = expected.project(VIEWS[[2]])[0]
    first, second = session.made.compared
    assert (first["view"], second["view"]) == (2, 5)
    assert first["error"] == pytest.approx(((rendered - IMAGES[2]).norm() / IMAGES[2].norm()).item(), rel=1e-5)
    assert [entry[:2] for entry in session.history] == [(one.number, one.residual) for one in expected.history]


def test_pixels_that_do_not_count_are_left_out():
    mask = torch.ones_like(IMAGES, dtype=torch.bool)
    mask[:, :, :3] = False
    session = open_session(mask=mask)
    call(session, "sweep_start", method="sirt", options={}, iterations=2)
    wait(session)
    expected = reconstruct(IMAGES, VIEWS, GRID, method="sirt", iterations=2, mask=mask).volume
    session.close()
    assert torch.equal(session.made.volume, expected)


def test_the_volume_is_written_where_the_images_files_have_it(tmp_path):
    shift = np.eye(4)
    shift[:3, 3] = (10.0, -20.0, 5.0)
    session = open_session(out=tmp_path / "volume.nii.gz", world_to_file=shift)
    call(session, "sweep_start", method="fdk", options={})
    wait(session)
    call(session, "sweep_write")
    session.close()
    volume = read_volume(tmp_path / "volume.nii.gz")
    assert torch.equal(volume.voxels, session.made.volume)
    assert np.allclose(volume.affine, shift @ GRID.voxel_to_world.numpy(), atol=1e-5)


# --- while it goes on


def test_slices_and_residuals_come_while_it_goes_on_in_one_copy_of_the_volume(monkeypatch):
    monkeypatch.setattr("raygrad._cockpit._sweep_reconstructing.SHOW_S", 0.0)
    session = open_session()
    told, memories = [], set()

    def listen(message):
        told.append(message)
        if isinstance(message, dict) and message["type"] == "made" and message["made"]["status"] is None:
            memories.add(session.made.volume.data_ptr())

    session.listen(listen)
    call(session, "sweep_start", method="sirt", options={}, iterations=30)
    wait(session)
    time.sleep(0.3)
    session.close()
    assert len(memories) == 1
    points = [
        point
        for message in told
        if isinstance(message, dict) and message["type"] == "points"
        for point in message["points"]
    ]
    assert [number for number, *_ in points] == list(range(1, 31))
    frames = [message for message in told if not isinstance(message, dict)]
    axial = [frame for frame in frames if frame.key == "slice axial"]
    assert axial[-1].header["iteration"] == 30
    assert axial[-1].array.shape == (14, 16)
    drr = [frame for frame in frames if frame.key == "drr"][-1]
    assert drr.header["ncc"] > 0.9


@pytest.mark.parametrize("method", ["sirt", "fdk"])
def test_it_ends_at_once_when_it_is_cancelled(session, method, monkeypatch):
    """Within an iteration, too: the second group of views is not begun."""
    monkeypatch.setattr("raygrad.projector.Projector.check_interrupt", _slow(session))
    call(session, "sweep_start", method=method, options={})
    time.sleep(0.2)
    began = time.perf_counter()
    call(session, "sweep_cancel")
    wait(session)
    assert time.perf_counter() - began < 1
    assert session.made is None
    call(session, "sweep_start", method="fdk", options={})  # and another can begin


def _slow(session):
    from raygrad.projector import Projector

    check = Projector.check_interrupt

    def slowly(projector):
        if session.jobs.current is not None and not session.jobs.current.cancelled:
            time.sleep(0.05)
        check(projector)

    return slowly


def test_a_second_one_has_to_wait(session, monkeypatch):
    monkeypatch.setattr("raygrad.projector.Projector.check_interrupt", _slow(session))
    call(session, "sweep_start", method="sirt", options={})
    with pytest.raises(InputError, match="still running"):
        call(session, "sweep_start", method="fdk", options={})
    call(session, "sweep_cancel")


def test_one_that_fails_says_so_and_leaves_what_was_shown(session, monkeypatch):
    def fails(images, views, grid, *, callback, **options):
        callback(Iteration(1, 0.1, residual=0.5), grid.zeros() + 1)
        raise FloatingPointError("The volume is no longer finite.")

    monkeypatch.setattr("raygrad._cockpit._sweep_reconstructing.reconstruct", fails)
    told = []
    session.listen(told.append)
    call(session, "sweep_start", method="sirt", options={})
    wait(session)
    troubles = [one["message"] for one in told if isinstance(one, dict) and one["type"] == "trouble"]
    assert troubles == ["The volume is no longer finite."]
    assert (session.made.status, session.made.iteration) == ("failed", 1)


# --- pictures


def test_slices_are_seen_as_radiologists_look_at_them_whatever_way_the_grid_lies():
    volume = torch.arange(2 * 3 * 4.0).reshape(2, 3, 4)
    axes = Axes.of(VolumeGeometry((2, 3, 4), np.diag([2.0, 3.0, 4.0, 1.0])))
    axial = axes.slice(volume, "axial", 1)
    assert torch.equal(axial, volume[:, :, 1].flip(0, 1).T)  # right of the patient and front: left and top
    assert torch.equal(axes.slice(volume, "sagittal", 0), volume[0].flip(0, 1).T)
    turned = np.array([[0, 0, -4.0, 0], [2.0, 0, 0, 0], [0, 3.0, 0, 0], [0, 0, 0, 1]])  # x is -k, y is i, z is j
    other = Axes.of(VolumeGeometry((3, 4, 2), turned))
    moved = volume.permute(1, 2, 0).flip(2)  # the same anatomy on that grid
    assert (other.shape, other.spacing) == ((2, 3, 4), (4.0, 2.0, 3.0))
    for plane, index in (("axial", 1), ("coronal", 2), ("sagittal", 0)):
        assert torch.equal(other.slice(moved, plane, index), axes.slice(volume, plane, index))


def test_thumbnails_are_small_and_as_bright_as_one_another():
    images = torch.zeros(20, 300, 150)
    images[7] = 5.0
    frame = thumbnails(images)
    assert frame.array.shape == (20, 72, 36)
    assert (frame.array[7] == 255).all()
    assert frame.array.sum() == 255 * 72 * 36


def test_a_helix_turns_about_nothing_that_fdk_knows_but_opens():
    views = trajectories.helical(9, pitch=200.0, turns=1, sdd=600.0, sid=400.0, height=16, width=20, delx=5.0)
    session = SweepSession(OpenSweep("helix", IMAGES[:9], views, [""] * 9, GRID))
    session.close()
    assert session.turned is None


# --- from the command line


@pytest.fixture
def files(tmp_path):
    write_stack(tmp_path / "views.nii.gz", IMAGES, (5.0, 5.0))
    write_geometry(tmp_path / "views.json", VIEWS)
    return tmp_path / "views.nii.gz", tmp_path / "views.json"


def test_what_opens_is_what_the_command_line_would_reconstruct(files):
    problem, sweep = read_problem(*files), open_sweep(*files)
    assert torch.equal(sweep.images, problem.images)
    assert sweep.grid == problem.grid
    assert np.array_equal(sweep.world_to_file, problem.world_to_file)
    assert sweep.names[11] == "views.nii.gz, view 12"


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (["--sweep", "{images}"], "--geometry"),
        (["--sweep", "{images}", "--geometry", "{images}"], "geometry file"),
        (["--sweep", "nowhere.nii.gz", "--geometry", "{geometry}"], "nowhere.nii.gz"),
        (["--sweep", "{images}", "--geometry", "{geometry}", "--out", "volume.png"], r"\.nii"),
        (["--sweep", "example", "--geometry", "{geometry}"], "its own geometry"),
        (["ct.nii.gz", "--sweep", "{images}", "--geometry", "{geometry}"], "no CT"),
        (["sweep"], "one sweep"),
        (["example", "--geometry", "{geometry}"], "goes with --sweep"),
        ([], "Which CT"),
    ],
)
def test_what_is_typed_wrong_is_said(files, typed, said):
    paths = dict(zip(("images", "geometry"), files, strict=True))
    ended = CliRunner().invoke(app, ["cockpit", *(word.format(**paths) for word in typed)])
    assert ended.exit_code == 2
    assert re.search(said, ended.output)
