"""DICOM X-rays: frames, tables, what numbers mean by class and header, lengths at the detector; and real files."""

import warnings

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from dicom_xrays import CLASSES, save_dicom
from real_files import real_data

from raygrad.cli._register_inputs import CAMERA_OPTIONS, Starts, parse_frames, prepare
from raygrad.formats import InputError, line_integrals, read_stack, read_xray, read_xrays

PIXELS = np.array([[100, 4000, 1200], [1000, 2000, 3000]], dtype=np.uint16)
RUN = np.stack([PIXELS // 4, PIXELS, PIXELS // 2])
INTENSITY = {"PixelIntensityRelationship": "LIN", "PixelIntensityRelationshipSign": 1}


# --- pixels


@pytest.mark.parametrize("kind", [kind for kind in CLASSES if kind != "X-ray 3D"])
def test_every_class_is_read_as_it_is_stored(tmp_path, kind):
    found = read_xray(save_dicom(tmp_path / "a.dcm", PIXELS, kind))
    np.testing.assert_array_equal(found.pixels, PIXELS)
    assert found.full_scale == 4095
    assert found.frame is None
    assert found.mask is None


def test_reconstructed_volumes_are_no_xrays(tmp_path):
    path = save_dicom(tmp_path / "a.dcm", RUN, "X-ray 3D")
    with pytest.raises(InputError, match=r"a\.dcm', which is a reconstructed volume"):
        read_xray(path, 1)


def test_signed_numbers_and_bits_beside_the_stored_ones(tmp_path):
    signed = PIXELS.astype(np.int16) - 2048
    path = save_dicom(tmp_path / "a.dcm", signed, **INTENSITY)
    found = read_xray(path)
    np.testing.assert_array_equal(found.pixels, signed)
    assert found.full_scale == 2047
    # offset binary: the least integer is no X-rays at all
    expected = read_xray(save_dicom(tmp_path / "b.dcm", PIXELS, **INTENSITY))
    np.testing.assert_allclose(line_integrals(found), line_integrals(expected), rtol=1e-5)
    np.testing.assert_allclose(read_stack(path).images[0], read_stack(tmp_path / "b.dcm").images[0], rtol=1e-5)
    turned_over = INTENSITY | {"PixelIntensityRelationshipSign": -1}
    found = read_xray(save_dicom(tmp_path / "d.dcm", (4095 - PIXELS).astype(np.int16) - 2048, **turned_over))
    np.testing.assert_allclose(line_integrals(found), line_integrals(expected), rtol=1e-5)
    overlay = PIXELS | np.uint16(0xA000)
    with pytest.warns(UserWarning, match="have more than the 12 bits"):  # no element says that it is one
        np.testing.assert_array_equal(read_xray(save_dicom(tmp_path / "c.dcm", overlay)).pixels, PIXELS)


def test_rescaling_of_all_and_of_single_frames(tmp_path):
    found = read_xray(save_dicom(tmp_path / "a.dcm", PIXELS, "CR", RescaleSlope=2, RescaleIntercept=-7))
    np.testing.assert_array_equal(found.pixels, 2.0 * PIXELS - 7)
    per_frame = [
        {"PixelValueTransformationSequence": [{"RescaleSlope": slope, "RescaleIntercept": 5}]} for slope in (1, 2, 3)
    ]
    path = save_dicom(tmp_path / "b.dcm", RUN, "enhanced XA", PerFrameFunctionalGroupsSequence=per_frame)
    for number in (1, 2, 3):
        np.testing.assert_array_equal(read_xray(path, number).pixels, number * RUN[number - 1].astype(float) + 5)


def test_tables_of_the_modality(tmp_path):
    data = (60000 - np.arange(4096)).astype("<u2").tobytes()
    table = {"LUTDescriptor": [4096, 0, 16], "ModalityLUTType": "US", "LUTData": data}
    header = {"ModalityLUTSequence": [table]}
    found = read_xray(save_dicom(tmp_path / "a.dcm", PIXELS, "CR", **header))
    np.testing.assert_array_equal(found.pixels, 60000.0 - PIXELS)
    # where the header says what is stored, the way to something else is left alone
    header["PixelIntensityRelationship"] = "LOG"
    found = read_xray(save_dicom(tmp_path / "b.dcm", PIXELS, "XA", **header))
    np.testing.assert_array_equal(found.pixels, PIXELS)
    assert found.values == "inverted-display"


def test_grey_pictures_captured_in_colour(tmp_path):
    path = save_dicom(tmp_path / "a.dcm", (PIXELS // 16).astype(np.uint8), "SC", bits=8)
    dataset = pydicom.dcmread(path)

    def save_colours(photometric, others):
        dataset.SamplesPerPixel, dataset.PhotometricInterpretation, dataset.PlanarConfiguration = 3, photometric, 0
        dataset.PixelData = np.stack([PIXELS // 16, others, others], axis=-1).astype(np.uint8).tobytes()
        dataset.save_as(path)
        return path

    for photometric, others in (("RGB", PIXELS // 16), ("YBR_FULL", np.full_like(PIXELS, 128))):
        np.testing.assert_array_equal(read_xray(save_colours(photometric, others)).pixels, PIXELS // 16)
    with pytest.raises(InputError, match=r"one grey value .*a\.dcm', which is a colour image"):
        read_xray(save_colours("RGB", PIXELS // 17))


def test_compressed_pixels_without_a_word_on_the_terminal(tmp_path, capfd):
    pixels = np.tile(PIXELS, (40, 30))  # ITK's JPEG 2000 wants some
    picture = sitk.GetImageFromArray(pixels)
    picture.SetMetaData("0008|0060", "XA")
    writer = sitk.ImageFileWriter()
    writer.SetFileName(str(tmp_path / "a.dcm"))
    for compressor in ("JPEG2000", "JPEG"):
        writer.SetUseCompression(True)
        writer.SetCompressor(compressor)
        writer.Execute(picture)
        capfd.readouterr()
        assert pydicom.dcmread(tmp_path / "a.dcm").file_meta.TransferSyntaxUID.is_compressed
        np.testing.assert_array_equal(read_xray(tmp_path / "a.dcm").pixels, pixels)
        assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("syntax", [pydicom.uid.RLELossless, pydicom.uid.DeflatedExplicitVRLittleEndian])
@pytest.mark.parametrize("offset", [0, 2048])
def test_signed_and_unsigned_runs_however_they_are_packed(tmp_path, syntax, offset):
    run = RUN if offset == 0 else RUN.astype(np.int16) - offset
    dataset = pydicom.dcmread(save_dicom(tmp_path / "a.dcm", run, "XA"))
    if syntax.is_encapsulated:
        dataset.compress(syntax)
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.save_as(tmp_path / "a.dcm")
    np.testing.assert_array_equal([xray.pixels for xray in read_xrays(tmp_path / "a.dcm")], run)


@pytest.mark.parametrize("length", [100, 300, 500, -10])
def test_files_that_end_too_early_are_told(tmp_path, length):
    path = save_dicom(tmp_path / "a.dcm", RUN, "XA")
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(InputError, match=r"a\.dcm"):
        read_xray(path, 1)


def test_files_without_a_preamble(tmp_path):
    dataset = pydicom.dcmread(save_dicom(tmp_path / "a.dcm", PIXELS))
    del dataset.file_meta
    dataset.preamble = None
    dataset.save_as(tmp_path / "1.2.3", implicit_vr=True, little_endian=True)
    np.testing.assert_array_equal(read_xray(tmp_path / "1.2.3").pixels, PIXELS)


# --- frames


def test_one_frame_of_several(tmp_path):
    path = save_dicom(tmp_path / "run.dcm", RUN, "XA", **INTENSITY)
    np.testing.assert_array_equal(read_xray(path, 3).pixels, RUN[2])
    np.testing.assert_array_equal(read_xray(path, "mean").pixels, RUN.astype(np.float32).mean(axis=0))
    assert read_xray(path, "least-dense").pixels[0, 1] == 4000  # the brightest intensities
    assert read_xray(path, "least-dense", values="line-integrals").pixels[0, 1] == 1000
    assert read_xray(path, 3).name == "run.dcm, frame 3"
    with pytest.raises(InputError, match=r"has 3 frames.*number from 1 to 3"):
        read_xray(path)
    for frame, reason in ((0, "1 to 3"), (4, "1 to 3"), ("median", "median"), (True, "True")):
        with pytest.raises(InputError, match=reason):
            read_xray(path, frame)
    np.testing.assert_array_equal(read_stack(path, "line-integrals").images, RUN)


def test_several_frames_are_several_xrays(tmp_path):
    path = save_dicom(tmp_path / "run.dcm", RUN, "XA")
    for frames, numbers in (("all", [1, 2, 3]), (range(2, 4), [2, 3]), ([3, 1], [3, 1])):
        found = read_xrays(path, frames)
        assert [xray.frame for xray in found] == numbers
        for xray, number in zip(found, numbers, strict=True):
            np.testing.assert_array_equal(xray.pixels, RUN[number - 1])
    with pytest.raises(InputError, match="1 to 3"):
        read_xrays(path, range(3))
    assert [parse_frames(text) for text in ("2", "2:3", "all", "mean")] == [2, range(2, 4), "all", "mean"]
    for text in ("0", "3:2", "1:2:3", "first", ":2"):
        with pytest.raises(InputError, match="--frame takes a number"):
            parse_frames(text)


def test_frames_become_tasks_of_the_command(tmp_path):
    header = {"DistanceSourceToDetector": 1000, "ImagerPixelSpacing": [0.5, 0.25], "DistanceSourceToPatient": 700}
    run = save_dicom(tmp_path / "run.dcm", RUN, "XA", **header)
    one = save_dicom(tmp_path / "one.dcm", PIXELS, "XA", **header)
    camera = dict.fromkeys(CAMERA_OPTIONS)
    tasks = prepare([run], Starts(rotation=["0,0,0"] * 2), camera, frames=["2:3"])
    assert [task.view.xray for task in tasks] == ["run.dcm, frame 2", "run.dcm, frame 3"]
    tasks = prepare([run, one], Starts(rotation=["0,0,0"] * 2), camera, frames=["mean", "1"])
    assert [task.view.xray for task in tasks] == ["run.dcm, mean frame", "one.dcm"]
    assert tasks[0].view.intrinsics.dely == 0.5


# --- what the numbers mean


@pytest.mark.parametrize(
    ("kind", "header", "values", "bone"),
    [
        ("XA", {}, "inverted-display", "low"),
        ("RF", {}, "inverted-display", "low"),
        ("enhanced XA", {}, "inverted-display", "low"),
        ("XA", {"PhotometricInterpretation": "MONOCHROME1"}, "display", "low"),
        ("XA", {"PixelIntensityRelationship": "DISP"}, "inverted-display", "low"),
        ("XA", {"PixelIntensityRelationship": "LIN"}, "intensity", "low"),
        ("XA", {"PixelIntensityRelationship": "LOG"}, "inverted-display", "low"),
        ("SC", {"Modality": "XA"}, "inverted-display", "low"),
        ("SC", {}, "display", "high"),
        ("CR", {}, "display", "high"),
        ("CR", {"PhotometricInterpretation": "MONOCHROME1"}, "display", "low"),
        ("CR", {"PresentationLUTShape": "INVERSE"}, "display", "low"),
        ("DX", {"PhotometricInterpretation": "MONOCHROME1", "PresentationLUTShape": "INVERSE"}, "display", "low"),
        ("DX", INTENSITY, "intensity", "low"),
        ("DX", INTENSITY | {"PixelIntensityRelationshipSign": -1}, "inverted-intensity", "high"),
        ("MG", {"PixelIntensityRelationship": "LOG", "PixelIntensityRelationshipSign": -1}, "line-integrals", "high"),
        (
            "DX",
            INTENSITY | {"PresentationIntentType": "FOR PRESENTATION", "PhotometricInterpretation": "MONOCHROME1"},
            "display",
            "low",
        ),
        ("DX", INTENSITY | {"PresentationIntentType": "FOR PROCESSING"}, "intensity", "low"),
        ("RTIMAGE", {}, "display", "high"),
        ("RTIMAGE", INTENSITY, "intensity", "low"),
        # a slope below 0 turns the relationship of what is stored over
        (
            "RTIMAGE",
            INTENSITY | {"PixelIntensityRelationshipSign": -1, "RescaleSlope": -1, "RescaleIntercept": 4095},
            "intensity",
            "high",
        ),
    ],
)
def test_what_numbers_mean_by_class_and_header(tmp_path, kind, header, values, bone):
    found = read_xray(save_dicom(tmp_path / "a.dcm", PIXELS, kind, **header))
    assert found.values == values
    densest = PIXELS.flat[line_integrals(found).argmax()]
    assert densest == {"low": 100, "high": 4000}[bone]


@pytest.mark.parametrize(("photometric", "shown_bright"), [("MONOCHROME1", 100), ("MONOCHROME2", 4000)])
@pytest.mark.parametrize("kind", ["XA", "DX"])
def test_what_the_user_says_is_about_what_is_shown(tmp_path, kind, photometric, shown_bright):
    found = read_xray(save_dicom(tmp_path / "a.dcm", PIXELS, kind, PhotometricInterpretation=photometric))
    assert PIXELS.flat[line_integrals(found, "display").argmax()] == shown_bright
    assert PIXELS.flat[line_integrals(found, "inverted-display").argmax()] == 4100 - shown_bright


def test_the_relationship_in_enhanced_files(tmp_path):
    properties = {"PixelIntensityRelationship": "LOG", "PixelIntensityRelationshipSign": -1}
    shared = [{"FramePixelDataPropertiesSequence": [properties]}]
    path = save_dicom(tmp_path / "a.dcm", PIXELS, "enhanced XA", SharedFunctionalGroupsSequence=shared)
    assert read_xray(path).values == "line-integrals"


def test_headers_that_contradict_themselves_are_told(tmp_path):
    header = INTENSITY | {"PresentationIntentType": "FOR PRESENTATION"}
    path = save_dicom(tmp_path / "a.dcm", PIXELS, **header)
    with pytest.warns(UserWarning, match=r"a\.dcm' is made to be looked at.*shows bone dark"):
        found = read_xray(path)
    assert PIXELS.flat[line_integrals(found).argmax()] == 4000


def test_turned_over_intensities_of_fewer_bits_than_the_file_has(tmp_path):
    integrals = np.linspace(0, 3, 24).reshape(4, 6)
    counts = np.round(4000 * np.exp(-integrals))
    for bits, top in ((16, 4095), (12, 4095), (16, 65535)):
        inverted = (top - counts * (top / 4095)).round().astype(np.uint16)
        header = INTENSITY | {"PixelIntensityRelationshipSign": -1}
        found = line_integrals(read_xray(save_dicom(tmp_path / "a.dcm", inverted, bits=bits, **header)))
        np.testing.assert_allclose(found - found[0, 0], integrals, atol=5e-3)  # counts are whole numbers


# --- lengths


CALIBRATED = {"PixelSpacing": [0.1, 0.2], "PixelSpacingCalibrationType": "GEOMETRY"}


@pytest.mark.parametrize(
    ("kind", "header", "spacing"),
    [
        ("DX", {"ImagerPixelSpacing": [0.25, 0.5]}, (0.5, 0.25)),
        ("DX", {"ImagerPixelSpacing": [0.25, 0.5], **CALIBRATED}, (0.5, 0.25)),
        ("XA", {"ImagerPixelSpacing": [0.25, 0.5], "PixelSpacing": [0.1, 0.2]}, (0.5, 0.25)),
        ("CR", {"PixelSpacing": [0.1, 0.2]}, (0.2, 0.1)),
        ("CR", {"PixelSpacing": [0, 0]}, None),
        ("CR", {"ImagerPixelSpacing": [0, 0], "PixelSpacing": [0.1, 0.2]}, (0.2, 0.1)),
        ("CR", {**CALIBRATED, "EstimatedRadiographicMagnificationFactor": 1.5}, (0.3, 0.15)),
        ("SC", {"NominalScannedPixelSpacing": [0.1, 0.2], "PixelSpacing": [1, 1]}, (0.2, 0.1)),
        ("RTIMAGE", {"ImagePlanePixelSpacing": [0.25, 0.5], "RTImageSID": 1500}, (0.5, 0.25)),
    ],
)
def test_pixels_are_measured_at_the_detector(tmp_path, kind, header, spacing):
    found = read_xray(save_dicom(tmp_path / "a.dcm", PIXELS, kind, **header))
    assert found.spacing == (None if spacing is None else pytest.approx(spacing))


def test_angiograms_have_a_spacing_of_their_own(tmp_path):
    path = save_dicom(tmp_path / "a.dcm", PIXELS, "XA", PixelSpacing=[0.1, 0.2])
    with pytest.warns(UserWarning, match=r"a\.dcm': its PixelSpacing of 0.2 x 0.1 mm is taken for the detector's"):
        assert read_xray(path).spacing == (0.2, 0.1)


@pytest.mark.parametrize("calibration", ["GEOMETRY", "FIDUCIAL"])
def test_pixels_measured_in_the_patient_are_not_taken_for_the_detectors(tmp_path, calibration):
    header = {"PixelSpacing": [0.1, 0.2], "PixelSpacingCalibrationType": calibration}
    path = save_dicom(tmp_path / "a.dcm", PIXELS, "CR", **header)
    with pytest.warns(UserWarning, match=r"a\.dcm': its PixelSpacing of 0.2 x 0.1 mm .*in the patient.*give delx"):
        assert read_xray(path).spacing is None
    camera = dict.fromkeys(CAMERA_OPTIONS) | {"sdd": 1000.0, "delx": 0.3, "dely": 0.2}
    (task,) = prepare([path], Starts(), camera)  # who has given it is not told to
    assert (task.view.intrinsics.delx, task.view.intrinsics.dely) == (0.3, 0.2)


def test_distances(tmp_path):
    header = {"RTImageSID": 1500, "RadiationMachineSAD": 1000, "ImagePlanePixelSpacing": [1, 1]}
    found = read_xray(save_dicom(tmp_path / "a.dcm", PIXELS, "RTIMAGE", **header))
    assert (found.sdd, found.source_to_patient) == (1500, 1000)
    # the pixels are as large as that on the image plane, wherever the detector stands
    found = read_xray(save_dicom(tmp_path / "a.dcm", PIXELS, "RTIMAGE", DistanceSourceToDetector=1400, **header))
    assert found.sdd == 1500
    found = read_xray(
        save_dicom(tmp_path / "b.dcm", PIXELS, "XA", DistanceSourceToDetector=0, DistanceSourceToPatient=0)
    )
    assert (found.sdd, found.source_to_patient) == (None, None)


def test_lengths_in_enhanced_files(tmp_path):
    def groups(sdd):
        geometry = {"DistanceSourceToDetector": sdd, "DistanceSourceToIsocenter": 750}
        return {
            "XRayGeometrySequence": [geometry],
            "FramePixelDataPropertiesSequence": [{"ImagerPixelSpacing": [0.25, 0.5]}],
        }

    path = save_dicom(tmp_path / "a.dcm", RUN, "enhanced XA", SharedFunctionalGroupsSequence=[groups(1200)])
    found = read_xray(path, 1)
    assert (found.spacing, found.sdd, found.source_to_patient) == ((0.5, 0.25), 1200, 750)
    per_frame = [groups(sdd) for sdd in (1000, 1100, 1200)]
    path = save_dicom(tmp_path / "b.dcm", RUN, "enhanced XA", PerFrameFunctionalGroupsSequence=per_frame)
    assert [xray.sdd for xray in read_xrays(path)] == [1000, 1100, 1200]
    assert read_xray(path, 2).spacing == (0.5, 0.25)
    assert read_xray(path, "mean").sdd is None


# --- files as they were found


def test_real_files():
    folder = real_data("xray_dicom")
    expected = {
        "CR-ModalitySequenceLUT.dcm": ("display", True, (0.15, 0.15), None),
        "HasFragmentSequence.dcm": ("intensity", False, None, None),
        "RG1_J2KI.dcm": ("display", True, None, 1996.0),
        "RI6XDosiGap.dcm": ("intensity", False, (0.392, 0.392), 1500.03301807881),
        "XA1_JPLL.dcm": ("inverted-display", False, None, None),
        "dx_fuji.dcm": ("display", True, (1.201199999999, 1.2), 1000.0),
    }
    for name, (values, bone_is_low, spacing, sdd) in expected.items():
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            found = read_xray(folder / name, 50 if name.startswith("Has") else None)
        assert len(caught) == (name == "RG1_J2KI.dcm")  # a collimator at columns -184 to 184
        assert (found.values, found.bone_is_low, found.spacing, found.sdd) == (values, bone_is_low, spacing, sdd)
        dark = found.pixels.flatten().argmin()
        assert line_integrals(found).flatten()[dark] == line_integrals(found).max()
