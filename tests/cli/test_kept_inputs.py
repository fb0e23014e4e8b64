"""No command replaces what it reads, by whatever name, nor removes what is not its own."""

import os
import shutil

import numpy as np
import pytest
import SimpleITK as sitk
from typer.testing import CliRunner

from raygrad.cli import app
from raygrad.cli._kept_inputs import refuse_replacing
from raygrad.formats import InputError


def run(*words):
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture
def folder(tmp_path):
    """A CT, a link to it, a sweep and its geometry."""
    image = sitk.GetImageFromArray(np.full((6, 5, 4), 100, np.int16))
    image.SetSpacing((4.0, 4.0, 4.0))
    sitk.WriteImage(image, str(tmp_path / "ct.nii"))
    os.symlink(tmp_path / "ct.nii", tmp_path / "link.nii")
    os.link(tmp_path / "ct.nii", tmp_path / "hard.nii")
    made = run(
        "project", tmp_path / "ct.nii", "--circular", 4, "--height", 8, "--delx", 8, "-o", tmp_path / "views.nii"
    )
    assert made.exit_code == 0, made.output
    return tmp_path


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


REFUSED = {
    "drr": "drr ct.nii -o ct.nii --height 8 --delx 8",
    "drr to a link": "drr ct.nii -o link.nii --height 8 --delx 8",
    "drr to another name of the file": "drr ct.nii -o hard.nii --height 8 --delx 8",
    "drr of a link": "drr link.nii -o ct.nii --height 8 --delx 8",
    "drr by a way round": "drr ct.nii -o ../{name}/ct.nii --height 8 --delx 8",
    "project": "project ct.nii --circular 4 --height 8 --delx 8 -o ct.nii",
    "project, volume": "project ct.nii --circular 4 --height 8 --delx 8 -o new.nii --save-volume ct.nii",
    "project, twice": "project ct.nii --circular 4 --height 8 --delx 8 -o new.nii --save-volume new.nii",
    "project, geometry": "project ct.nii views.geometry.json -o views.geometry.nii --save-volume link.nii",
    "reconstruct": "reconstruct views.nii views.geometry.json -o views.nii",
    "reconstruct, checkpoint": "reconstruct views.nii views.geometry.json -o new.nii --checkpoint ct.nii --like ct.nii",
    "reconstruct, start": "reconstruct views.nii views.geometry.json --like ct.nii --start link.nii -o hard.nii",
    "export": "export views.geometry.json --to views.geometry.json",
    "landscape": "landscape landscape.txt -o . --height 8",
    "register": "register ct.nii overlay.png -o . --sdd 1000 --delx 8 --rotation 0,0,0",
}


@pytest.mark.parametrize("what", REFUSED)
def test_inputs_are_not_replaced(folder, monkeypatch, what):
    monkeypatch.chdir(folder)
    shutil.copy(folder / "ct.nii", folder / "landscape.txt")
    if what == "register":
        assert run("drr", "ct.nii", "-o", "overlay.png", "--height", 8, "--delx", 8).exit_code == 0
    before = contents(folder)
    done = run(*REFUSED[what].format(name=folder.name).split())
    assert done.exit_code == 2, done.output
    assert "would replace" in done.output or "both name" in done.output
    assert contents(folder) == before


def test_a_file_of_a_folder_that_is_read_is_not_replaced(folder):
    series = folder / "series"
    series.mkdir()
    shutil.copy(folder / "ct.nii", series / "slice.nii")
    with pytest.raises(InputError, match="would replace"):
        refuse_replacing([series], {"--output": series / "slice.nii"})
    refuse_replacing([series], {"--output": series / "new.nii"})


@pytest.mark.parametrize("fresh", [["--fresh"], []], ids=["fresh", "resumed"])
def test_what_is_no_checkpoint_is_not_removed(folder, fresh):
    mine = folder / "thesis.txt"
    mine.write_text("years of work")
    done = run(
        *("reconstruct", folder / "views.nii", folder / "views.geometry.json", "-o", folder / "new.nii"),
        *("--checkpoint", mine, "--iterations", 1, *fresh),
    )
    assert done.exit_code == 2
    assert "Expected a checkpoint" in done.output
    assert mine.read_text() == "years of work"
    assert not (folder / "new.nii").exists()
