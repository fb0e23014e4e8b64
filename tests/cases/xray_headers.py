"""DICOM headers of X-rays, and where a C-arm or treatment machine draws a point, worked out without raygrad."""

import numpy as np
import pydicom
from pydicom.valuerep import DS

STORAGE = "1.2.840.10008.5.1.4.1.1."
XA, ENHANCED_XA, RT_IMAGE, DX = "12.1", "12.1.1", "481.1", "1.1"


def save_header(path, sop=XA, rows=40, columns=60, **elements):
    """A file of nothing but a header; lists become sequences of datasets where their members are mappings."""
    dataset = as_dataset({"SOPClassUID": STORAGE + sop, "Rows": rows, "Columns": columns} | elements)
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = elements.get("SOPInstanceUID", "1.2.3.4")
    dataset.save_as(path, enforce_file_format=True)
    return path


def as_dataset(elements):
    dataset = pydicom.Dataset()
    for keyword, value in elements.items():
        vr = pydicom.datadict.dictionary_VR(keyword)
        if vr == "SQ":
            value = [as_dataset(item) for item in value]
        elif vr == "DS" and value is not None:
            several = isinstance(value, (list, tuple, np.ndarray))
            value = [DS(float(v), auto_format=True) for v in (value if several else [value])]
            value = value if several else value[0]
        setattr(dataset, keyword, value)
    return dataset


def turned(points, axis, degrees):
    """Rodrigues' formula: points turned about an axis by the right-hand rule."""
    axis, angle = np.asarray(axis, float) / np.linalg.norm(axis), np.deg2rad(degrees)
    points = np.asarray(points, float)
    along = (points @ axis)[..., None] * axis
    return points * np.cos(angle) + np.cross(axis, points) * np.sin(angle) + along * (1 - np.cos(angle))


def c_arm(primary, secondary, sod, sid):
    """Source, detector's middle, and where columns and rows increase: a C-arm in the patient's LPS, isocentre at 0.

    It begins below a supine patient, with the detector above the chest, and the image is seen from there, head up. Then
    the detector goes towards the head (secondary), and with the whole arm towards the patient's left (primary).
    """
    parts = np.array([[0, sod, 0], [0, sod - sid, 0], [1, 0, 0], [0, 0, -1]], float)
    left, head = [1, 0, 0], [0, 0, 1]
    assert turned([0, -1, 0], left, -90)[2] > 0.99  # the front goes to the head
    assert turned([0, -1, 0], head, 90)[0] > 0.99  # the front goes to the left
    return turned(turned(parts, left, -secondary), head, primary)


def on_plane(points, source, middle, across, along):
    """Shadows of points on the plane, in mm from its middle along two unit vectors in it."""
    normal = np.cross(across, along)
    rays = points - source
    hits = source + rays * ((middle - source) @ normal / (rays @ normal))[:, None]
    return np.stack([(hits - middle) @ across, (hits - middle) @ along], axis=-1)


def field_of_view(detector_shape, origin, shape, rotation, flip):
    """Which physical pixel (row, column) each stored pixel is: cut out, turned clockwise, mirrored."""
    rows, columns = shape if rotation % 180 == 0 else shape[::-1]
    physical = np.stack(np.indices(detector_shape), -1)
    part = physical[origin[0] : origin[0] + rows, origin[1] : origin[1] + columns]
    stored = np.rot90(part, -rotation // 90)
    return stored[:, ::-1] if flip else stored
