"""X-ray images in DICOM files, written by pydicom with whatever header a test asks for."""

import pydicom
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

STORAGE = "1.2.840.10008.5.1.4.1.1."
CLASSES = {  # PS3.4, B.5
    "XA": "12.1",
    "enhanced XA": "12.1.1",
    "RF": "12.2",
    "enhanced XRF": "12.2.1",
    "CR": "1",
    "DX": "1.1",
    "MG": "1.2",
    "RTIMAGE": "481.1",
    "enhanced RTIMAGE": "481.23",
    "SC": "7",
    "X-ray 3D": "13.1.1",
    "breast projection": "13.1.4",
}
MODALITIES = {
    "enhanced XA": "XA",
    "enhanced XRF": "RF",
    "enhanced RTIMAGE": "RTIMAGE",
    "SC": "OT",
    "X-ray 3D": "XA",
    "breast projection": "MG",
}


def save_dicom(path, pixels, kind="DX", bits=12, **header):
    """Integers (row, column) or (frame, row, column), and a header of keywords; lists of dictionaries are sequences."""
    dataset = FileDataset(None, {}, preamble=bytes(128), file_meta=FileMetaDataset())
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID = STORAGE + CLASSES[kind]
    dataset.SOPInstanceUID = generate_uid(entropy_srcs=[path.name])
    dataset.Modality = MODALITIES.get(kind, kind)
    *frames, dataset.Rows, dataset.Columns = pixels.shape
    if frames:
        (dataset.NumberOfFrames,) = frames
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 8 * pixels.dtype.itemsize, bits, bits - 1
    dataset.PixelRepresentation = int(pixels.dtype.kind == "i")
    for keyword, value in header.items():
        setattr(dataset, keyword, as_sequence(value))
    dataset.PixelData = pixels.tobytes()
    dataset.save_as(path, enforce_file_format=True)
    return path


def as_sequence(value):
    if isinstance(value, list) and value and isinstance(value[0], dict):
        items = []
        for item in value:
            items.append(Dataset())
            for keyword, inner in item.items():
                setattr(items[-1], keyword, as_sequence(inner))
        return pydicom.Sequence(items)
    return value
