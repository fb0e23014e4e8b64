"""Segmentations that highdicom writes are read voxel by voxel."""

import copy

import numpy as np
import pydicom
import pytest
from other_projects import import_peer
from pydicom.data import get_testdata_file
from pydicom.sr.codedict import codes

from raygrad.data import read

hd = import_peer("highdicom")
pytestmark = [
    pytest.mark.peers,
    pytest.mark.filterwarnings("ignore"),  # highdicom's and pydicom's own
]


@pytest.mark.parametrize("kind", ["BINARY", "FRACTIONAL", "LABELMAP"])
@pytest.mark.parametrize("compressed", [False, True])
def test_segmentations_of_highdicom(tmp_path, kind, compressed):
    if kind == "BINARY" and compressed:
        pytest.skip("there is no such file")
    slices = []
    for k in range(5):
        dataset = copy.deepcopy(pydicom.dcmread(get_testdata_file("CT_small.dcm")))
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = hd.UID()
        dataset.ImagePositionPatient = [-158.1, -179.0, -75.7 + 5 * k]
        (tmp_path / "ct").mkdir(exist_ok=True)
        dataset.save_as(tmp_path / "ct" / f"{k}.dcm")
        slices.append(dataset)
    labels = np.random.default_rng(0).integers(0, 3, (5, 128, 128)).astype(np.uint8)
    labels[1] = 0  # a plane that highdicom leaves out
    segments = [
        hd.seg.SegmentDescription(
            segment_number=number,
            segment_label=name,
            segmented_property_category=codes.cid7150.Tissue,
            segmented_property_type=codes.cid7166.ConnectiveTissue,
            algorithm_type=hd.seg.SegmentAlgorithmTypeValues.MANUAL,
        )
        for number, name in ((1, "a"), (2, "b"))
    ]
    syntax = pydicom.uid.RLELossless if compressed else pydicom.uid.ExplicitVRLittleEndian
    pixels = labels if kind == "LABELMAP" else np.stack([labels == 1, labels == 2], -1).astype(float)
    pixels = pixels.astype(np.uint8) if kind == "BINARY" else pixels
    about = (hd.UID(), 1, hd.UID(), 1, "maker", "model", "1", "1")
    segmentation = hd.seg.Segmentation(slices, pixels, kind, segments, *about, transfer_syntax_uid=syntax)
    segmentation.save_as(tmp_path / "seg.dcm")
    subject = read(tmp_path / "ct", tmp_path / "seg.dcm")
    assert (subject.structures[1], subject.structures[2]) == ("a", "b")
    np.testing.assert_array_equal(subject.mask.voxels.flip(0, 1).numpy().T, labels)
