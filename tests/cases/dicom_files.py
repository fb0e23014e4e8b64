"""DICOM files of slices, written by pydicom."""

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, EnhancedCTImageStorage, ExplicitVRLittleEndian

ROOT = "1.2.826.0.1.3680043.2.1125"
FRAME_OF_REFERENCE = f"{ROOT}.7"
AXIAL = (1, 0, 0, 0, 1, 0)


def write(dataset, path):
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    path.parent.mkdir(exist_ok=True)
    dataset.save_as(path, enforce_file_format=True)
    return path


def image_of(stored, sop_class, instance="1", modality="CT", series=f"{ROOT}.8"):
    """Identification and the pixels (row, column) or (frame, row, column), of a type of integers."""
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = sop_class, f"{ROOT}.1.{instance}"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = f"{ROOT}.9", series
    dataset.Modality, dataset.PatientName, dataset.PatientID = modality, "NOBODY", "0"
    dataset.FrameOfReferenceUID = FRAME_OF_REFERENCE
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.Rows, dataset.Columns = stored.shape[-2:]
    if stored.ndim == 3:
        dataset.NumberOfFrames = len(stored)
    dataset.BitsAllocated = dataset.BitsStored = 8 * stored.dtype.itemsize
    dataset.HighBit, dataset.PixelRepresentation = dataset.BitsStored - 1, int(stored.dtype.kind == "i")
    dataset.PixelData = stored.tobytes() + b"\0" * (stored.nbytes % 2)
    return dataset


def write_series(folder, stored, positions, cosines=AXIAL, spacing=(2.0, 1.5), slope=1, intercept=-1024, **tags):
    """CT slices (slice, row, column) as files 0.dcm, 1.dcm, ...; lists give every slice its own value."""
    for k, (image, position) in enumerate(zip(stored, positions, strict=True)):
        dataset = image_of(image, CTImageStorage, instance=str(k + 1))
        dataset.ImagePositionPatient, dataset.PixelSpacing = [f"{value:.8g}" for value in position], list(spacing)
        dataset.ImageOrientationPatient = list(cosines)
        tags_of_slice = {"RescaleSlope": slope, "RescaleIntercept": intercept} | tags
        for keyword, value in tags_of_slice.items():
            setattr(dataset, keyword, value[k] if isinstance(value, list) else value)
        write(dataset, folder / f"{k}.dcm")
    return folder


def write_enhanced(path, stored, positions, cosines=AXIAL, spacing=(2.0, 1.5), slope=1, intercept=-1024):
    """Enhanced CT (frame, row, column); lists give every frame its own value, others are shared."""
    dataset = image_of(stored, EnhancedCTImageStorage)
    shared, frames = Dataset(), [Dataset() for _ in stored]
    for frame, position in zip(frames, positions, strict=True):
        add_macro(frame, "PlanePositionSequence", ImagePositionPatient=list(position))
    for macro, values in {
        "PlaneOrientationSequence": {"ImageOrientationPatient": cosines},
        "PixelMeasuresSequence": {"PixelSpacing": spacing},
        "PixelValueTransformationSequence": {"RescaleSlope": slope, "RescaleIntercept": intercept, "RescaleType": "HU"},
    }.items():
        if any(isinstance(value, list) for value in values.values()):
            for k, frame in enumerate(frames):
                add_macro(frame, macro, **{name: v[k] if isinstance(v, list) else v for name, v in values.items()})
        else:
            add_macro(shared, macro, **values)
    dataset.SharedFunctionalGroupsSequence, dataset.PerFrameFunctionalGroupsSequence = [shared], frames
    return write(dataset, path)


def add_macro(group, sequence, **values):
    item = Dataset()
    for keyword, value in values.items():
        setattr(item, keyword, list(value) if isinstance(value, tuple) else value)
    setattr(group, sequence, [item])
