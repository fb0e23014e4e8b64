"""`raygrad reconstruct`: what it reads, where it puts the volume, what it keeps and says, and how it ends."""

import csv
import importlib
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass

import nibabel
import numpy as np
import pytest
import torch
from cli_cases import save_lopsided_ct
from dicom_xrays import save_dicom
from PIL import Image
from typer.testing import CliRunner

from raygrad.cli import app
from raygrad.data import VolumeGeometry, read_volume
from raygrad.formats import read_geometry, read_stack, write_geometry, write_stack
from raygrad.geometry._views import ConeViews
from raygrad.geometry.trajectories import circular
from raygrad.pose import RigidTransform, convert
from raygrad.projector import Projector
from raygrad.reconstruction import METHODS, OsSart, ReconstructionWarning, Sirt
from raygrad.reconstruction._methods.sirt import SirtSolver

SYSTEM = {"sdd": 600.0, "sid": 400.0, "height": 20, "width": 24, "delx": 10.0}
GRID = ["--shape", "16,18,14", "--spacing", "6,6.5,8"]
SHORT = ["--method", "sirt", "--iterations", "12", *GRID]

pytestmark = pytest.mark.usefixtures("one_thread")


def run(*arguments):
    return CliRunner().invoke(app, ["reconstruct", *(str(argument) for argument in arguments)])


def succeed(*arguments):
    result = run(*arguments)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture(scope="module")
def truth():
    """A lopsided volume on the grid of `GRID`, in 1/mm."""
    geometry = VolumeGeometry.centred((16, 18, 14), (6.0, 6.5, 8.0))
    voxels = geometry.zeros()
    voxels[3:10, 3:14, 2:12] = 0.02
    voxels[4:7, 8:12, 3:9] = 0.04
    return geometry.to_volume(voxels)


@pytest.fixture(scope="module")
def sweep(truth, tmp_path_factory):
    """A folder with a stack of views of it, and their geometry."""
    folder = tmp_path_factory.mktemp("sweep")
    views = circular(13, **SYSTEM)
    with torch.no_grad():
        write_stack(folder / "views.nii.gz", Projector(truth, views)(truth.voxels), (10.0, 10.0))
    write_geometry(folder / "views.json", views)
    return folder


@pytest.fixture
def given(sweep):
    return [sweep / "views.nii.gz", sweep / "views.json"]


@pytest.fixture(scope="module")
def result(sweep):
    """What the library makes of the same files."""
    stack, views = read_stack(sweep / "views.nii.gz"), read_geometry(sweep / "views.json")
    grid = VolumeGeometry.centred((16, 18, 14), (6.0, 6.5, 8.0))
    return Sirt()(Projector(grid, views), stack.images, iterations=12)


def save(path, voxels, affine):
    nibabel.save(nibabel.Nifti1Image(np.asarray(voxels), affine), path)
    return path


def test_the_volume_is_what_the_library_reconstructs(given, result, tmp_path):
    output = succeed(*given, "-o", tmp_path / "v.nii.gz", *SHORT, "--history", tmp_path / "h.csv")
    volume = read_volume(tmp_path / "v.nii.gz")
    assert torch.equal(volume.voxels, result.volume)
    assert volume.has_grid_of(result.to_volume())
    assert {path.name for path in tmp_path.iterdir()} == {"v.nii.gz", "h.csv"}
    with open(tmp_path / "h.csv") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["residual"]) for row in rows] == [entry.residual for entry in result.history]
    for part in (
        "13 views of 24 x 20",
        "16 x 18 x 14 voxels of 6 x 6.5 x 8 mm",
        "of memory",
        "12 iteration",
        "v.nii.gz",
    ):
        assert part in output


def test_quiet_says_nothing(given, tmp_path):
    assert succeed(*given, "-o", tmp_path / "v.mha", *SHORT, "--quiet") == ""


def test_all_that_tells_how_good_it_is(given, truth, result, tmp_path):
    true = save(tmp_path / "true.nii.gz", truth.voxels, truth.affine)
    options = ["--truth", true, "--held-out", 4, "--preview", tmp_path / "p.png"]
    output = succeed(*given, "-o", tmp_path / "v.nii.gz", *SHORT, *options)
    error = float((read_volume(tmp_path / "v.nii.gz").voxels - truth.voxels).norm() / truth.voxels.norm())
    assert 0.05 < error < 0.4
    assert f"relative error {error:.4g}" in output
    assert "10 views of" in output
    assert "by view 4: " in output
    assert "8: " in output
    assert "12: " in output
    stack, views = read_stack(given[0]), read_geometry(given[1])
    rendered = Projector(truth, views)[[3]](read_volume(tmp_path / "v.nii.gz").voxels)
    novel = float((rendered - stack.images[3]).norm() / stack.images[3].norm())
    assert f"4: {novel:.3g}" in output
    with Image.open(tmp_path / "p.png") as picture:
        assert np.asarray(picture.convert("L")).std() > 10


def test_options_reach_the_verb(given, tmp_path, monkeypatch):
    called = {}

    def stand_in(images, views, grid, **options):
        called.update(options)
        return Sirt()(Projector(grid, views), images, iterations=1)

    monkeypatch.setattr("raygrad.cli._reconstruct_run.reconstruct", stand_in)
    half = np.zeros((16, 18, 14), dtype=np.uint8)
    half[:8] = 1
    affine = VolumeGeometry.centred((16, 18, 14), (6.0, 6.5, 8.0)).voxel_to_world.numpy()
    options = [
        "--support",
        save(tmp_path / "s.nii", half, affine),
        "--start",
        save(tmp_path / "i.nii", half * 0.5, affine),
    ]
    options += ["--subsets", 3, "--relaxation", 0.5, "--no-nonnegative", "--tolerance", 0.01, "--residual", 0.02]
    succeed(*given, "-o", tmp_path / "v.nii", *GRID, *options, "--renderer", "siddon", "--iterations", 7)
    assert (called["support"].numpy() == half).all()
    assert (called["start"].numpy() == half * 0.5).all()
    expected = {"n_subsets": 3, "relaxation": 0.5, "nonnegative": False, "tolerance": 0.01, "residual": 0.02}
    expected |= {"method": "os_sart", "renderer": "siddon", "iterations": 7, "checkpoint": tmp_path / "v.checkpoint"}
    expected |= {"checkpoint_every": 30.0, "device": torch.device("cpu"), "calibrate": None, "progress": False}
    assert {name: called[name] for name in expected} == expected


METHOD_OPTIONS = {
    "fdk": ["--filter", "hann", "--cutoff", "0.8"],
    "os_sart": ["--subsets", "4"],
    "sirt": ["--relaxation", "1.5"],
    "cgls": ["--damping", "1", "--nonnegative"],
    "osem": ["--photons", "1000"],
    "tv": ["--strength", "0.5"],
    "adam": ["--learning-rate", "0.002"],
}


@pytest.mark.parametrize("method", METHOD_OPTIONS)
def test_every_method_with_an_option_of_its_own(given, truth, tmp_path, method):
    count = [] if method == "fdk" else ["--iterations", 10]
    output = succeed(*given, "-o", tmp_path / "v.nii", "--method", method, *GRID, *count, *METHOD_OPTIONS[method])
    error = (read_volume(tmp_path / "v.nii").voxels - truth.voxels).norm() / truth.voxels.norm()
    assert error < 0.6
    assert f"v.nii: {method}" in output


def test_the_options_of_a_method_are_those_of_its_object(monkeypatch):
    """A new method and its options are known without a word in the command."""
    monkeypatch.setenv("COLUMNS", "200")

    @dataclass(frozen=True)
    class Mine(OsSart):
        """A method of mine.

        Args:
            how_far: beyond
                the stars.
        """

        name = "mine"
        how_far: float = 1.5

    monkeypatch.setattr("raygrad.reconstruction.METHODS", {**METHODS, "mine": Mine})
    shown = succeed("--method", "mine", "--help")
    for words in ("Options of mine", "--how-far", "beyond the stars", "1.5", "--subsets", "--no-nonnegative"):
        assert words in shown
    assert "--strength" not in shown
    assert "--how-far" not in succeed("--help")
    assert "--strength" in succeed("--method", "tv", "-h")


def test_osem_takes_what_is_below_0_for_0(given, tmp_path):
    images = read_stack(given[0]).images
    np.save(tmp_path / "clean.npy", images)
    np.save(tmp_path / "noisy.npy", torch.where(images == 0, -0.01, images))
    options = [given[1], "--method", "osem", "--iterations", 3, *GRID]
    assert "below 0" in succeed(tmp_path / "noisy.npy", "-o", tmp_path / "noisy.nii", *options)
    assert "below 0" not in succeed(tmp_path / "clean.npy", "-o", tmp_path / "clean.nii", *options)
    assert torch.equal(*(read_volume(tmp_path / name).voxels for name in ("noisy.nii", "clean.nii")))


def test_the_default_grid_is_what_all_views_see(given, tmp_path):
    output = succeed(*given, "-o", tmp_path / "v.nii", "--iterations", 1)
    assert "the box about what all views see" in output
    grid = VolumeGeometry.of(read_volume(tmp_path / "v.nii"))
    assert grid.spacing == pytest.approx([10 * 400 / 600] * 3, rel=1e-5)
    radius = 400 * np.sin(np.arctan(120 / 600))
    assert abs(grid.shape[0] * grid.spacing[0] - 2 * radius) < 1.05 * grid.spacing[0]
    assert abs(grid.shape[2] * grid.spacing[2] - 200 * 400 / 600) < 1.05 * grid.spacing[0]
    torch.testing.assert_close(grid.centre, torch.zeros(3).double(), atol=0.1, rtol=0)


def test_a_volume_on_the_grid_of_a_ct_lies_where_that_does(given, truth, result, tmp_path):
    """Pose files have their origin at the CT's centre, wherever its file puts that."""
    shift = np.eye(4)
    shift[:3, 3] = [100.0, -50.0, 30.0]
    ct = save(tmp_path / "ct.nii.gz", truth.voxels, shift @ truth.affine)
    output = succeed(*given, "-o", tmp_path / "v.nii.gz", *SHORT[:4], "--like", ct, "--truth", ct)
    assert f"the grid of '{ct}'" in output
    volume = read_volume(tmp_path / "v.nii.gz")
    assert volume.has_grid_of(read_volume(ct))
    torch.testing.assert_close(volume.voxels, result.volume, rtol=1e-3, atol=1e-5)
    error = float((volume.voxels - truth.voxels).norm() / truth.voxels.norm())
    assert f"relative error {error:.4g}" in output


def test_projection_matrices_are_in_the_world_of_the_files(sweep, given, truth, tmp_path):
    views = read_geometry(given[1])
    from_corner = torch.tensor([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]], dtype=torch.float64)
    np.savez(tmp_path / "p.npz", matrices=(from_corner @ views.world_to_pixel).numpy(), height=20, width=24, delx=10.0)
    shift = np.eye(4)
    shift[:3, 3] = [2.0, -1.0, 3.0]
    ct = save(tmp_path / "ct.nii.gz", truth.voxels, shift @ truth.affine)
    output = succeed(given[0], tmp_path / "p.npz", "-o", tmp_path / "v.nii.gz", *SHORT[:4], "--like", ct)
    assert "centre at 2, -1, 3 mm" in output
    volume = read_volume(tmp_path / "v.nii.gz")
    centred = Sirt()(Projector(volume, views), read_stack(given[0]).images, iterations=12).volume
    torch.testing.assert_close(volume.voxels, centred, rtol=1e-3, atol=1e-4)


def test_geometry_is_refined_and_written(sweep, given, truth, tmp_path):
    views = read_geometry(given[1])
    generator = torch.Generator().manual_seed(0)
    angles, shifts = (torch.randn(13, 3, generator=generator) * size for size in (0.01, 2.0))
    moved = views.pose.compose(convert(angles, shifts, parameterization="euler_angles", convention="ZXY"))
    write_geometry(tmp_path / "rough.json", ConeViews(views.detector, RigidTransform(moved.matrix)))
    plain = succeed(given[0], tmp_path / "rough.json", "-o", tmp_path / "v.nii.gz", *SHORT)
    options = ["--calibrate", "poses", "--held-out", 13]
    refined = succeed(given[0], tmp_path / "rough.json", "-o", tmp_path / "v.nii.gz", *SHORT, *options)
    residual = [float(text.split("residual ")[-1].split()[0]) for text in (plain, refined.split("\nheld")[0])]
    assert residual[1] < 0.6 * residual[0]
    found = read_geometry(tmp_path / "v.geometry.json")
    assert len(found) == 13
    torch.testing.assert_close(found.pose.matrix[12], moved.matrix[12], atol=1e-4, rtol=0)  # was held out
    assert (found.pose.matrix[:12] - moved.matrix[:12]).abs().amax() > 0.1


def start_and_kill(arguments, checkpoint):
    """Kill the command without mercy once it has kept a state."""
    program = [sys.executable, "-m", "raygrad", "reconstruct", *map(str, arguments)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(program, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not checkpoint.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL if hasattr(signal, "SIGKILL") else signal.SIGTERM)
    process.wait(10)
    assert process.returncode not in (0, 1, 2)


@pytest.mark.subprocess
def test_killed_and_started_again_it_ends_with_the_same_volume(given, tmp_path):
    options = ["--method", "os_sart", "--iterations", 60, "--checkpoint-every", 0, *GRID]
    succeed(*given, "-o", tmp_path / "whole.nii.gz", *options)
    arguments = [*given, "-o", tmp_path / "v.nii.gz", *options]
    start_and_kill(arguments, tmp_path / "v.checkpoint")
    assert not (tmp_path / "v.nii.gz").exists()
    output = succeed(*arguments)
    number = int(output.split("going on from iteration ")[1].split(",")[0])
    assert 1 <= number < 60
    assert torch.equal(*(read_volume(tmp_path / name).voxels for name in ("v.nii.gz", "whole.nii.gz")))
    assert not (tmp_path / "v.checkpoint").exists()


@pytest.fixture
def interrupt(monkeypatch):
    """Ctrl-C in the fourth iteration."""
    step, calls = SirtSolver.step, []

    def stop(solver):
        calls.append(solver)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return step(solver)

    monkeypatch.setattr(SirtSolver, "step", stop)


def test_interrupted_it_says_how_to_go_on(given, result, tmp_path, interrupt):
    (tmp_path / "v.nii.gz").write_bytes(b"yesterday's volume")
    arguments = [
        *given,
        "-o",
        tmp_path / "v.nii.gz",
        *SHORT,
        "--checkpoint-every",
        0,
        "--checkpoint",
        tmp_path / "kept",
    ]
    stopped = run(*arguments)
    assert stopped.exit_code == 130
    assert f"goes on from iteration 3, kept in '{tmp_path / 'kept'}'" in stopped.output
    assert (tmp_path / "v.nii.gz").read_bytes() == b"yesterday's volume"
    other = run(*arguments, "--relaxation", 0.5)
    assert other.exit_code == 2
    assert "settings" in other.output
    assert "going on from iteration 3" in succeed(*arguments)
    assert torch.equal(read_volume(tmp_path / "v.nii.gz").voxels, result.volume)


def test_interrupted_after_a_calibration_it_goes_on(given, tmp_path, interrupt):
    arguments = [*given, "-o", tmp_path / "v.nii.gz", *SHORT, "--checkpoint-every", 0, "--calibrate", "poses,sdd"]
    assert run(*arguments).exit_code == 130
    assert len(read_geometry(tmp_path / "v.geometry.json")) == 13
    assert "going on from iteration 3" in succeed(*arguments)


def test_fresh_begins_anew(given, result, tmp_path, interrupt):
    arguments = [*given, "-o", tmp_path / "v.nii.gz", *SHORT, "--checkpoint-every", 0]
    run(*arguments)
    assert (tmp_path / "v.checkpoint").exists()
    assert "going on" not in succeed(*arguments, "--fresh")
    assert torch.equal(read_volume(tmp_path / "v.nii.gz").voxels, result.volume)


def test_interrupted_before_anything_is_kept(given, tmp_path, interrupt):
    stopped = run(*given, "-o", tmp_path / "v.nii.gz", *SHORT)
    assert stopped.exit_code == 130
    assert "no checkpoint was kept yet" in stopped.output


MISTAKES = {
    "no views": (["DIR/none.nii", "GEOMETRY"], "none.nii"),
    "no geometry": (["VIEWS", "DIR/none.json"], "none.json"),
    "a geometry of other views": (["VIEWS", "DIR/fewer.json"], "13 image(s)"),
    "a geometry of other pixels": (["VIEWS", "DIR/smaller.json"], "24 x 20"),
    "a geometry from elsewhere": (["VIEWS", "GEOMETRY", "--centre", "9000,0,0", *GRID], "see nothing"),
    "NaN": (["DIR/nan.npy", "GEOMETRY"], "view 2"),
    "nothing in the images": (["DIR/zeros.npy", "GEOMETRY"], "shows nothing"),
    "unknown method": (["VIEWS", "GEOMETRY", "--method", "magic"], "magic"),
    "unknown renderer": (["VIEWS", "GEOMETRY", "--renderer", "magic"], "magic"),
    "an option of another method": (["VIEWS", "GEOMETRY", "--strength", "1"], "--strength"),
    "iterations of fdk": (["VIEWS", "GEOMETRY", "--method", "fdk", "--iterations", "5"], "--iterations"),
    "a start of fdk": (["VIEWS", "GEOMETRY", "--method", "fdk", "--start", "DIR/far.nii"], "--start"),
    "no iterations": (["VIEWS", "GEOMETRY", "--iterations", "0", *GRID], "iteration"),
    "relaxation": (["VIEWS", "GEOMETRY", "--relaxation", "3", *GRID], "relaxation"),
    "subsets": (["VIEWS", "GEOMETRY", "--subsets", "50", *GRID], "50"),
    "a name of no volume": (["VIEWS", "GEOMETRY", "-o", "DIR/volume.png"], "volume.png"),
    "no folder": (["VIEWS", "GEOMETRY", "-o", "DIR/none/volume.nii.gz"], "none"),
    "a preview that is no picture": (["VIEWS", "GEOMETRY", "--preview", "DIR/p.txt"], "p.txt"),
    "a history that is no table": (["VIEWS", "GEOMETRY", "--history", "DIR/h.txt"], "h.txt"),
    "both grids": (["VIEWS", "GEOMETRY", "--like", "VIEWS", "--spacing", "2"], "--like"),
    "a shape": (["VIEWS", "GEOMETRY", "--shape", "1,2"], "--shape"),
    "half voxels": (["VIEWS", "GEOMETRY", "--shape", "1.5"], "--shape"),
    "a spacing": (["VIEWS", "GEOMETRY", "--spacing", "-1"], "--spacing"),
    "a centre": (["VIEWS", "GEOMETRY", "--centre", "1,2"], "--centre"),
    "too many voxels": (["VIEWS", "GEOMETRY", "--shape", "3000"], "--spacing"),
    "held out": (["VIEWS", "GEOMETRY", "--held-out", "1"], "--held-out"),
    "unknowns": (["VIEWS", "GEOMETRY", "--calibrate", "poses,magic"], "--calibrate"),
    "values": (["VIEWS", "GEOMETRY", "--values", "magic"], "magic"),
    "air": (["VIEWS", "GEOMETRY", "--values", "intensity", "--air", "bright"], "bright"),
    "a support of nothing": (["VIEWS", "GEOMETRY", *GRID, "--support", "DIR/far.nii"], "far.nii"),
    "a checkpoint that is none": (["VIEWS", "GEOMETRY", *GRID, "--checkpoint", "DIR/nan.npy"], "nan.npy"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_are_one_sentence_and_exit_code_2(given, sweep, tmp_path, monkeypatch, mistake):
    monkeypatch.setattr(importlib.import_module("raygrad.reconstruction._estimate"), "available_memory", lambda: 10**9)
    images = read_stack(given[0]).images.numpy()
    images[1, 3, 4] = np.nan
    np.save(tmp_path / "nan.npy", images)
    np.save(tmp_path / "zeros.npy", np.zeros_like(images))
    write_geometry(tmp_path / "fewer.json", circular(12, **SYSTEM))
    write_geometry(tmp_path / "smaller.json", circular(13, **(SYSTEM | {"height": 10})))
    far = np.eye(4)
    far[:3, 3] = 5000
    save(tmp_path / "far.nii", np.ones((3, 3, 3), dtype=np.uint8), far)
    arguments, reason = MISTAKES[mistake]
    names = {"VIEWS": given[0], "GEOMETRY": given[1]}
    arguments = [str(names.get(word, word)).replace("DIR", str(tmp_path)) for word in arguments]
    if "-o" not in arguments:
        arguments += ["-o", str(tmp_path / "volume.nii.gz")]
    result = run(*arguments)
    assert result.exit_code == 2, result.output
    said = result.output.strip().splitlines()[-1]
    assert said.startswith("raygrad: ")
    assert reason in said
    assert "Traceback" not in result.output
    assert not (tmp_path / "volume.nii.gz").exists()


def test_a_grid_that_no_file_can_say_is_refused_before_anything_is_reconstructed(given, tmp_path, monkeypatch):
    save(tmp_path / "tilted.nii", np.ones((3, 3, 3), dtype=np.uint8), np.eye(4) + np.diag([0.2, 0, 0], 1))
    monkeypatch.setattr("raygrad.cli._reconstruct_run.reconstruct", lambda *_, **__: pytest.fail("reconstructed"))
    result = run(*given, "--like", tmp_path / "tilted.nii", "-o", tmp_path / "volume.nii.gz")
    assert result.exit_code == 2
    assert "right angles" in result.output


def test_intensities_of_a_folder(sweep, given, result, tmp_path):
    (tmp_path / "views").mkdir()
    for number, image in enumerate(read_stack(given[0]).images.numpy()):
        Image.fromarray((60_000 * np.exp(-image)).round().astype(np.uint16)).save(tmp_path / "views" / f"{number}.png")
    arguments = [tmp_path / "views", given[1], "-o", tmp_path / "v.nii.gz", *SHORT]
    succeed(*arguments, "--values", "intensity", "--air", 60_000)
    difference = read_volume(tmp_path / "v.nii.gz").voxels - result.volume
    assert difference.norm() < 0.01 * result.volume.norm()


@pytest.mark.subprocess
@pytest.mark.slow
def test_processes_of_torchrun_share_the_views(given, result, tmp_path):
    program = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "raygrad"]
    arguments = ["reconstruct", *given, "-o", tmp_path / "v.nii.gz", *SHORT]
    done = subprocess.run(program + list(map(str, arguments)), capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("v.nii.gz: sirt") == 1
    assert "shared by 2 processes" in done.stdout
    torch.testing.assert_close(read_volume(tmp_path / "v.nii.gz").voxels, result.volume, rtol=1e-4, atol=1e-6)


def test_the_lopsided_ct_and_the_way_back(tmp_path):
    """As a newcomer does: simulate, reconstruct, and compare with what was projected."""
    ct = save_lopsided_ct(tmp_path / "ct.nii.gz", (4.0, 5.0, 6.0))
    camera = ["--sdd", 600, "--sid", 400, "--height", 40, "--delx", 8, "--save-volume", tmp_path / "true.nii.gz"]
    arguments = ["project", ct, "--circular", 24, "-o", tmp_path / "views.nii.gz", *camera]
    projected = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert projected.exit_code == 0, projected.output
    given = [tmp_path / "views.nii.gz", tmp_path / "views.geometry.json"]
    output = succeed(*given, "-o", tmp_path / "v.nii.gz", "--like", ct, "--truth", ct, "--iterations", 10)
    assert "PSNR" in output
    volume, true = read_volume(tmp_path / "v.nii.gz"), read_volume(tmp_path / "true.nii.gz")
    assert volume.has_grid_of(read_volume(ct))
    assert (volume.voxels - true.voxels).norm() < 0.2 * true.voxels.norm()


# Pixels that do not count


def test_masked_pixels_are_left_out(sweep, given, tmp_path):
    stack = read_stack(given[0]).images
    dead = torch.zeros(stack.shape[1:], dtype=torch.bool)
    dead[4:7, 5:12] = True
    write_stack(tmp_path / "dead.nii.gz", torch.where(dead, 9.0, stack), (10.0, 10.0))
    np.save(tmp_path / "mask.npy", (~dead).numpy().astype(np.uint8))
    said = succeed(
        tmp_path / "dead.nii.gz", given[1], "-o", tmp_path / "a.nii.gz", "--mask", tmp_path / "mask.npy", *SHORT
    )
    assert "of 24 x 20 pixels, 4.4 % of which do not count" in said
    succeed(*given, "-o", tmp_path / "b.nii.gz", "--mask", tmp_path / "mask.npy", *SHORT)
    found, without = (read_volume(tmp_path / f"{name}.nii.gz").voxels for name in "ab")
    assert torch.equal(found, without)
    for option in (["--method", "fdk"], ["--calibrate", "poses"]):
        refused = run(*given, "-o", tmp_path / "c.nii.gz", "--mask", tmp_path / "mask.npy", *GRID, *option)
        assert refused.exit_code == 2
        assert "--mask is for methods that iterate" in refused.output.replace("\n", " ")


def test_what_a_header_hides_is_left_out_or_told(sweep, given, tmp_path):
    counts = (4000 * torch.exp(-read_stack(given[0]).images)).round().numpy().astype(np.uint16)
    counts[:, :3] = 0
    edges = {"Left": 1, "Right": 24, "Upper": 4, "Lower": 20}
    names = {"Left": "LeftVertical", "Right": "RightVertical", "Upper": "UpperHorizontal", "Lower": "LowerHorizontal"}
    shutter = {f"Shutter{names[side]}Edge": edge for side, edge in edges.items()} | {"ShutterShape": "RECTANGULAR"}
    linear = {"PixelIntensityRelationship": "LIN", "PixelIntensityRelationshipSign": 1}
    save_dicom(tmp_path / "run.dcm", counts, "XA", **shutter, **linear)
    said = succeed(tmp_path / "run.dcm", given[1], "-o", tmp_path / "a.nii.gz", "--air", 4000, *SHORT)
    assert "15 % of which do not count" in said
    whole = succeed(*given, "-o", tmp_path / "b.nii.gz", *SHORT)
    found, right = (read_volume(tmp_path / f"{name}.nii.gz").voxels for name in "ab")
    assert "count" not in whole
    assert (found - right).norm() < 0.1 * right.norm()
    with pytest.warns(UserWarning, match="some pixels do not count"), pytest.warns(ReconstructionWarning):
        run(tmp_path / "run.dcm", given[1], "-o", tmp_path / "c.nii.gz", "--air", 4000, "--method", "fdk", *GRID)
