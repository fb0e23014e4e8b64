"""The overlay of a registration as a DICOM Secondary Capture, in the study of its X-rays."""

from collections.abc import Sequence
from pathlib import Path

from raygrad._dicom import is_dicom, read_dataset
from raygrad._errors import InputError
from raygrad.formats import check_capture, read_colours, write_secondary_capture


def check_overlay(path: Path, poses: Path, xrays: Sequence[Path] | None) -> None:
    """Refuse what cannot be written.

    Raises:
        FileNotFoundError: no overlay.png lies beside the poses, an X-ray is not there, or no folder to write to.
        InputError: the X-rays are of several studies, or a file is damaged.
    """
    read_colours(_overlay_beside(poses))
    check_capture(path, _one_of_study(xrays or []))


def write_overlay(path: Path, poses: Path, xrays: Sequence[Path] | None) -> str:
    """Write the overlay.png beside the poses, and say whose study it went to."""
    xray = _one_of_study(xrays or [])
    write_secondary_capture(path, _overlay_beside(poses), xray, "Registration of X-ray and CT")
    return f"{path}: the overlay, in " + ("a new study" if xray is None else f"the study of {xray.name}")


def _overlay_beside(poses: Path) -> Path:
    overlay = poses.expanduser().parent / "overlay.png"
    if not overlay.is_file():
        raise FileNotFoundError(
            f"There is no '{overlay}', which `raygrad register` writes beside its poses, to write as DICOM."
        )
    return overlay


def _one_of_study(xrays: Sequence[Path]) -> Path | None:
    """The first X-ray that is DICOM; None if none is."""
    for path in xrays:
        if not path.is_file():
            raise FileNotFoundError(f"There is no X-ray '{path}'.")
    in_dicom = [path for path in xrays if is_dicom(path)]
    studies = {str(read_dataset(path).get("StudyInstanceUID", "")) for path in in_dicom}
    if len(studies) > 1:
        raise InputError(
            f"Expected X-rays of one study to put the overlay into. Got {len(studies)} studies; give --xray only what "
            "is of the one."
        )
    return in_dicom[0] if in_dicom else None
