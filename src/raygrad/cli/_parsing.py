"""Texts that a user typed as values, and a sentence that names the option where that fails."""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from raygrad._errors import InputError
from raygrad.kernels import GPU_DEVICES, find_triton
from raygrad.metrics import (
    GradientDifference,
    GradientNormalizedCrossCorrelation2d,
    MultiscaleNormalizedCrossCorrelation2d,
    NormalizedCrossCorrelation2d,
)
from raygrad.pose import PARAMETERIZATIONS, RigidTransform, convert, find_parameterization, make_reorient

Metric = Callable[[Tensor, Tensor], Tensor]

METRICS: dict[str, Callable[[], Metric]] = {
    "mncc": lambda: MultiscaleNormalizedCrossCorrelation2d([None, 9], [0.5, 0.5]),
    "ncc": NormalizedCrossCorrelation2d,
    "patch-ncc": lambda: NormalizedCrossCorrelation2d(9),
    "gradient-ncc": GradientNormalizedCrossCorrelation2d,
    "gradient-difference": GradientDifference,
}
SOURCE_TO_PATIENT = 850.0
"""How far the source is from the CT's centre in mm, where nobody says it."""


def parse_numbers(text: str, option: str) -> list[float]:
    """The numbers of a text such as "0,850,0" or "0 850 0"."""
    try:
        return [float(word) for word in text.replace(",", " ").split()]
    except ValueError:
        raise InputError(f"{option} takes numbers such as 0,850,0, not '{text}'.") from None


def parse_window(text: str | None) -> tuple[float, float] | None:
    """The two ends of a window such as "0,5"."""
    if text is None:
        return None
    ends = parse_numbers(text, "--window")
    if len(ends) != 2 or not ends[0] < ends[1]:
        raise InputError(f"--window takes two line integrals, the lower one first, such as 0,5; not '{text}'.")
    return ends[0], ends[1]


def parse_labels(text: str | None) -> list[int] | None:
    """The integers of a text such as "1,2,3"."""
    if text is None:
        return None
    try:
        return [int(word) for word in text.replace(",", " ").split()]
    except ValueError:
        raise InputError(f"--labels takes whole numbers such as 1,2,3, not '{text}'.") from None


def parse_orientation(text: str) -> str | None:
    """The view of an unrotated system, as a `Subject` has it."""
    orientation = None if text.lower() == "none" else text.upper()
    if orientation not in ("AP", "PA", None):
        raise InputError(f"--orientation is AP, PA or none, not '{text}'.")
    return orientation


def facing(orientation: str | None, distance: float = SOURCE_TO_PATIENT) -> list[float]:
    """The translation by which an unrotated system looks at the CT's centre from so many mm."""
    return (-distance * make_reorient(orientation)[:3, 2]).tolist()


def parse_pose(
    rotation: str | None,
    translation: str | None,
    pose: str | None,
    parameterization: str = "euler_angles",
    convention: str = "ZXY",
    orientation: str | None = "AP",
) -> RigidTransform:
    """The pose that --rotation and --translation, or --pose, stand for.

    Angles come in degrees, lengths in mm. Without a translation the system looks at the CT's centre, see `facing`.

    Raises:
        InputError: numbers missing or too many, an unknown parameterization, options that exclude each other.
    """
    if parameterization == "matrix":
        return _matrix_pose(rotation, translation, pose)
    if parameterization not in PARAMETERIZATIONS:
        raise InputError(f"--parameterization is one of {', '.join(PARAMETERIZATIONS)}, not '{parameterization}'.")
    count = len(find_parameterization(parameterization).names)
    if pose is not None:
        if rotation is not None or translation is not None:
            raise InputError("--pose already says it all; leave out --rotation and --translation, or --pose.")
        numbers = _numbers(pose, "--pose", count + 3, f"{count} of the rotation ({parameterization}) and 3 in mm")
        return _convert(numbers[:count], numbers[count:], parameterization, convention)
    if rotation is None:
        if not find_parameterization(parameterization).has_angles:
            raise InputError(f"--parameterization {parameterization} needs --rotation with {count} numbers.")
        turn = [0.0] * count
    else:
        turn = _numbers(rotation, "--rotation", count, parameterization)
    shift = facing(orientation)
    if translation is not None:
        shift = _numbers(translation, "--translation", 3, "x,y,z in mm")
    return _convert(turn, shift, parameterization, convention)


def _numbers(text: str, option: str, count: int, meaning: str) -> list[float]:
    numbers = parse_numbers(text, option)
    if len(numbers) != count:
        raise InputError(f"{option} takes {count} numbers ({meaning}), not {len(numbers)}: '{text}'.")
    return numbers


def _matrix_pose(rotation: str | None, translation: str | None, pose: str | None) -> RigidTransform:
    if pose is None or rotation is not None or translation is not None:
        raise InputError(
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
        InputError: this machine's PyTorch has no such device.
    """
    if text == "auto":
        found = [name for name in GPU_DEVICES if getattr(torch, name).is_available()]
        return torch.device(found[0] if found and find_triton()[0] else "cpu")
    try:
        return torch.empty(0, device=text).device
    except (RuntimeError, AssertionError) as error:  # the latter where torch was built without it
        reason = str(error).splitlines()[0]
        raise InputError(f"--device {text} is nothing that PyTorch can use here: {reason}") from None


def parse_names(text: str, known: Iterable[str], option: str) -> list[str]:
    """The names of a text such as "ap,lateral", each once."""
    names, known = text.lower().replace(",", " ").split(), list(known)
    if not names or not set(names) <= set(known):
        raise InputError(f"{option} takes names out of {', '.join(known)}, not '{text}'.")
    return list(dict.fromkeys(names))


def parse_metric(name: str) -> Metric:
    """The metric that --metric names."""
    if name not in METRICS:
        raise InputError(f"--metric is one of {', '.join(METRICS)}, not '{name}'.")
    return METRICS[name]()


def parse_slices(pairs: str | None, parameters: str | None) -> list[str | tuple[str, ...]] | None:
    """The slices of texts such as "x,y alpha,gamma" (pairs) and "x alpha" (single parameters); None for neither."""
    if pairs is None and parameters is None:
        return None
    slices: list[str | tuple[str, ...]] = []
    for word in (pairs or "").split():
        pair = tuple(word.split(","))
        if len(pair) != 2 or not all(pair):
            raise InputError(f"--pairs takes pairs of parameters such as 'x,y alpha,gamma', not '{word}'.")
        slices.append(pair)
    slices += (parameters or "").replace(",", " ").split()
    if not slices:
        raise InputError("--pairs and --parameters name no parameter; leave them out for all pairs.")
    return slices


def parse_ranges(text: str | None) -> dict[str, tuple[float, float]]:
    """The ranges of a text such as "x=30 alpha=-20:40", in mm and degrees."""
    ranges = {}
    for word in (text or "").split():
        name, _, ends = word.partition("=")
        numbers = parse_numbers(ends.replace(":", " "), "--ranges")
        if not name or len(numbers) not in (1, 2):
            raise InputError(f"--ranges takes ranges such as 'x=30 alpha=-20:40' (mm and degrees), not '{word}'.")
        ranges[name] = (-numbers[0], numbers[0]) if len(numbers) == 1 else (numbers[0], numbers[1])
    return ranges
