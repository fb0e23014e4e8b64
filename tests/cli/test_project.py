"""`raygrad project`: the views of a sweep around a CT, in files that are read back."""

import numpy as np
import pytest
import torch
from cli_cases import save_lopsided_ct
from typer.testing import CliRunner

from raygrad.cli import app
from raygrad.data import VolumeGeometry, read, read_volume
from raygrad.formats import read_geometry, read_stack, write_geometry
from raygrad.geometry.trajectories import c_arm_sweep, circular, helical, laminography, short_scan
from raygrad.projector import Projector

SYSTEM = {"sdd": 600.0, "sid": 400.0, "height": 10, "width": 12, "delx": 14.0}
CAMERA = [word for name, value in SYSTEM.items() for word in (f"--{name}", value)]

pytestmark = pytest.mark.usefixtures("one_thread")


def run(*arguments):
    return CliRunner().invoke(app, ["project", *(str(argument) for argument in arguments)])


def succeed(*arguments):
    result = run(*arguments)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture(scope="module")
def ct(tmp_path_factory):
    return save_lopsided_ct(tmp_path_factory.mktemp("ct") / "ct.nii.gz", (4.0, 5.0, 6.0))


def expected(ct, views, method="siddon", **options):
    options = {"density": "attenuation", "energy_kev": 70.0} | options
    density = read(ct, **options).density
    with torch.no_grad():
        return Projector(density, views, method)(density.voxels)


SWEEPS = {
    "circular": (["--circular", 5, "--start", 10, "--clockwise"], circular(5, start_deg=10, clockwise=True, **SYSTEM)),
    "arc": (["--circular", 5, "--range", 90], circular(5, range_deg=90, **SYSTEM)),
    "short scan": (["--short-scan", 4], short_scan(4, **SYSTEM)),
    "helical": (["--helical", 4, "--pitch", 20, "--turns", 2], helical(4, pitch=20, turns=2, **SYSTEM)),
    "laminography": (["--laminography", 4, "--tilt", 30], laminography(4, tilt_deg=30, **SYSTEM)),
    "c-arm": (
        ["--c-arm", 4, "--lao-rao=-95,95", "--cran-caud", 10],
        c_arm_sweep([-95, 95], 10, n_views=4, **SYSTEM),
    ),
}


@pytest.mark.parametrize("kind", SWEEPS)
def test_views_and_their_geometry(ct, tmp_path, kind):
    options, views = SWEEPS[kind]
    output = succeed(ct, "-o", tmp_path / "views.nii.gz", *options, *CAMERA)
    stack = read_stack(tmp_path / "views.nii.gz")
    torch.testing.assert_close(stack.images, expected(ct, views))
    assert stack.frames.spacing == pytest.approx((14.0, 14.0))
    found = read_geometry(tmp_path / "views.geometry.json", stack.frames)
    torch.testing.assert_close(found.world_to_pixel, views.world_to_pixel, rtol=1e-4, atol=1e-3)
    assert stack.images.max() > 0.5
    assert f"{len(views)} views of 12 x 10 pixels of 14 x 14 mm" in output


def test_a_folder_of_images(ct, tmp_path):
    (tmp_path / "views").mkdir()
    succeed(ct, "-o", tmp_path / "views", "--circular", 11, *CAMERA)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["views", "views.geometry.json"]
    images = read_stack(tmp_path / "views").images
    torch.testing.assert_close(images, expected(ct, circular(11, **SYSTEM)))


def test_what_a_voxel_is_worth(ct, tmp_path):
    views = circular(2, **SYSTEM)
    options = {"--density": {"density": "diffdrr", "energy_kev": None}, "--as-is": {"density": lambda hu: hu.float()}}
    options["--as-is"]["energy_kev"] = None
    for option, reading in options.items():
        succeed(ct, "-o", tmp_path / "v.npy", "--circular", 2, *CAMERA, option, "--renderer", "joseph")
        images = read_stack(tmp_path / "v.npy").images
        torch.testing.assert_close(images, expected(ct, views, "joseph", **reading))
    succeed(ct, "-o", tmp_path / "v.npy", "--circular", 2, *CAMERA, "--save-volume", tmp_path / "mu.nii")
    assert 0.01 < read_volume(tmp_path / "mu.nii").voxels.max() < 0.1


def test_noise_is_that_of_photons_and_seeded(ct, tmp_path):
    options = ["--circular", 3, *CAMERA]
    succeed(ct, "-o", tmp_path / "clean.npy", *options)
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        succeed(ct, "-o", tmp_path / f"{name}.npy", *options, "--photons", 5000, "--seed", seed)
    clean, a, b, c = (read_stack(tmp_path / f"{name}.npy").images for name in ("clean", "a", "b", "c"))
    assert torch.equal(a, b)
    assert not torch.equal(a, c)
    deviation = (5000 * torch.exp(-clean)) ** -0.5
    assert 0.85 < ((a - clean) / deviation).std() < 1.15


def test_geometry_from_a_file(ct, tmp_path):
    views = circular(3, **SYSTEM)
    write_geometry(tmp_path / "pose.json", views)
    succeed(ct, tmp_path / "pose.json", "-o", tmp_path / "v.npy")
    torch.testing.assert_close(read_stack(tmp_path / "v.npy").images, expected(ct, views))
    assert not (tmp_path / "v.geometry.json").exists()
    succeed(ct, tmp_path / "pose.json", "-o", tmp_path / "v.npy", "--in-place")
    in_place = expected(ct, views, center_volume=False)
    torch.testing.assert_close(read_stack(tmp_path / "v.npy").images, in_place)


def test_projection_matrices_see_the_ct_where_its_file_puts_it(ct, tmp_path):
    isocentre = VolumeGeometry.of(read_volume(ct)).centre.tolist()
    views = circular(3, **SYSTEM, isocentre=isocentre)
    from_corner = torch.tensor([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]], dtype=torch.float64)
    np.save(tmp_path / "p.npy", (from_corner @ views.world_to_pixel).numpy())
    camera = ["--height", 10, "--width", 12, "--delx", 14]
    succeed(ct, tmp_path / "p.npy", "-o", tmp_path / "v.npy", *camera)
    centred = expected(ct, circular(3, **SYSTEM))
    torch.testing.assert_close(read_stack(tmp_path / "v.npy").images, centred, atol=1e-3, rtol=1e-3)


MISTAKES = {
    "no CT": (["DIR/none.nii", "--circular", "3"], "none.nii"),
    "nothing said": (["CT"], "--circular"),
    "two kinds": (["CT", "--circular", "3", "--helical", "4"], "one of"),
    "a file and a sweep": (["CT", "DIR/pose.json", "--circular", "3"], "--circular"),
    "a file and a distance": (["CT", "DIR/pose.json", "--sdd", "900"], "--sdd"),
    "half a detector": (["CT", "DIR/pose.json", "--height", "9"], "--delx"),
    "no geometry": (["CT", "DIR/none.json"], "none.json"),
    "an option of another kind": (["CT", "--circular", "3", "--pitch", "5"], "--pitch"),
    "no pitch": (["CT", "--helical", "3", "--turns", "2"], "--pitch"),
    "angles": (["CT", "--c-arm", "3", "--lao-rao", "1,2,3"], "--lao-rao"),
    "no views": (["CT", "--circular", "0"], "n_views"),
    "distances": (["CT", "--circular", "3", "--sid", "2000"], "sid"),
    "a suffix": (["CT", "--circular", "3", "-o", "DIR/views.png"], "views.png"),
    "a full folder": (["CT", "--circular", "3", "-o", "DIR"], "not empty"),
    "no folder": (["CT", "--circular", "3", "-o", "DIR/none/v.npy"], "none"),
    "photons": (["CT", "--circular", "3", "--photons", "0"], "--photons"),
    "photons of a density": (["CT", "--circular", "3", "--photons", "9", "--density"], "--density"),
    "energy": (["CT", "--circular", "3", "--energy", "5"], "energy_kev"),
    "a renderer": (["CT", "--circular", "3", "--renderer", "magic"], "magic"),
    "views of nothing": (["CT", "DIR/far.json"], "see nothing"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_are_one_sentence_and_exit_code_2(ct, tmp_path, mistake):
    write_geometry(tmp_path / "pose.json", circular(3, **SYSTEM))
    write_geometry(tmp_path / "far.json", circular(3, **SYSTEM, isocentre=(0, 0, 5000)))
    arguments, reason = MISTAKES[mistake]
    arguments = [word.replace("DIR", str(tmp_path)) if word != "CT" else str(ct) for word in arguments]
    if "-o" not in arguments:
        arguments += ["-o", str(tmp_path / "views.nii.gz")]
    result = run(*arguments)
    assert result.exit_code == 2, result.output
    assert result.output.startswith("raygrad: ")
    assert reason in result.output
    assert len(result.output.strip().splitlines()) == 1
    assert {path.name for path in tmp_path.iterdir()} == {"pose.json", "far.json"}
