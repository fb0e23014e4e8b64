"""Folders of DICOM slices on the command line."""

import numpy as np
from dicom_files import write_series
from typer.testing import CliRunner

from raygrad.cli import app


def test_a_series_and_uneven_steps_are_chosen(tmp_path):
    stored = np.random.default_rng(0).integers(0, 2000, (4, 5, 6)).astype(np.uint16)
    positions = [(0, 0, z) for z in (0, 2, 4, 8)]
    for uid in ("1.2.3", "1.2.4"):
        write_series(tmp_path / uid, stored, positions, SeriesInstanceUID=uid)
        for file in (tmp_path / uid).iterdir():
            file.rename(tmp_path / f"{uid}-{file.name}")

    def drr(*options):
        return CliRunner().invoke(app, ["drr", str(tmp_path), "-o", str(tmp_path / "x.tif"), *options])

    several = drr()
    assert several.exit_code == 2
    assert "--series" in several.output
    assert "1.2.4: 4 slices" in several.output
    uneven = drr("--series", "1.2.4")
    assert uneven.exit_code == 2
    assert "--resample-slices" in uneven.output
    assert drr("--series", "1.2.4", "--resample-slices").exit_code == 0
    assert (tmp_path / "x.tif").exists()
