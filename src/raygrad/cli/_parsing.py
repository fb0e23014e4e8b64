"""From what a user typed to a subject and a pose, and a sentence where that fails."""

from pathlib import Path
from typing import Any

import torch

from raygrad._errors import UserError as UserError
from raygrad.data import Subject, load_example_ct, read
from raygrad.kernels import GPU_DEVICES, find_triton
from raygrad.pose import PARAMETERIZATIONS, RigidTransform, convert, find_parameterization

EXAMPLES = {"example": "thorax", "chest": "chest"}

DEFAULT_TRANSLATION = (0.0, 850.0, 0.0)


def parse_numbers(text: str, option: str) -> list[float]:
    """The numbers of a text such as "0,850,0" or "0 850 0"."""
    try:
        return [float(word) for word in text.replace(",", " ").split()]
    except ValueError:
        raise UserError(f"{option} takes numbers such as 0,850,0, not '{text}'.") from None


def parse_window(text: str | None) -> tuple[float, float] | None:
    """The two ends of a window such as "0,5"."""
    if text is None:
        return None
    ends = parse_numbers(text, "--window")
    if len(ends) != 2 or not ends[0] < ends[1]:
        raise UserError(f"--window takes two line integrals, the lower one first, such as 0,5; not '{text}'.")
    return ends[0], ends[1]


def parse_labels(text: str | None) -> list[int] | None:
    """The integers of a text such as "1,2,3"."""
    if text is None:
        return None
    try:
        return [int(word) for word in text.replace(",", " ").split()]
    except ValueError:
        raise UserError(f"--labels takes whole numbers such as 1,2,3, not '{text}'.") from None


def parse_pose(
    rotation: str | None,
    translation: str | None,
    pose: str | None,
    parameterization: str = "euler_angles",
    convention: str = "ZXY",
) -> RigidTransform:
    """The pose that --rotation and --translation, or --pose, stand for.

    Angles come in degrees, lengths in mm.

    Raises:
        UserError: numbers missing or too many, an unknown parameterization, options that exclude each other.
    """
    if parameterization == "matrix":
        return _matrix_pose(rotation, translation, pose)
    if parameterization not in PARAMETERIZATIONS:
        raise UserError(f"--parameterization is one of {', '.join(PARAMETERIZATIONS)}, not '{parameterization}'.")
    count = len(find_parameterization(parameterization).names)
    if pose is not None:
        if rotation is not None or translation is not None:
            raise UserError("--pose already says it all; leave out --rotation and --translation, or --pose.")
        numbers = _numbers(pose, "--pose", count + 3, f"{count} of the rotation ({parameterization}) and 3 in mm")
        return _convert(numbers[:count], numbers[count:], parameterization, convention)
    if rotation is None:
        if not find_parameterization(parameterization).has_angles:
            raise UserError(f"--parameterization {parameterization} needs --rotation with {count} numbers.")
        turn = [0.0] * count
    else:
        turn = _numbers(rotation, "--rotation", count, parameterization)
    shift = list(DEFAULT_TRANSLATION)
    if translation is not None:
        shift = _numbers(translation, "--translation", 3, "x,y,z in mm")
    return _convert(turn, shift, parameterization, convention)


def _numbers(text: str, option: str, count: int, meaning: str) -> list[float]:
    numbers = parse_numbers(text, option)
    if len(numbers) != count:
        raise UserError(f"{option} takes {count} numbers ({meaning}), not {len(numbers)}: '{text}'.")
    return numbers


def _matrix_pose(rotation: str | None, translation: str | None, pose: str | None) -> RigidTransform:
    if pose is None or rotation is not None or translation is not None:
        raise UserError(
            "--parameterization matrix goes with --pose alone: the 16 numbers of camera_to_world, row by row."
        )
    numbers = _numbers(pose, "--pose", 16, "camera_to_world, row by row")
    return RigidTransform(torch.tensor(numbers).reshape(4, 4))


def _convert(rotation: list[float], xyz: list[float], parameterization: str, convention: str) -> RigidTransform:
    return convert(
        torch.tensor([rotation]),
        torch.tensor([xyz]),
        parameterization=parameterization,
        convention=convention if parameterization == "euler_angles" else None,
        degrees=find_parameterization(parameterization).has_angles,
    )


def parse_device(text: str) -> torch.device:
    """The device of a name such as "cuda:1"; "auto" is a GPU that the GPU kernels run on, or else the CPU.

    Raises:
        UserError: this machine's PyTorch has no such device.
    """
    if text == "auto":
        found = [name for name in GPU_DEVICES if getattr(torch, name).is_available()]
        return torch.device(found[0] if found and find_triton()[0] else "cpu")
    try:
        return torch.empty(0, device=text).device
    except (RuntimeError, AssertionError) as error:  # the latter where torch was built without it
        reason = str(error).splitlines()[0]
        raise UserError(f"--device {text} is nothing that PyTorch can use here: {reason}") from None


def load_subject(
    ct: str,
    orientation: str = "AP",
    labelmap: Path | None = None,
    labels: list[int] | None = None,
    bone_attenuation_multiplier: float = 1.0,
    series_uid: str | None = None,
    labels_needed: bool = True,
) -> Subject:
    """The CT of this name: "example", "chest", an image file or a folder with a DICOM series.

    A labelmap is there to render some `labels` of it, unless these are not needed.

    Raises:
        UserError: no such file, or options that exclude each other.
    """
    view = None if orientation.lower() == "none" else orientation.upper()
    if view not in ("AP", "PA", None):
        raise UserError(f"--orientation is AP, PA or none, not '{orientation}'.")
    common: dict[str, Any] = {
        "orientation": view,
        "labels": labels,
        "bone_attenuation_multiplier": bone_attenuation_multiplier,
    }
    if ct in EXAMPLES:
        if labelmap is not None:
            raise UserError(f"The {ct} CT has its own labelmap; leave out --labelmap.")
        return load_example_ct(EXAMPLES[ct], **common)
    if labels is not None and labelmap is None:
        raise UserError("--labels needs --labelmap, the image that says which voxel belongs to which structure.")
    if labelmap is not None and labels is None and labels_needed:
        raise UserError("--labelmap needs --labels, the numbers of the structures to render.")
    for name in (ct, labelmap):
        if name is not None and not Path(name).exists():
            hint = " (or write 'example' for the built-in CT)" if name is ct else ""
            raise UserError(f"There is no file or folder '{name}'{hint}.")
    return read(ct, labelmap=labelmap, series_uid=series_uid, **common)
