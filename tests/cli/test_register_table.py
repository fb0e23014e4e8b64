"""`raygrad register` without the table of the CT, and with it."""

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk
from cli_cases import save_lopsided_ct
from PIL import Image
from table_cases import Scan
from typer.testing import CliRunner

from raygrad.cli import _register_run, app


@pytest.fixture
def registered(monkeypatch):
    """The subjects that were to be registered."""
    subjects = []
    monkeypatch.setattr(_register_run, "register_to_folder", lambda subject, *_, **__: subjects.append(subject) or True)
    return subjects


def run(ct, folder, *options):
    xray = folder / "xray.tif"
    sitk.WriteImage(sitk.GetImageFromArray(np.arange(80, dtype=np.float32).reshape(8, 10)), str(xray))
    result = CliRunner().invoke(
        app, ["register", str(ct), str(xray), "-o", str(folder / "found"), "--sdd", "1000", "--delx", "40", *options]
    )
    assert result.exit_code == 0, result.output
    return " ".join(result.output.split())


def test_the_table_is_cut_out_said_and_drawn_unless_it_is_to_stay(tmp_path, registered):
    scan = Scan(shape=(90, 70, 8), spacing=(5.0, 5.0, 10.0)).torso().table(top=-105, shell=10)
    volume = scan.volume()
    nibabel.save(nibabel.Nifti1Image(volume.voxels.numpy(), volume.affine), tmp_path / "ct.nii.gz")
    said = run(tmp_path / "ct.nii.gz", tmp_path)
    assert "cut out of the CT: 0.66 litres" in said
    assert "table.png" in said
    table = scan.things & (scan.hu > -500)
    assert (registered[0].volume.voxels.numpy()[table] == -1000).all()
    with Image.open(tmp_path / "found" / "table.png") as picture:
        assert (np.asarray(picture.convert("HSV"))[..., 1] > 150).sum() > 1000  # red of the table

    (tmp_path / "found" / "table.png").unlink()
    said = run(tmp_path / "ct.nii.gz", tmp_path, "--keep-table")
    assert "cut out" not in said
    np.testing.assert_array_equal(registered[1].volume.voxels, volume.voxels)
    assert not (tmp_path / "found" / "table.png").exists()


@pytest.mark.slow
def test_nothing_is_said_where_nothing_went(tmp_path, registered):
    ct = save_lopsided_ct(tmp_path / "ct.nii.gz", spacing=(4.0, 5.0, 6.0))
    for name in (ct, "example"):
        assert "cut out" not in run(name, tmp_path)
    assert not (tmp_path / "found" / "table.png").exists()
    assert not hasattr(registered[1], "cut_out")  # the built-in thorax lies on nothing
