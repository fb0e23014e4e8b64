"""Structures as tools for segmentation save them: Slicer's NRRD, DICOM segmentations, RT structure sets."""

import gzip

import numpy as np
from dicom_files import AXIAL, FRAME_OF_REFERENCE, ROOT, add_macro, image_of, write
from pydicom.dataset import Dataset
from pydicom.pixels.utils import pack_bits
from pydicom.uid import RTStructureSetStorage, SegmentationStorage

LABEL_MAP_SEGMENTATION_STORAGE = "1.2.840.10008.5.1.4.1.1.66.7"  # pydicom 3.0 does not know it
LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


def write_slicer(path, layers, affine, segments):
    """Layers (layer, x, y, z) of uint8 on a grid in RAS+; segments are dicts of keys such as Name and LabelValue."""
    voxel_to_lps = LPS @ affine
    directions = [f"({','.join(f'{value:.12g}' for value in voxel_to_lps[:3, axis])})" for axis in range(3)]
    sizes, kinds = list(layers.shape[1:]), ["domain"] * 3
    if len(layers) > 1:
        directions, sizes, kinds = ["none", *directions], [len(layers), *sizes], ["list", *kinds]
    header = [
        "NRRD0004",
        "type: unsigned char",
        f"dimension: {len(sizes)}",
        "space: left-posterior-superior",
        f"sizes: {' '.join(map(str, sizes))}",
        f"space directions: {' '.join(directions)}",
        f"kinds: {' '.join(kinds)}",
        "encoding: gzip",
        f"space origin: ({','.join(f'{value:.12g}' for value in voxel_to_lps[:3, 3])})",
        *(f"Segment{n}_{key}:={value}" for n, keys in enumerate(segments) for key, value in keys.items()),
    ]
    voxels = layers.astype(np.uint8).transpose(3, 2, 1, 0).tobytes()
    path.write_bytes("\n".join(header).encode() + b"\n\n" + gzip.compress(voxels))
    return path


def write_seg(path, frames, segments, positions, names, kind="BINARY", spacing=(2.0, 1.5), step=None):
    """A DICOM segmentation of frames (frame, row, column), each of a segment at a position."""
    labels = kind == "LABELMAP"
    dataset = image_of(frames.astype(np.uint8), LABEL_MAP_SEGMENTATION_STORAGE if labels else SegmentationStorage, "98")
    dataset.Modality, dataset.SegmentationType, dataset.SeriesInstanceUID = "SEG", kind, f"{ROOT}.81"
    if kind == "BINARY":
        dataset.BitsAllocated = dataset.BitsStored = 1
        dataset.HighBit = 0
        dataset.PixelData = pack_bits(frames.astype(np.uint8))
    if kind == "FRACTIONAL":
        dataset.MaximumFractionalValue = 200
    dataset.SegmentSequence = []
    for number, name in names.items():
        item = Dataset()
        item.SegmentNumber, item.SegmentLabel = number, name
        dataset.SegmentSequence.append(item)
    shared, groups = Dataset(), [Dataset() for _ in frames]
    add_macro(shared, "PlaneOrientationSequence", ImageOrientationPatient=AXIAL)
    measures = {"PixelSpacing": spacing} | ({} if step is None else {"SpacingBetweenSlices": step})
    add_macro(shared, "PixelMeasuresSequence", **measures)
    for group, position, segment in zip(groups, positions, segments, strict=True):
        add_macro(group, "PlanePositionSequence", ImagePositionPatient=position)
        if not labels:
            add_macro(group, "SegmentIdentificationSequence", ReferencedSegmentNumber=segment)
    dataset.SharedFunctionalGroupsSequence, dataset.PerFrameFunctionalGroupsSequence = [shared], groups
    return write(dataset, path)


def write_rtstruct(path, structures, names, kind="CLOSED_PLANAR"):
    """An RT structure set; structures are lists of polygons (point, 3) in LPS+ mm, by number."""
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = RTStructureSetStorage, f"{ROOT}.1.99"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID, dataset.Modality = f"{ROOT}.9", f"{ROOT}.82", "RTSTRUCT"
    dataset.StructureSetROISequence, dataset.ROIContourSequence = [], []
    for number, name in names.items():
        roi, contours = Dataset(), Dataset()
        roi.ROINumber, roi.ROIName, roi.ReferencedFrameOfReferenceUID = number, name, FRAME_OF_REFERENCE
        contours.ReferencedROINumber, contours.ContourSequence = number, []
        for polygon in structures.get(number, []):
            item = Dataset()
            item.ContourGeometricType, item.NumberOfContourPoints = kind, len(polygon)
            item.ContourData = [f"{value:.10g}" for value in np.ravel(polygon)]
            contours.ContourSequence.append(item)
        dataset.StructureSetROISequence.append(roi)
        dataset.ROIContourSequence.append(contours)
    return write(dataset, path)
