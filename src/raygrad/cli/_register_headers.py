"""What X-rays' DICOM headers say, where nothing else was typed: starts, intrinsics, how far to search, and priors."""

import math
from collections.abc import Sequence
from pathlib import Path

import torch

from raygrad._dicom import is_dicom, number, read_dataset
from raygrad._errors import InputError
from raygrad.cli._parsing import parse_numbers
from raygrad.formats import XRayGeometry, read_xray_geometry
from raygrad.geometry import UnknownGeometry
from raygrad.pose import RigidTransform
from raygrad.registration import SearchRanges

# Ranges reach two standard deviations, within what a search can find.
WIDEST_DEG, WIDEST_MM = 60.0, 150.0
# Intrinsics that are known better than this stay as the header has them: an X-ray tells less of them.
SURE = UnknownGeometry(sdd_mm=10.0, x0_mm=5.0, y0_mm=5.0, pixel_size=0.02)
# How views lie to each other, in degrees and mm. Taken together: angles are read to a degree, and arms bend. By one
# machine, one after the other: tables are moved too, which headers rarely say.
TOGETHER, ONE_AFTER_THE_OTHER = (1.0, 5.0), (2.0, 20.0)
MACHINES = ("XA", "enhanced XA", "RT Image", "enhanced RT Image")
# Frames that differ by more, in directions and mm, are not of one pose.
MOVED, MOVED_MM = 0.02, 5.0


def read_header(path: Path, frame: int | str | None = None) -> XRayGeometry | None:
    """The geometry of an X-ray's header, of the first frame where `frame` is no number; None if it is not DICOM."""
    return read_xray_geometry(path, frame if isinstance(frame, int) else None) if is_dicom(path) else None


def refuse_moving(path: Path, frame: int | str | None) -> None:
    """Refuse a start from the header of a frame that has no number, unless all are from one place.

    Raises:
        InputError: they are not.
    """
    if not isinstance(frame, str):
        return
    first, count = read_xray_geometry(path), int(number(read_dataset(path), "NumberOfFrames") or 1)
    for other in (count // 2 + 1, count):
        moved = (read_xray_geometry(path, other).pose.matrix - first.pose.matrix).abs()
        if moved[0, :3, :3].max() > MOVED or moved[0, :3, 3].max() > MOVED_MM:
            raise InputError(
                f"Expected the number of a frame, as those of '{path}' are from different places. Got '{frame}': "
                "say --frame with a number, or --rotation."
            )


def centre_of(header: XRayGeometry, delx: float, dely: float, reverse_x_axis: bool) -> tuple[float, float]:
    """The detector's centre (x0, y0) for pixels of this size, and columns that run this way in the camera.

    The principal point is as far from the image's corner, or else from its middle, as the header has it in mm.
    """
    own = header.intrinsics
    across, along = float(own.x0) * (1 if own.reverse_x_axis else -1), float(own.y0)
    if any(number.used and number.keyword in ("FieldOfViewOrigin", "RTImagePosition") for number in header.provenance):
        across += own.width / 2 * (float(own.delx) - delx)
        along += own.height / 2 * (float(own.dely) - dely)
    return across * (1 if reverse_x_axis else -1), along


def warnings_of(header: XRayGeometry) -> list[str]:
    """What to look at, but for what has to be typed where the header does not say it, or is said of the image."""
    typed = "The header does not say the distance from source to detector", "The header does not say the pixels' size"
    of_image = "Of pixels only PixelSpacing is known: "
    return [sentence for sentence in header.warnings if not sentence.startswith((*typed, of_image))]


def start_of(header: XRayGeometry, translation: str | None = None, sdd: float | None = None) -> RigidTransform:
    """The header's pose; a translation that was typed comes before the header's, and is turned as ever.

    Where the header does not say how far the source is, it is as far in proportion to a typed `sdd`.
    """
    matrix = header.pose.matrix.float()
    far = {number.name for number in header.provenance if number.source == "assumed"}
    if sdd is not None and far & {"source to isocentre", "source to the patient's middle"} and not header.has_sdd:
        matrix = matrix.clone()
        matrix[0, :3, 3] *= sdd / float(header.intrinsics.sdd)
    if translation is not None:
        numbers = parse_numbers(translation, "--translation")
        if len(numbers) != 3:
            raise InputError(f"--translation takes 3 numbers (x,y,z in mm), not {len(numbers)}: '{translation}'.")
        matrix = matrix.clone()
        matrix[0, :3, 3] = matrix[0, :3, :3] @ torch.tensor(numbers)
    return RigidTransform(matrix)


def ranges_of(headers: Sequence[XRayGeometry | None]) -> SearchRanges | None:
    """How far the starts may be off; None unless all are from headers."""
    known = [header for header in headers if header is not None]
    if not known or len(known) < len(headers):
        return None
    degrees = [min(WIDEST_DEG, 2 * max(header.pose_deg[axis] for header in known)) for axis in range(3)]
    lengths = [min(WIDEST_MM, 2 * max(header.pose_mm[axis] for header in known)) for axis in range(3)]
    return SearchRanges((degrees[0], degrees[1], degrees[2]), (lengths[0], lengths[1], lengths[2]))


def unknowns_of(headers: Sequence[XRayGeometry | None], typed: Sequence[str]) -> UnknownGeometry | None:
    """What of the geometry is to be found beside the pose; None if everything is known well enough.

    Args:
        headers: of all X-rays; None where the start was not taken from one.
        typed: names of the camera's options that were given, which are exact.
    """
    known_headers = [header for header in headers if header is not None]
    known = [header.unknowns for header in known_headers]
    if not known or len(known) < len(headers):
        return None
    exact = {"sdd_mm": "sdd", "x0_mm": "x0", "y0_mm": "y0", "pixel_size": "delx"}
    wide = {}
    for name, option in exact.items():
        widest = max(getattr(unknown, name) or 0.0 for unknown in known)
        if option not in typed and widest > getattr(SURE, name):
            wide[name] = widest
    if len(headers) > 1:
        wide["pose_deg"], wide["pose_mm"], _ = between_views(known_headers)
    else:  # a shift across the beam looks like one of the principal point, so that one view cannot tell these apart
        wide.pop("x0_mm", None)
        wide.pop("y0_mm", None)
    return UnknownGeometry(**wide) if wide else None


def between_views(headers: Sequence[XRayGeometry]) -> tuple[float, float, str]:
    """How well the views' poses to each other are known by their headers, in degrees and mm, and why so well."""
    together = {header.acquisition for header in headers}
    if len(together) == 1 and together != {""}:
        return *TOGETHER, "taken together, by one machine"
    if all(header.kind in MACHINES and header.has_view for header in headers):
        return *ONE_AFTER_THE_OTHER, "taken one after the other: the table may have moved"
    degrees = math.hypot(*sorted(max(header.pose_deg) for header in headers)[-2:])
    mm = math.hypot(*sorted(max(header.pose_mm) for header in headers)[-2:])
    return degrees, mm, "the patient was placed anew for each"


def describe_relation(headers: Sequence[XRayGeometry | None]) -> str:
    """How the views lie to each other, as a sentence; none of a single one, or where not all have headers."""
    known = [header for header in headers if header is not None]
    if len(headers) < 2 or len(known) < len(headers):
        return ""
    degrees, mm, why = between_views(known)
    known_to = f"known to {degrees:.3g} degrees and {mm:.3g} mm ({why})"
    return f"between these X-rays: poses as their headers have them, {known_to}"
