"""The detector of a header: its distance, the size of its pixels, and where the source's foot on it is in the image.

Standard deviations are of C-arms and detectors as they are found, which headers never say.
"""

import math

import numpy as np

from raygrad.formats._dicom_geometry.camera import stored_point
from raygrad.formats._dicom_geometry.header import Header

DISTANCE_MM, UNKNOWN_DISTANCE_MM = 5.0, 150.0
INTENSIFIER_DISTANCE_MM = 20.0
USUAL_DISTANCE_MM = 1000.0
PIXEL, ASSUMED_PIXEL, CALIBRATED_PIXEL, UNKNOWN_PIXEL, INTENSIFIER_PIXEL = 0.005, 0.1, 0.3, 0.5, 0.05
USUAL_FIELD_MM = 300.0
BEYOND = 0.05  # of the detector: what a header may round
PRINCIPAL_MM, CENTRED_MM = 2.0, 5.0
AREA, AREA_ANGLE = "PixelDataAreaOriginRelativeToFOV", "PixelDataAreaRotationAngleRelativeToFOV"


def has_intensifier(header: Header) -> bool:
    """Whether an image intensifier took the image, whose field is curved; says so."""
    found = header.text("XRayReceptorType") == "IMG_INTENSIFIER" or header.number("IntensifierSize") is not None
    if found:
        header.warn(
            "An image intensifier took the image: its field is curved and its magnification varies, so distance and "
            "pixel size are known less well, and straight lines bend."
        )
    return found


def detector_distance(header: Header, usual_mm: float, deviation_mm: float) -> tuple[float, float, bool]:
    """Distance from the source to the detector, its deviation, and whether the header says it."""
    found, keyword = header.plane.sdd, header.plane.sdd_from
    if found is not None:
        header.found("source to detector", found, "mm", keyword, deviation_mm)
        return found, deviation_mm, True
    header.length("DistanceSourceToDetector")  # which says so if it is 0
    header.length("RTImageSID")
    header.warn(f"The header does not say the distance from source to detector: {usual_mm:g} mm is assumed.")
    header.assumed("source to detector", usual_mm, "mm", UNKNOWN_DISTANCE_MM)
    return usual_mm, UNKNOWN_DISTANCE_MM, False


def pixel_size(
    header: Header, relative: float, usual_field_mm: float = USUAL_FIELD_MM
) -> tuple[tuple[float, float], float, bool]:
    """Width and height of a pixel on the detector, their relative deviation, and whether the header says them.

    Args:
        relative: deviation of those that are at the detector.
        usual_field_mm: how wide such an image usually is.
    """
    plane = header.plane
    if plane.spacing is not None and not plane.in_patient:
        found = plane.spacing[::-1]
        header.found("pixel height, width", found, "mm", plane.spacing_from, relative)
        other = header.numbers("PixelSpacing", 2)
        if other is not None and plane.spacing_from != "PixelSpacing":
            what = "the same" if other == found else "calibrated to a plane in the patient"
            header.leave("pixel spacing", "mm", ["PixelSpacing"], what)
        return plane.spacing, relative, True
    header.lengths("ImagerPixelSpacing")  # which says so if it is 0
    header.lengths("ImagePlanePixelSpacing")
    if plane.spacing is not None:
        relative, note = ASSUMED_PIXEL, "taken to be at the detector"
        if plane.magnification is not None:
            note = f"times the magnification of {plane.magnification:g}"
            header.warn("Of pixels only PixelSpacing in the patient is known, and how it is magnified to the detector.")
        elif plane.doubt is not None:
            relative = CALIBRATED_PIXEL
            header.warn(f"Of pixels only PixelSpacing is known: {plane.doubt}.")
        else:
            header.warn("Of pixels only PixelSpacing is known, which need not be at the detector: it is taken to be.")
        header.found("pixel height, width", plane.spacing[::-1], "mm", "PixelSpacing", relative, note)
        return plane.spacing, relative, True
    header.lengths("PixelSpacing")
    reason = "in the patient, not at the detector" if plane.doubt is not None else "no size"
    header.leave("pixel spacing", "mm", ["PixelSpacing"], reason)
    field = header.numbers("FieldOfViewDimensions") or header.numbers("FieldOfViewDimensionsInFloat")
    field = field or header.numbers("IntensifierSize")
    known = field is not None and min(field) > 0
    across = field[-1] if field is not None and known else usual_field_mm
    deviation = ASSUMED_PIXEL if known else UNKNOWN_PIXEL
    size = across / header.columns
    header.assumed("pixel height, width", (size, size), "mm", deviation, f"a field {across:g} mm wide")
    header.warn(f"The header does not say the pixels' size at the detector: a field {across:g} mm wide is assumed.")
    return (size, size), deviation, False


def principal_point(header: Header, pixel: tuple[float, float]) -> tuple[tuple[float, float], float]:
    """Where the ray through the detector's centre meets the stored image, in columns and rows from its corner, and the
    deviation in mm.

    FieldOfViewOrigin counts physical pixels of the detector, from its upper left corner, before the field of view was
    turned (FieldOfViewRotation) and mirrored (FieldOfViewHorizontalFlip): PS3.3, C.8.11.4.1.1. Of enhanced images the
    image may be a part of that (PixelDataAreaOriginRelativeToFOV). The ray meets the detector at
    PositionOfIsocenterProjection, or else in the middle of its active area.

    Args:
        pixel: width and height of a stored pixel in mm.
    """
    centred = header.columns / 2, header.rows / 2
    rotation, flip = header.number("FieldOfViewRotation") or 0.0, header.text("FieldOfViewHorizontalFlip")
    origin, physical = header.numbers("FieldOfViewOrigin", 2), header.lengths("DetectorElementSpacing")
    middle, note = _middle_of_detector(header, physical)
    size = _size_of_field(header, pixel)
    before = size if size is None or rotation % 180 == 0 else size[::-1]
    if origin is not None and physical is not None and before and _is_beyond(header, origin, physical, before):
        header.warn("The image would reach beyond the detector by the header: where it is on that is not used.")
        header.leave("field of view's origin", "pixels", ["FieldOfViewOrigin"], "beyond the detector")
        header.assumed("principal point (column, row)", centred, "pixels", CENTRED_MM / pixel[0], "the image's middle")
        return centred, CENTRED_MM
    if origin is None or physical is None or middle is None or before is None or rotation % 90:
        missing = [
            name
            for name, value in (
                ("FieldOfViewOrigin", origin),
                ("DetectorElementSpacing", physical),
                ("DetectorActiveDimensions", middle),
                ("FieldOfViewDimensionsInFloat", before),
            )
            if value is None
        ]
        said = ("FieldOfViewOrigin", "FieldOfViewRotation", "FieldOfViewHorizontalFlip", "DetectorElementSpacing", AREA)
        header.leave("field of view", "", said, "not enough without the rest")
        why = f"no {', no '.join(missing)}" if missing else f"a field of view turned by {rotation:g} degrees"
        deviation = CENTRED_MM
        if any(origin or ()) or any(header.numbers(AREA) or ()):
            header.warn("The image is a part of the detector, and where its middle is, the header does not say.")
            deviation = max(CENTRED_MM, max(pixel) * max(header.columns, header.rows) / 10)
        name, note = "principal point (column, row)", f"the image's middle: {why}"
        header.assumed(name, centred, "pixels", deviation / pixel[0], note)
        return centred, deviation
    header.found("field of view's origin", origin, "pixels", "FieldOfViewOrigin", note="row, column of the detector")
    header.found("detector's pixels", physical, "mm", "DetectorElementSpacing", note="height, width")
    if "FieldOfViewRotation" in header.elements:
        header.found("field of view's rotation", rotation, "degrees", "FieldOfViewRotation", note="clockwise")
    if flip:
        header.found("field of view's flip", flip, "", "FieldOfViewHorizontalFlip")
    offset = ((middle[0] - origin[0]) * physical[0], (middle[1] - origin[1]) * physical[1])
    row, column = _in_area(header, stored_point(offset, before, rotation, flip == "YES"), pixel)
    found = column / pixel[0], row / pixel[1]
    header.assumed("principal point (column, row)", found, "pixels", PRINCIPAL_MM / pixel[0], note)
    return found, PRINCIPAL_MM


def turned_with_field(header: Header, right: np.ndarray, down: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Directions of the stored image from those of the detector, where the header says how the detector is turned.

    Without the isocentre's reference system nobody says how the detector is mounted, and images are stored head up.
    """
    if "PositionerIsocenterDetectorRotationAngle" in header.elements:
        for _ in range(round((header.number("FieldOfViewRotation") or 0.0) / 90) % 4):
            right, down = -down, right
        if header.text("FieldOfViewHorizontalFlip") == "YES":
            right = -right
    angle = math.radians(header.number(AREA_ANGLE) or 0.0)
    return math.cos(angle) * right + math.sin(angle) * down, math.cos(angle) * down - math.sin(angle) * right


def _size_of_field(header: Header, pixel: tuple[float, float]) -> tuple[float, float] | None:
    """Height and width in mm of the field of view as it is stored; None where that matters and is not known.

    It is the image, unless PixelDataAreaOriginRelativeToFOV says that the image is a part of it or turned in it.
    """
    image = header.rows * pixel[1], header.columns * pixel[0]
    if not any(header.numbers(AREA) or ()) and not header.number(AREA_ANGLE):
        return image
    rotation, flip = header.number("FieldOfViewRotation") or 0.0, header.text("FieldOfViewHorizontalFlip")
    size = header.numbers("FieldOfViewDimensionsInFloat", 2) or header.numbers("FieldOfViewDimensions", 2)
    if rotation % 360 == 0 and flip != "YES":
        return image if size is None else (size[0], size[1])  # from whose upper left corner all is counted
    # Whether the sizes are those before or after a quarter's turn is not said, so that they have to be the same.
    return None if size is None or (rotation % 180 and size[0] != size[1]) else (size[0], size[1])


def _in_area(header: Header, point: tuple[float, float], pixel: tuple[float, float]) -> tuple[float, float]:
    """A point of the field of view, row and column in mm, in the image that is a part of it (PS3.3, C.8.19.6.4)."""
    origin, degrees = header.numbers(AREA, 2) or (0.0, 0.0), header.number(AREA_ANGLE) or 0.0
    if any(origin):
        header.found("image's origin in the field of view", origin, "pixels", AREA, note="row, column")
    if degrees:
        header.found("image's turn in the field of view", degrees, "degrees", AREA_ANGLE, note="clockwise")
    row, column = point[0] - origin[0] * pixel[1], point[1] - origin[1] * pixel[0]
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return cosine * row - sine * column, cosine * column + sine * row


def _is_beyond(
    header: Header, origin: tuple[float, ...], physical: tuple[float, float], size: tuple[float, float]
) -> bool:
    """Whether a field of view of this size in mm ends clearly beyond the active area, as of images made anew."""
    active, start = header.numbers("DetectorActiveDimensions"), header.numbers("DetectorActiveOrigin", 2) or (0.0, 0.0)
    if active is None or min(active) <= 0:
        return False
    begins = [(first - other) * length for first, other, length in zip(origin, start, physical, strict=True)]
    ends = [begin + extent for begin, extent in zip(begins, size, strict=True)]
    return any(
        begin < -BEYOND * whole or end > (1 + BEYOND) * whole
        for begin, end, whole in zip(begins, ends, (active[0], active[-1]), strict=True)
    )


def _middle_of_detector(header: Header, physical: tuple[float, float] | None) -> tuple[tuple[float, float] | None, str]:
    """Row and column, in pixels of the detector, where the ray of its centre meets it, and why there."""
    projection = header.numbers("PositionOfIsocenterProjection", 2)
    if projection is not None:  # from the centre of the physical detector's first element: PS3.3, C.8.19.5
        header.found("isocentre on the detector", projection, "pixels", "PositionOfIsocenterProjection")
        return (projection[0] + 0.5, projection[1] + 0.5), "where the isocentre is projected"
    start = header.numbers("DetectorActiveOrigin", 2) or (0.0, 0.0)
    size, keyword = header.numbers("DetectorActiveDimensions"), "DetectorActiveDimensions"
    if size is None or min(size) <= 0:
        size, keyword, start = header.numbers("PhysicalDetectorSize", 2), "PhysicalDetectorSize", (0.0, 0.0)
    if size is None or physical is None or min(size) <= 0:
        return None, ""
    header.found("detector's size", size, "mm", keyword, note="rows, columns")
    height, width = size[0] / physical[0], size[-1] / physical[1]
    return (start[0] + height / 2, start[1] + width / 2), "the middle of the detector"
