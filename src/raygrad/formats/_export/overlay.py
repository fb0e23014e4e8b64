"""The overlay of a registration as a DICOM Secondary Capture, in the study of its X-rays."""

from collections.abc import Callable
from pathlib import Path

from raygrad._dicom import is_dicom
from raygrad.formats._dicom_capture import check_capture, read_colours, write_secondary_capture
from raygrad.formats._export.source import Source


def prepare_overlay(path: Path, source: Source) -> Callable[[], str]:
    """Check all that could be wrong; what is returned writes the source's picture.

    Raises:
        FileNotFoundError: there is no picture, an X-ray is not there, or no folder to write to.
        InputError: the X-rays are of several studies, or a file is damaged.
    """
    overlay = source.overlay
    if overlay is None or not overlay.is_file():
        raise FileNotFoundError(
            f"There is no '{overlay}', which `raygrad register` writes beside its poses, to write as DICOM."
        )
    read_colours(overlay)
    xrays, frames = source.xrays_in_dicom()
    check_capture(path, xrays)

    def write() -> str:
        write_secondary_capture(path, overlay, xrays, "Registration of X-ray and CT", frames)
        first = next((xray.name for xray in xrays if is_dicom(xray)), None)
        return "the overlay, in " + ("a new study" if first is None else f"the study of {first}")

    return write
