"""What does not fit into memory is refused with a figure, before anything is read."""

import pytest
from typer.testing import CliRunner

from raygrad.cli import app
from raygrad.cli._sizes import check_images, check_poses

TOO_LARGE = {
    "drr example -o x.png --height 1000000": "1000000 x 1000000 pixels would take about 40 TB",
    "drr example -o x.png --height 100 --width 2000000000": "2000000000 x 100 pixels",
    "landscape example -o out --steps 1000000": "1000000000000 poses would take about 700 TB",
    "landscape example -o out --height 1000000": "1000000 x 1000000 pixels",
    "project example --circular 100000000 -o v.nii": "100000000 images of 256 x 256 pixels",
    "project example --circular 3 --height 1000000 -o v.nii": "3 images of 1000000 x 1000000",
    "register example x.png -o out --height 1000000 --sdd 1000 --delx 1": "1000000 x 1000000 pixels",
}


@pytest.mark.parametrize("words", TOO_LARGE)
def test_what_is_too_large_is_refused_at_once(tmp_path, monkeypatch, words):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("raygrad.cli._loading.load_subject", lambda *_, **__: pytest.fail("it was read"))
    done = CliRunner().invoke(app, words.split())
    assert done.exit_code == 2, done.output
    assert TOO_LARGE[words] in done.output
    assert "lower --" in done.output
    assert list(tmp_path.iterdir()) == []


def test_what_fits_is_let_through(monkeypatch):
    check_images(200)
    check_poses(225, "--steps")
    monkeypatch.setattr("raygrad.cli._sizes.available_memory", lambda: None)
    check_images(10**9)  # nobody knows


def test_labels_without_end_are_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert CliRunner().invoke(app, "drr example -o x.tif --height 16 --delx 24".split()).exit_code == 0
    words = "register example x.tif -o out --sdd 1020 --delx 24 --structure a=1-9999999999"
    done = CliRunner().invoke(app, words.split())
    assert done.exit_code == 2
    assert "labels up to 65535" in done.output
