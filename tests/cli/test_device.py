"""Commands on a GPU: --device, and what they say of the devices that are there."""

import pytest
import torch
from cli_cases import save_lopsided_ct
from pretended_gpu import DEVICE, NAME, count_traffic, let_kernels_serve_it
from typer.testing import CliRunner

from raygrad import kernels
from raygrad._errors import InputError
from raygrad.cli import _info as info
from raygrad.cli import app
from raygrad.cli._parsing import parse_device

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(autouse=True)
def gpu_kernels(monkeypatch):
    let_kernels_serve_it(monkeypatch)


def run_there(*command):
    with count_traffic() as traffic:
        result = CliRunner().invoke(app, [*command, "--device", NAME])
    assert isinstance(result.exception, SystemExit | None), result.exception
    assert traffic.uploads > 0
    assert traffic.waits > 0
    return result.exit_code


@pytest.fixture
def lopsided_ct(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return save_lopsided_ct(str(tmp_path / "ct.nii"), (9.0, 9.0, 9.0))


SWEEP = ["views.nii", "views.geometry.json"]
GRID = ["--shape", "12", "--spacing", "20", "--iterations", "1"]


def test_commands_compute_on_the_device_that_is_asked_for(lopsided_ct):
    assert run_there("drr", lopsided_ct, "-o", "xray.tif", "--height", "16", "--delx", "24") == 0
    assert run_there("project", lopsided_ct, "-o", "views.nii", "--circular", "6", "--height", "16") == 0
    assert run_there("reconstruct", *SWEEP, "-o", "volume.nii", *GRID, "--held-out", "3") == 0
    like = ["--like", "volume.nii", "--support", "volume.nii", "--start", "volume.nii", "--truth", "volume.nii"]
    assert run_there("reconstruct", *SWEEP, "-o", "again.nii", "--iterations", "1", *like) == 0


@pytest.mark.slow
def test_commands_draw_and_calibrate_what_was_computed_there(lopsided_ct):
    run_there("drr", lopsided_ct, "-o", "xray.tif", "--height", "16", "--delx", "24", "--rotation", "5,2,1")
    run_there("project", lopsided_ct, "-o", "views.nii", "--circular", "6", "--height", "16")
    calibrated = ["--calibrate", "poses", "--held-out", "3", "--preview", "slices.png", "--history", "history.csv"]
    assert run_there("reconstruct", *SWEEP, "-o", "volume.nii", *GRID, *calibrated) == 0
    assert run_there("register", lopsided_ct, "xray.tif", "--sdd", "1020", "--delx", "24", "-o", "found") in (0, 1)


def test_landscapes_and_evaluations_get_the_device_too(lopsided_ct, tmp_path, monkeypatch):
    devices = []

    def stop_at(device):
        devices.append(device)
        raise InputError("far enough")

    monkeypatch.setattr("raygrad.landscape.compute_landscape", lambda drr, *_, **__: stop_at(drr.device))
    monkeypatch.setattr("raygrad.evaluation.evaluate", lambda *_, **given: stop_at(given["device"]))
    for command in (["landscape", lopsided_ct, "-o", str(tmp_path)], ["evaluate", "registration", "--ct", lopsided_ct]):
        assert "far enough" in CliRunner().invoke(app, [*command, "--device", NAME]).output
    assert devices == [DEVICE, DEVICE]


def test_auto_is_a_gpu_that_kernels_are_compiled_for(monkeypatch):
    assert parse_device("auto").type == "cpu"
    assert parse_device(NAME) == DEVICE
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr("raygrad.cli._parsing.find_triton", lambda: (True, ""))
    assert parse_device("auto").type == "cuda"
    monkeypatch.setattr("raygrad.cli._parsing.find_triton", lambda: (False, "Triton is missing"))
    assert parse_device("auto").type == "cpu"
    with pytest.raises(InputError, match="--device quantum is nothing that PyTorch can use here"):
        parse_device("quantum")


def test_info_names_the_gpus_and_what_marches_on_them(monkeypatch):
    assert ("GPU", "none that PyTorch can use") in info.describe_installation()
    card = type("Card", (), {"name": "NVIDIA H200", "total_memory": 150e9})
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda number: card)
    for found, backend in ((True, "gpu"), (False, "reference")):
        monkeypatch.setattr(kernels, "find_triton", lambda found=found: (found, ""))
        rows = dict(info.describe_installation())
        assert rows["GPU cuda:1"] == f"NVIDIA H200, 150 GB: backend {backend}"
        assert "GPU" not in rows
