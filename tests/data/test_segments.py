"""Structures from the files of tools for segmentation: the right voxels, numbers and names, overlaps too."""

import copy

import numpy as np
import pytest
import SimpleITK as sitk
from dicom_files import write, write_series
from image_files import affine_of, rotated, save
from matplotlib.path import Path as Polygon
from pydicom import dcmread
from real_files import real_data
from segmentation_files import write_rtstruct, write_seg, write_slicer

from raygrad.data import Volume, read, read_volume
from raygrad.data._rtstruct import fill

rng = np.random.default_rng(0)
SHAPE = (7, 6, 5)
HU = rng.integers(-1000, 1000, SHAPE).astype(np.int16)
AFFINE = rotated(20) @ affine_of("LPS")
BACKGROUND = {0: "background"}


def mask_of(subject, ct=None):
    """The mask in the axes of the CT as it was given."""
    flips = [axis for axis, letter in enumerate((ct or Volume(HU, AFFINE)).orientation) if letter in "LPI"]
    return subject.mask.voxels.flip(flips).numpy()


def refused(labelmap, *words, **options):
    with pytest.raises(ValueError, match=labelmap.name) as raised:
        read(Volume(HU, AFFINE), labelmap, **options)
    for word in words:
        assert word in str(raised.value)


# 3D Slicer


def test_segments_of_one_layer(tmp_path):
    labels = rng.integers(0, 4, (1, *SHAPE))
    segments = [{"ID": f"S{n}", "Name": f"rib {n}", "LabelValue": n, "Layer": 0} for n in (3, 1)]
    subject = read(Volume(HU, AFFINE), write_slicer(tmp_path / "a.seg.nrrd", labels, AFFINE, segments))
    assert subject.structures == BACKGROUND | {3: "rib 3", 1: "rib 1"}
    np.testing.assert_array_equal(mask_of(subject), np.where(labels[0] == 2, 0, labels[0]))  # 2 is no segment
    named = read(Volume(HU, AFFINE), tmp_path / "a.seg.nrrd", structures={1: "mine"})
    assert named.structures == {1: "mine"}


def overlapping(path):
    """Two layers: 1 and 2, and over them another 1, which becomes 3."""
    layers = np.zeros((2, *SHAPE), int)
    layers[0, :4], layers[0, 4:6] = 1, 2
    layers[1, 3:5, 2:4] = 1
    segments = [
        {"Name": "a", "LabelValue": 1, "Layer": 0},
        {"Name": "b", "LabelValue": 2, "Layer": 0},
        {"Name": "c", "LabelValue": 1, "Layer": 1},
    ]
    return write_slicer(path, layers, AFFINE, segments), layers


def test_overlapping_segments_are_the_smallest_ones_or_whole(tmp_path):
    path, layers = overlapping(tmp_path / "a.seg.nrrd")
    with pytest.warns(UserWarning, match="20 voxels that several have"):
        subject = read(Volume(HU, AFFINE), path)
    assert subject.structures == BACKGROUND | {1: "a", 2: "b", 3: "c"}
    np.testing.assert_array_equal(mask_of(subject), np.where(layers[1] > 0, 3, layers[0]))
    for label, expected in {1: layers[0] == 1, 2: layers[0] == 2, 3: layers[1] == 1}.items():
        subject = read(Volume(HU, AFFINE), path, labels=label)
        np.testing.assert_array_equal(mask_of(subject), label * expected)
        np.testing.assert_array_equal(subject.volume.data != 0, (subject.mask.data > 0) & (subject.volume.data != 0))
    with pytest.raises(ValueError, match=r"out of 0 \(background\), 1 \(a\), 2 \(b\), 3 \(c\)\. Got \[7, 9\]"):
        read(Volume(HU, AFFINE), path, labels=[9, 7])


def test_a_layer_for_each_segment(tmp_path):
    layers = rng.integers(0, 2, (2, *SHAPE))
    layers[1] &= 1 - layers[0]
    path = write_slicer(tmp_path / "old.seg.nrrd", layers, AFFINE, [{"ID": "one"}, {"ID": "two"}])
    subject = read(Volume(HU, AFFINE), path)
    assert subject.structures == BACKGROUND | {1: "one", 2: "two"}
    np.testing.assert_array_equal(mask_of(subject), layers[0] + 2 * layers[1])


def test_headers_of_segments_that_lie(tmp_path):
    labels = np.ones((1, *SHAPE))
    for n, segment in enumerate([{"Layer": 1}, {"Layer": -1}, {"LabelValue": 0}, {"LabelValue": "x"}]):
        refused(write_slicer(tmp_path / f"{n}.seg.nrrd", labels, AFFINE, [{"Name": "a", **segment}]), "'a'")


def test_real_segmentations_of_slicer():
    folder = real_data("ct_slicer")
    path = folder / "SegmentationOverlapping.seg.nrrd"
    array = sitk.GetArrayFromImage(sitk.ReadImage(str(path)))
    with pytest.warns(UserWarning, match="15514 voxels"):
        subject = read(folder / "CTChest4.nrrd", path)
    assert (subject.structures[1], subject.structures[8]) == ("ribs", "overlapping sphere")
    for label in (4, 7, 8):
        found = read(folder / "CTChest4.nrrd", path, labels=label).mask.data
        expected = (array[..., 0] == label).sum() if label < 8 else (array[..., 1] == 1).sum()
        assert (found == label).sum() == expected


# DICOM segmentations

ROWS, COLUMNS = 4, 6
POSITIONS = [(-10.0, 20.0, 3.0 * k) for k in range(5)]


def ct_of(folder):
    stored = rng.integers(1000, 2000, (5, ROWS, COLUMNS)).astype(np.uint16)
    return write_series(folder, stored, POSITIONS), (COLUMNS, ROWS, 5)


@pytest.mark.parametrize("kind", ["BINARY", "FRACTIONAL"])
def test_frames_of_a_segmentation_fall_on_their_slices(tmp_path, kind):
    folder, shape = ct_of(tmp_path / "ct")
    frames = rng.integers(0, 2, (4, ROWS, COLUMNS))
    frames[3] &= 1 - frames[0]
    at, segments = [3, 1, 4, 3], [2, 300, 2, 300]
    stored = rng.integers(0, 100, frames.shape) + 100 * frames if kind == "FRACTIONAL" else frames
    positions = [POSITIONS[k] for k in at]
    write_seg(folder / "seg.dcm", stored, segments, positions, {2: "liver", 300: "spleen"}, kind)
    expected = np.zeros(shape, int)
    for frame, k, segment in zip(frames, at, segments, strict=True):
        expected[:, :, k][frame.T > 0] = segment
    subject = read(folder, folder / "seg.dcm")
    assert subject.structures == BACKGROUND | {2: "liver", 300: "spleen"}
    ct = Volume(expected, np.diag([-1.0, -1, 1, 1]))
    np.testing.assert_array_equal(mask_of(subject, ct), expected)
    np.testing.assert_array_equal(mask_of(read(folder, folder), ct), expected)  # the one beside the slices


def test_planes_that_are_left_out_are_empty(tmp_path):
    folder, shape = ct_of(tmp_path / "ct")
    frames = np.ones((2, ROWS, COLUMNS))
    path = write_seg(tmp_path / "a.dcm", frames, [1, 1], [POSITIONS[0], POSITIONS[3]], {1: "a"}, step=3.0)
    filled = read(folder, path).mask.voxels.flatten(0, 1).any(0)
    assert filled.tolist() == [True, False, False, True, False]
    path = write_seg(tmp_path / "b.dcm", frames[:1], [1], POSITIONS[2:3], {1: "a"}, step=3.0)
    filled = read(folder, path).mask.voxels.flatten(0, 1).any(0)
    assert filled.tolist() == [False, False, True, False, False]
    positions = [(-10, 20, z) for z in (0, 3, 7.5)]
    path = write_seg(tmp_path / "c.dcm", np.ones((3, ROWS, COLUMNS)), [1] * 3, positions, {1: "a"})
    with pytest.raises(ValueError, match=r"even steps.*c\.dcm"):
        read(folder, path)


def test_segments_of_labels_and_segments_that_overlap(tmp_path):
    folder, shape = ct_of(tmp_path / "ct")
    labels = rng.integers(0, 3, (5, ROWS, COLUMNS))
    ct = Volume(np.zeros(shape), np.diag([-1.0, -1, 1, 1]))
    path = write_seg(tmp_path / "labels.dcm", labels, [0] * 5, POSITIONS, {1: "a", 2: "b"}, "LABELMAP")
    np.testing.assert_array_equal(mask_of(read(folder, path), ct), labels.T)
    frames = np.stack([np.ones((ROWS, COLUMNS)), np.eye(ROWS, COLUMNS)])
    path = write_seg(tmp_path / "over.dcm", frames, [1, 2], [POSITIONS[2]] * 2, {1: "a", 2: "b"}, step=3.0)
    with pytest.warns(UserWarning, match="4 voxels"):
        mask = mask_of(read(folder, path), ct)
    np.testing.assert_array_equal(mask[:, :, 2], (1 + np.eye(ROWS, COLUMNS)).T)
    np.testing.assert_array_equal(mask_of(read(folder, path, labels=1), ct)[:, :, 2], 1)


def test_segmentations_that_are_damaged(tmp_path):
    path = write_seg(tmp_path / "a.dcm", np.ones((2, ROWS, COLUMNS)), [1, 1], POSITIONS[:2], {1: "a"})
    whole = dcmread(path)

    def without(keyword, group=None):
        dataset = copy.deepcopy(whole)
        del (dataset if group is None else dataset[group][1])[keyword]
        return write(dataset, path)

    refused(without("PerFrameFunctionalGroupsSequence"), "described")
    refused(without("SegmentIdentificationSequence", "PerFrameFunctionalGroupsSequence"), "Frame 2 of a.dcm")
    refused(without("PlanePositionSequence", "PerFrameFunctionalGroupsSequence"), "frame 2 of a.dcm lacks")
    refused(without("PixelData"), "no pixels")
    far = [POSITIONS[0], POSITIONS[1], (-10, 20, 1e6)]
    refused(write_seg(path, np.ones((3, ROWS, COLUMNS)), [1] * 3, far, {1: "a"}), "frame 3 of a.dcm", "20000 planes")


def test_a_segmentation_is_not_taken_for_the_ct(tmp_path):
    folder, shape = ct_of(tmp_path / "ct")
    write_seg(folder / "seg.dcm", np.ones((5, ROWS, COLUMNS)), [1] * 5, POSITIONS, {1: "a"})
    write_rtstruct(folder / "rt.dcm", {}, {1: "a"})
    assert read_volume(folder).spatial_shape == shape
    with pytest.raises(ValueError, match=r"one file of structures.*rt\.dcm.*seg\.dcm"):
        read(folder, folder)
    with pytest.raises(ValueError, match="none \\(RT Structure Set"):
        read_volume(folder / "rt.dcm")


# RT structure sets


def test_filling_agrees_with_another_program():
    columns, rows = np.meshgrid(np.arange(30), np.arange(20))
    points = np.stack([columns.ravel(), rows.ravel()], 1)
    for seed in range(20):
        angles = np.sort(np.random.default_rng(seed).uniform(0, 2 * np.pi, 15))
        polygon = np.stack([np.cos(angles), np.sin(angles)], 1) * np.random.default_rng(seed).uniform(3, 20, (15, 1))
        polygon += (15.03, 9.02)
        expected = Polygon(polygon).contains_points(points).reshape(20, 30)
        np.testing.assert_array_equal(fill([polygon], (20, 30)), expected)
        np.testing.assert_array_equal(fill([polygon[::-1]], (20, 30)), expected)


def in_lps(polygon, plane, affine, across=2):
    """A polygon in voxels of the other two axes, in a plane across an axis, as points in LPS+ mm."""
    voxels = np.insert(np.asarray(polygon, float), across, plane, axis=1)
    return (voxels @ affine[:3, :3].T + affine[:3, 3]) * (-1, -1, 1)


OUTER = [(0.6, 0.6), (5.4, 0.6), (5.4, 4.4), (0.6, 4.4)]
INNER = [(1.6, 1.6), (3.4, 1.6), (3.4, 3.4), (1.6, 3.4)]


@pytest.mark.parametrize("across", [0, 1, 2])
@pytest.mark.parametrize("sheared", [False, True])
def test_contours_are_filled_on_the_planes_of_the_ct(tmp_path, across, sheared):
    affine = AFFINE.copy()
    if sheared:  # a tilted gantry
        affine[:3, 2] += 0.2 * affine[:3, 1]
    ct = Volume(HU, affine)
    polygons = [in_lps(OUTER, plane, affine, across) for plane in (1, 2)]
    polygons.append(in_lps(INNER, 2, affine, across))
    subject = read(ct, write_rtstruct(tmp_path / "rt.dcm", {4: polygons}, {4: "cord", 5: "empty"}))
    expected = np.zeros(SHAPE, int)
    planes = np.moveaxis(expected, across, 0)
    planes[1:3, 1:6, 1:5] = 4
    planes[2, 2:4, 2:4] = 0
    assert subject.structures == BACKGROUND | {4: "cord", 5: "empty"}
    np.testing.assert_array_equal(mask_of(subject, ct), expected)


def test_contours_at_every_second_slice_leave_no_gaps(tmp_path):
    ct = Volume(HU, AFFINE)
    path = write_rtstruct(tmp_path / "a.dcm", {1: [in_lps(OUTER, k, AFFINE) for k in (1, 3)]}, {1: "a"})
    assert mask_of(read(ct, path)).any((0, 1)).tolist() == [True, True, True, True, False]
    split = {1: [in_lps(OUTER, k, AFFINE) for k in (0, 4)], 2: [in_lps(OUTER, k, AFFINE) for k in (2, 3)]}
    path = write_rtstruct(tmp_path / "b.dcm", split, {1: "a", 2: "b"})
    assert mask_of(read(ct, path)).max((0, 1)).tolist() == [1, 0, 2, 2, 1]


def test_structures_within_each_other(tmp_path):
    both = {1: [in_lps(OUTER, 2, AFFINE)], 2: [in_lps(INNER, 2, AFFINE)]}
    path = write_rtstruct(tmp_path / "rt.dcm", both, {1: "body", 2: "heart"})
    with pytest.warns(UserWarning, match="4 voxels"):
        mask = mask_of(read(Volume(HU, AFFINE), path))[:, :, 2]
    assert (mask[3, 3], mask[1, 1], mask[0, 0]) == (2, 1, 0)
    body = mask_of(read(Volume(HU, AFFINE), path, labels=1))[:, :, 2]
    assert body[1:6, 1:5].all()


def test_contours_that_cannot_be_filled(tmp_path):
    oblique = in_lps(OUTER, 2, AFFINE) + np.array([[0, 0, 0], [0, 0, 4], [0, 0, 4], [0, 0, 0]])
    refused(write_rtstruct(tmp_path / "a.dcm", {1: [oblique]}, {1: "a"}), "oblique", "'a'")
    refused(write_rtstruct(tmp_path / "b.dcm", {}, {1: "a"}), "has none")
    refused(write_rtstruct(tmp_path / "c.dcm", {1: [oblique[:1]]}, {1: "a"}, kind="POINT"), "has none")
    refused(write_rtstruct(tmp_path / "d.dcm", {1: [in_lps(OUTER, 40, AFFINE)]}, {1: "a"}), "overlap the volume")
    path = write_rtstruct(tmp_path / "e.dcm", {1: [in_lps(OUTER, 2, AFFINE)]}, {1: "a"})
    dataset = dcmread(path)
    del dataset.ROIContourSequence[0].ContourSequence[0].ContourData[-1]
    write(dataset, path)
    refused(path, "finite points")


def test_other_labelmaps_have_no_names(tmp_path):
    labels = rng.integers(0, 4, SHAPE).astype(np.uint8)
    subject = read(Volume(HU, AFFINE), save(tmp_path / "plain.nrrd", labels, AFFINE))
    assert subject.structures is None
    np.testing.assert_array_equal(mask_of(subject), labels)
