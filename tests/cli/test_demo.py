"""The demo writes pictures, and what it says of them is true."""

import re

import pytest
import roma
import SimpleITK as sitk
import torch

from raygrad.cli._demo import landscape
from raygrad.cli._demo.reconstruction import reconstruct
from raygrad.cli._demo.registration import draw_registration, make_poses
from raygrad.cli._demo.run import run_demo
from raygrad.data import load_example_ct
from raygrad.drr import DRR
from raygrad.pose import convert


@pytest.fixture(scope="module")
def subject():
    return load_example_ct(shape=(64, 64, 33))


def test_run_demo_writes_every_picture(tmp_path, subject, monkeypatch, capsys):
    monkeypatch.setattr("raygrad.cli._demo.run.load_example_ct", lambda **_: subject)
    pictures = list(run_demo(tmp_path / "made" / "for it", quick=True))
    names = ["01_views.png", "02_landscape.png", "03_registration.png", "04_reconstruction.png"]
    assert [path.name for path, _ in pictures] == names
    for path, meaning in pictures:
        pixels = sitk.GetArrayFromImage(sitk.ReadImage(str(path)))
        assert pixels[..., :3].std() > 10
        assert len(meaning) > 40
    assert "64 x 64 x 33" in capsys.readouterr().out


def test_the_landscape_is_lowest_at_the_true_pose(subject):
    measured = landscape.compute(DRR(subject, sdd=1020.0, height=50, delx=8.0), steps=5)
    assert measured.loss_at_truth == pytest.approx(-1.0, abs=1e-3)
    assert len(measured.slices) == 6
    assert all(piece.loss.argmin() == 12 for piece in measured.slices)
    assert measured.flattest("mm") == "y"


def test_registration_starts_where_it_says_and_says_where_it_ends(subject):
    truth, start = make_poses()
    moved = truth.inverse().compose(start)
    torch.testing.assert_close(moved.translation.abs(), torch.full((1, 3), 25.0), atol=1e-3, rtol=0)
    turns = roma.rotmat_to_euler("xyz", moved.rotation, degrees=True)
    torch.testing.assert_close(turns.abs(), torch.full((1, 3), 15.0), atol=1e-3, rtol=0)
    _, meaning = draw_registration(subject, quick=True)
    off, left = map(float, re.findall(r"([\d.e-]+) mm off", meaning))
    assert 40 < off < 80
    assert left < 1.0  # voxels of 5.6 mm, pixels of 4 mm
    assert "'converged'" in meaning


def test_reconstruction_fits_its_image(subject):
    drr = DRR(subject, sdd=1020.0, height=50, delx=8.0)
    pose = convert(
        torch.zeros(1, 3), torch.tensor([[0.0, 850.0, 0.0]]), parameterization="euler_angles", convention="ZXY"
    )
    with torch.no_grad():
        image = drr(pose)
    image = image / image.max()
    model, losses = reconstruct(drr, subject.volume.spatial_shape, pose, image, iterations=60)
    assert losses[0] == pytest.approx(image.square().mean().item(), rel=1e-5)
    assert losses[-1] < losses[0] / 20
    assert model.density.shape == subject.volume.spatial_shape
