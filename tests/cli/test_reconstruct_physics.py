"""`raygrad reconstruct --kvp`: images corrected for the beam hardening of water, and what is said of it."""

import pytest
import torch
from typer.testing import CliRunner

from raygrad.cli import app
from raygrad.data import VolumeGeometry, read_volume
from raygrad.formats import write_geometry, write_stack
from raygrad.geometry.trajectories import circular
from raygrad.physics import Physics, Tissues, line_integrals
from raygrad.projector import Projector

KEV = 60.0
GRID = ["--shape", "12", "--spacing", "10"]

pytestmark = pytest.mark.usefixtures("one_thread")


def run(*arguments):
    return CliRunner().invoke(app, ["reconstruct", *(str(argument) for argument in arguments)])


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    """Views of a block of water as a tube of 90 kV shows them, their geometry, and the block at 60 keV."""
    folder = tmp_path_factory.mktemp("sweep")
    views = circular(12, sdd=600.0, sid=400.0, height=16, width=20, delx=14.0)
    grid = VolumeGeometry.centred((12, 12, 12), (10.0, 10.0, 10.0))
    block = grid.zeros()
    block[2:10, 3:9, 2:11] = 1.0
    physics = Physics.preset("cbct", kvp=90, detector="gos")
    energies = physics.spectrum.energies_kev
    mu = Tissues().attenuation(energies, ["water"])
    weights = physics.spectrum.photons * physics.sensor.weights(energies)
    images = line_integrals(Projector(grid, views)(block)[:, None], mu, weights[None])[:, 0]
    write_stack(folder / "views.nii.gz", images, (14.0, 14.0))
    write_geometry(folder / "views.geometry.json", views)
    at_reference = float(Tissues().attenuation(KEV, ["water"]))
    return folder, block * at_reference


def reconstructed(sweep, out, *options):
    folder, _ = sweep
    given = [folder / "views.nii.gz", folder / "views.geometry.json", "-o", out, "--iterations", "40", *GRID, *options]
    result = run(*given)
    assert result.exit_code == 0, result.output
    return torch.as_tensor(read_volume(out).voxels), result.output


def test_water_is_as_dense_as_it_is(sweep, tmp_path):
    _, truth = sweep
    plain, _ = reconstructed(sweep, tmp_path / "plain.nii.gz")
    corrected, said = reconstructed(
        sweep, tmp_path / "corrected.nii.gz", "--kvp", "90", "--detector", "gos", "--reference-kev", "60"
    )
    error, before = ((volume - truth).norm() / truth.norm() for volume in (corrected, plain))
    assert error < 0.02 < before
    assert "beam hardening of water corrected for 90 kV: the volume is of 60 keV" in said


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--detector", "gos"], "--detector goes with --kvp"),
        (["--kvp", "200"], "from 40 to 150"),
        (["--kvp", "90", "--filtration", "unobtainium=3"], "unobtainium"),
        (["--kvp", "90", "--reference-kev", "5"], "from 10 to 150"),
    ],
)
def test_mistakes_are_told(sweep, tmp_path, options, said):
    folder, _ = sweep
    out = tmp_path / "volume.nii.gz"
    result = run(folder / "views.nii.gz", folder / "views.geometry.json", "-o", out, *GRID, *options)
    assert result.exit_code == 2
    assert said in " ".join(result.output.split())
    assert not out.exists()
