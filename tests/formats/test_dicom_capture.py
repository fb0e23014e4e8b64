"""Pictures as DICOM Secondary Captures: valid, in the X-ray's study, and the same colours once they are read again."""

import shutil
import subprocess

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from dicom_xrays import save_dicom

from raygrad.formats import InputError, write_secondary_capture

COLOURS = np.random.default_rng(0).integers(0, 256, (5, 7, 3)).astype(np.uint8)  # an odd number of bytes
STUDY = {
    "SpecificCharacterSet": "ISO_IR 100",
    "PatientName": "Müller^Jörg",
    "PatientID": "A 17",
    "PatientBirthDate": "19700102",
    "PatientSex": "O",
    "StudyInstanceUID": "1.2.826.0.1.3680043.8.498.1",
    "StudyDate": "20240203",
    "StudyTime": "101112",
    "StudyDescription": "Hüfte",
    "ReferringPhysicianName": "House^G",
    "StudyID": "4",
    "AccessionNumber": "77",
}


def save_png(path, array):
    sitk.WriteImage(sitk.GetImageFromArray(array, isVector=array.ndim == 3), str(path))
    return path


@pytest.fixture
def picture(tmp_path):
    return save_png(tmp_path / "overlay.png", COLOURS)


def test_patient_and_study_are_those_of_the_x_ray(tmp_path, picture):
    save_dicom(tmp_path / "run.dcm", np.zeros((4, 4), np.uint16), "XA", SeriesInstanceUID="1.2.3", **STUDY)
    write_secondary_capture(tmp_path / "a.dcm", picture, tmp_path / "run.dcm", "Registration")
    found = pydicom.dcmread(tmp_path / "a.dcm")
    assert {keyword: str(found[keyword].value) for keyword in STUDY} == STUDY
    assert found.SeriesInstanceUID != "1.2.3"
    assert found.SOPInstanceUID != pydicom.dcmread(tmp_path / "run.dcm").SOPInstanceUID
    assert found.SOPClassUID == "1.2.840.10008.5.1.4.1.1.7"
    assert (found.ImageType, found.SeriesDescription) == (["DERIVED", "SECONDARY"], "Registration")
    assert "BurnedInAnnotation" not in found
    assert "LossyImageCompression" not in found


def test_the_x_rays_that_it_was_made_from_are_named(tmp_path, picture):
    save_dicom(tmp_path / "run.dcm", np.zeros((3, 4, 4), np.uint16), "XA", **STUDY)
    save_dicom(tmp_path / "one.dcm", np.zeros((4, 4), np.uint16), "DX", **STUDY)
    xrays = [tmp_path / "run.dcm", picture, tmp_path / "one.dcm", tmp_path / "run.dcm"]
    write_secondary_capture(tmp_path / "a.dcm", picture, xrays, frames=[2, None, 1])
    found = pydicom.dcmread(tmp_path / "a.dcm")
    assert "CT" in found.DerivationDescription
    sources = []
    for item in found.SourceImageSequence:
        (purpose,) = item.PurposeOfReferenceCodeSequence
        assert (purpose.CodeValue, purpose.CodingSchemeDesignator) == ("121322", "DCM")
        sources.append((item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID, item.get("ReferencedFrameNumber")))
    run, one = (pydicom.dcmread(tmp_path / name) for name in ("run.dcm", "one.dcm"))
    of_run, of_one = ((header.SOPClassUID, header.SOPInstanceUID) for header in (run, one))
    assert sources == [(*of_run, 2), (*of_one, None), (*of_run, None)]
    write_secondary_capture(tmp_path / "new.dcm", picture, picture)
    assert "SourceImageSequence" not in pydicom.dcmread(tmp_path / "new.dcm")
    save_dicom(tmp_path / "other.dcm", np.zeros((4, 4), np.uint16), "XA", StudyInstanceUID="1.2.4")
    with pytest.raises(InputError, match="one study"):
        write_secondary_capture(tmp_path / "b.dcm", picture, [tmp_path / "run.dcm", tmp_path / "other.dcm"])


def test_what_the_x_ray_says_of_its_pixels_is_passed_on(tmp_path, picture):
    lossy = {"LossyImageCompression": "01", "LossyImageCompressionRatio": "8", "BurnedInAnnotation": "YES"}
    save_dicom(tmp_path / "run.dcm", np.zeros((4, 4), np.uint16), "XA", **STUDY, **lossy)
    write_secondary_capture(tmp_path / "a.dcm", picture, tmp_path / "run.dcm")
    found = pydicom.dcmread(tmp_path / "a.dcm")
    assert {keyword: str(found[keyword].value) for keyword in lossy} == lossy


def test_without_a_dicom_x_ray_the_study_is_new(tmp_path, picture):
    studies = set()
    for number, xray in enumerate((None, picture)):
        write_secondary_capture(tmp_path / f"{number}.dcm", picture, xray)
        studies.add(pydicom.dcmread(tmp_path / f"{number}.dcm").StudyInstanceUID)
    assert len(studies) == 2


@pytest.mark.parametrize("samples", [1, 3, 4])
def test_colours_are_read_back_as_they_were(tmp_path, samples):
    array = COLOURS if samples == 3 else COLOURS[..., 0]
    expected = np.broadcast_to(array if samples == 3 else array[..., None], COLOURS.shape)
    if samples == 4:
        alpha = np.full((5, 7, 1), 255, np.uint8)
        alpha[2:] = 0
        array = np.concatenate([COLOURS, alpha], axis=-1)
        expected = np.where(alpha > 0, COLOURS, 255)
    write_secondary_capture(tmp_path / "a.dcm", save_png(tmp_path / "a.png", array))
    found = sitk.ReadImage(str(tmp_path / "a.dcm"))
    assert found.GetNumberOfComponentsPerPixel() == 3
    np.testing.assert_array_equal(sitk.GetArrayFromImage(found)[0], expected)
    assert pydicom.dcmread(tmp_path / "a.dcm").pixel_array.tolist() == expected.tolist()


@pytest.mark.subprocess
@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="dicom3tools is not installed")
@pytest.mark.parametrize("of_xray", [True, False])
def test_dciodvfy_finds_no_error(tmp_path, picture, of_xray):
    save_dicom(tmp_path / "run.dcm", np.zeros((3, 4, 4), np.uint16), "XA", **STUDY)
    xray = tmp_path / "run.dcm" if of_xray else None
    write_secondary_capture(tmp_path / "a.dcm", picture, xray, "Registration", frames=[2])
    said = subprocess.run(["dciodvfy", str(tmp_path / "a.dcm")], capture_output=True, text=True, check=False)
    assert "SCImage" in said.stdout + said.stderr
    assert "Error" not in said.stdout + said.stderr


def test_what_cannot_be_is_refused(tmp_path, picture):
    with pytest.raises(InputError, match=r"ends in \.dcm"):
        write_secondary_capture(tmp_path / "a.png", picture)
    with pytest.raises(FileNotFoundError, match="no picture"):
        write_secondary_capture(tmp_path / "a.dcm", tmp_path / "none.png")
    with pytest.raises(FileNotFoundError, match="no X-ray"):
        write_secondary_capture(tmp_path / "a.dcm", picture, tmp_path / "none.dcm")
    deep = save_png(tmp_path / "deep.png", COLOURS[..., 0].astype(np.uint16))
    with pytest.raises(InputError, match=r"8 bits.*Got '.*deep.png', of 1 x uint16"):
        write_secondary_capture(tmp_path / "a.dcm", deep)
    assert not (tmp_path / "a.dcm").exists()
