"""Structured reports by what other readers find in them: pydicom, highdicom, and dciodvfy of dicom3tools."""

import shutil
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pydicom
import pytest
import torch
from dicom_files import FRAME_OF_REFERENCE, ROOT, write_series
from dicom_xrays import save_dicom
from found_views import found_view
from other_projects import import_peer
from typer.testing import CliRunner

from raygrad.cli import app
from raygrad.data import read
from raygrad.formats import InputError, join_views, read_outcome, write_poses, write_structured_report
from raygrad.geometry import cone_vectors_of
from raygrad.pose import RigidTransform

POSITIONS = [(-20.0, 30.0, 400.0 + 2 * k) for k in range(4)]
DEVIATIONS = {"x (mm)": 0.25, "depth (mm)": 3.5, "about depth (degrees)": 0.125, "y (mm)": None}
OUTCOME = {"status": "out of iterations", "score": 0.875, "standard_deviations": {"of": "motions", **DEVIATIONS}}
XRAY = {"StudyInstanceUID": "1.2.3", "SeriesInstanceUID": "1.2.3.4", "PatientID": "A", "PatientName": "Müller^Jörg"}
XRAY |= {"SpecificCharacterSet": "ISO_IR 100", "StudyDate": "20240203", "StudyTime": "101112", "StudyID": "4"}


@pytest.fixture
def ct(tmp_path):
    return write_series(tmp_path / "ct", np.zeros((4, 5, 6), np.int16), POSITIONS)


@pytest.fixture
def xray(tmp_path):
    save_dicom(tmp_path / "run.dcm", np.zeros((3, 4, 4), np.uint16), "XA", **XRAY)
    return tmp_path / "run.dcm"


def double(view):
    return replace(view, pose=RigidTransform(view.pose.matrix.double()))


@pytest.mark.peers
def test_what_another_reader_finds_is_what_was_found(tmp_path, ct, xray):
    sr = import_peer("highdicom.sr")
    views = [double(found_view(name)) for name in ("run.dcm, frame 2", "Grüße.png")]
    motion = torch.eye(4, dtype=torch.float64)
    motion[:3, 3] = torch.tensor([5.0, -6.0, 7.0])
    views[1] = replace(views[1], pose=views[1].pose.compose(RigidTransform(motion)))
    (tmp_path / "x.png").write_bytes(b"no DICOM")
    file_to_world = read(ct).file_to_world
    files = [xray, tmp_path / "x.png"]
    write_structured_report(tmp_path / "r.dcm", views, file_to_world, files, ct, outcome=OUTCOME, frames=[2, None])
    report = sr.srread(tmp_path / "r.dcm")
    assert (report.StudyInstanceUID, report.PatientName, report.Modality) == ("1.2.3", "Müller^Jörg", "SR")
    groups = report.content.get_image_measurement_groups()
    assert [group.tracking_identifier for group in groups] == ["View 1: run.dcm, frame 2", "View 2: Grüße.png"]
    in_file = join_views(views).moved(RigidTransform(torch.as_tensor(file_to_world)).inverse())
    places = cone_vectors_of(in_file).reshape(2, 4, 3)[:, :2] * torch.tensor([-1.0, -1, 1])
    for group, view, (source, middle) in zip(groups, views, places.tolist(), strict=True):
        found = {m.name.value: (m.value, m.unit.value) for m in group.get_measurements()}
        angles, xyz = view.pose.convert("euler_angles", "ZXY", degrees=True)
        expected = dict(zip(["EULER-A", "EULER-B", "EULER-C"], angles[0].tolist(), strict=True))
        for word, numbers in (("TRANSLATION", xyz[0].tolist()), ("SOURCE", source), ("DETECTOR", middle)):
            expected |= {f"{word}-{axis}": number for axis, number in zip("XYZ", numbers, strict=True)}
        expected |= {"SDD": 1020.0, "PIXEL-WIDTH": 2.0, "PIXEL-HEIGHT": 2.0, "SIMILARITY": 0.875}
        if group is groups[0]:  # how sure the pose of all is
            expected |= {"SD-X": 0.25, "SD-DEPTH": 3.5, "SD-ABOUT-DEPTH": 0.125}
        assert {code: value for code, (value, _) in found.items()} == pytest.approx(expected, abs=1e-4)
        units = {code: "deg" if "EULER" in code or "ABOUT" in code else "mm" for code in expected}
        assert {code: unit for code, (_, unit) in found.items()} == units | {"SIMILARITY": "1"}
        (status,) = [item for item in group.get_qualitative_evaluations() if item.name.value == "STATUS"]
        assert status.value.meaning == "out of iterations"
    assert found["TRANSLATION-Y"][0] == pytest.approx(xyz[0, 1].item(), abs=1e-9)
    (source,) = groups[0].source_images
    assert source.referenced_sop_instance_uid == pydicom.dcmread(xray).SOPInstanceUID
    assert source.referenced_frame_numbers == [2]
    assert groups[1].source_images == []


@pytest.mark.peers
def test_x_ray_and_ct_are_referred_to(tmp_path, ct, xray):
    import_peer("highdicom.sr")
    write_structured_report(tmp_path / "r.dcm", [found_view("x")], np.eye(4), [xray], ct)
    found = pydicom.dcmread(tmp_path / "r.dcm")
    (study,), (other,) = found.CurrentRequestedProcedureEvidenceSequence, found.PertinentOtherEvidenceSequence
    assert (study.StudyInstanceUID, other.StudyInstanceUID) == ("1.2.3", f"{ROOT}.9")
    slices = other.ReferencedSeriesSequence[0].ReferencedSOPSequence
    assert len({item.ReferencedSOPInstanceUID for item in slices}) == len(POSITIONS)
    uids = {item.UID for item in found.ContentSequence[-1].ContentSequence[0].ContentSequence if "UID" in item}
    assert {FRAME_OF_REFERENCE, f"{ROOT}.8"} < uids
    write_structured_report(tmp_path / "of_ct.dcm", [found_view("x")], np.eye(4), [], ct)
    assert pydicom.dcmread(tmp_path / "of_ct.dcm").StudyInstanceUID == f"{ROOT}.9"


@pytest.mark.peers
@pytest.mark.subprocess
@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="dicom3tools is not installed")
def test_dciodvfy_finds_no_error(tmp_path, ct, xray):
    import_peer("highdicom.sr")
    for name, files, series in (("both", [xray], ct), ("xray", [xray], None), ("ct", [], ct)):
        path = tmp_path / f"{name}.dcm"
        write_structured_report(path, [found_view("x")], np.eye(4), files, series, outcome=OUTCOME, frames=[2])
        said = subprocess.run(["dciodvfy", str(path)], capture_output=True, text=True, check=False)
        assert "ComprehensiveSR" in said.stdout + said.stderr
        assert "Error" not in said.stdout + said.stderr


@pytest.mark.peers
def test_the_command_reports_what_the_file_says(tmp_path, ct, xray):
    sr = import_peer("highdicom.sr")
    poses = tmp_path / "pose.json"
    write_poses(poses, [found_view(f"run.dcm, frame {n}") for n in (3, 1)], OUTCOME, read(ct).file_to_world)
    target = f"{tmp_path}/r.dcm:structured-report"
    arguments = ["export", str(poses), "--to", target, "--ct", str(ct), "--xray", str(xray)]
    series = pydicom.dcmread(next(ct.iterdir())).SeriesInstanceUID
    result = CliRunner().invoke(app, [*arguments, "--xray", str(xray), "--series", series])
    assert result.exit_code == 0, result.output
    groups = sr.srread(tmp_path / "r.dcm").content.get_image_measurement_groups()
    assert [group.source_images[0].referenced_frame_numbers for group in groups] == [[3], [1]]
    assert len(groups[0].get_measurements()) == 19
    for options, message in (
        (["--series", "1.2"], "There is no series 1.2"),
        (["--centred"], "leave out --centred"),
        (["--xray", str(xray), "--xray", str(xray)], "each of 2 view"),
    ):
        refused = CliRunner().invoke(app, [*arguments, *options, "--to", str(tmp_path / "views.csv")])
        assert refused.exit_code == 2
        assert message in refused.output
        assert not (tmp_path / "views.csv").exists()


def test_a_report_without_highdicom_is_refused(tmp_path, monkeypatch):
    write_poses(tmp_path / "pose.json", [found_view("x")], file_to_world=np.eye(4))
    monkeypatch.setitem(sys.modules, "highdicom", None)
    arguments = ["export", str(tmp_path / "pose.json"), "--kind", "structured report", "--to"]
    refused = CliRunner().invoke(app, [*arguments, str(tmp_path / "r.dcm")])
    assert refused.exit_code == 2
    assert 'pip install "raygrad[dicom-sr]"' in refused.output
    assert not (tmp_path / "r.dcm").exists()


@pytest.mark.peers
def test_a_report_of_nothing_in_dicom_is_refused(tmp_path):
    import_peer("highdicom.sr")
    with pytest.raises(InputError, match="an X-ray or a CT in DICOM"):
        write_structured_report(tmp_path / "r.dcm", [found_view("x")], np.eye(4))
    assert not (tmp_path / "r.dcm").exists()


def test_how_poses_were_found_is_read(tmp_path):
    write_poses(tmp_path / "pose.json", [found_view("x")], OUTCOME)
    assert read_outcome(tmp_path / "pose.json") == OUTCOME
    write_poses(tmp_path / "bare.json", [found_view("x")])
    assert read_outcome(tmp_path / "bare.json") is None
