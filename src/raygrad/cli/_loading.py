"""The CT that a command is given by name, with what X-rays lose in it."""

from pathlib import Path
from typing import Any

from torch import Tensor

from raygrad._errors import InputError
from raygrad.cli._parsing import parse_orientation
from raygrad.data import Subject, load_example_ct, read

EXAMPLES = {"example": "thorax", "chest": "chest"}


def load_subject(
    ct: str,
    orientation: str = "AP",
    labelmap: Path | None = None,
    labels: list[int] | None = None,
    bone_attenuation_multiplier: float = 1.0,
    series_uid: str | None = None,
    resample_slices: bool = False,
    labels_needed: bool = True,
    remove_table: bool = False,
    finer_slices: bool = False,
) -> Subject:
    """The CT of this name: "example", "chest", an image file or a folder with a DICOM series.

    A labelmap is there to render some `labels` of it, unless these are not needed. `remove_table` and
    `finer_slices` are of `raygrad.data.read`; the built-in thorax has no table.

    Raises:
        InputError: no such file, or options that exclude each other.
    """
    common: dict[str, Any] = {
        "orientation": parse_orientation(orientation),
        "labels": labels,
        "bone_attenuation_multiplier": bone_attenuation_multiplier,
    }
    if ct in EXAMPLES:
        if labelmap is not None:
            raise InputError(f"The {ct} CT has its own labelmap; leave out --labelmap.")
        more: dict[str, Any] = {"remove_table": remove_table and ct != "example", "finer_slices": finer_slices}
        return load_example_ct(EXAMPLES[ct], **more, **common)
    if labels is not None and labelmap is None:
        raise InputError("--labels needs --labelmap, the image that says which voxel belongs to which structure.")
    if labelmap is not None and labels is None and labels_needed:
        raise InputError("--labelmap needs --labels, the numbers of the structures to render.")
    _check_there(ct)
    if labelmap is not None and not labelmap.exists():
        raise InputError(f"There is no file or folder '{labelmap}'.")
    files: dict[str, Any] = {"labelmap": labelmap, "series_uid": series_uid, "resample_slices": resample_slices}
    return read(ct, remove_table=remove_table, finer_slices=finer_slices, **files, **common)


def load_attenuation(
    ct: str,
    content: str = "attenuation",
    energy_kev: float = 70.0,
    centred: bool = True,
    series_uid: str | None = None,
    resample_slices: bool = False,
) -> Subject:
    """The CT of this name (see `load_subject`), whose `density` is what X-rays lose in it.

    Args:
        ct: "example", "chest", a file or a folder.
        content: "attenuation" for 1/mm at `energy_kev`, "density" for what `raygrad drr` renders, or "as-is" for the
            volume's own values, such as those of a reconstruction.
        energy_kev: of the photons.
        centred: move the CT's centre to the origin of the world.
        series_uid: which series of a DICOM folder.
        resample_slices: bring DICOM slices at uneven steps to even ones.

    Raises:
        InputError: no such file.
    """
    options: dict[str, Any] = {"center_volume": centred}
    if content == "attenuation":
        options |= {"density": "attenuation", "energy_kev": energy_kev}
    elif content == "as-is":
        options |= {"density": _as_float}
    if ct in EXAMPLES:
        return load_example_ct(EXAMPLES[ct], **options)
    _check_there(ct)
    return read(ct, series_uid=series_uid, resample_slices=resample_slices, **options)


def _check_there(ct: str) -> None:
    if not Path(ct).exists():
        raise InputError(f"There is no file or folder '{ct}' (or write 'example' for the built-in CT).")


def _as_float(values: Tensor) -> Tensor:
    return values.float()
