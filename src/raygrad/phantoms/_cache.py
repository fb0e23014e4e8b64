"""Example data kept on disk, so that they are made or fetched once."""

import json
import os
import warnings
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np

from raygrad._files import written_whole
from raygrad._optional import require


class Phantom(NamedTuple):
    """A made-up CT: HU and labels as arrays [x, y, z], and the labels' names."""

    hu: np.ndarray
    labels: np.ndarray
    structures: dict[int, str]


def cache_folder() -> Path:
    """Where example data are kept: the environment variable `RAYGRAD_CACHE`, or the user's cache folder."""
    folder = os.environ.get("RAYGRAD_CACHE")
    return Path(folder).expanduser() if folder else Path(require("pooch", "the cache folder").os_cache("raygrad"))


def load_or_make(name: str, make: Callable[[], Phantom]) -> Phantom:
    """The phantom of that name out of the cache folder; made, and kept there, if it is missing or damaged.

    A file holds the arrays uncompressed, which loads in a fraction of a second, and their CRC-32, by which damage is
    seen. It takes its name only when complete. If the folder cannot be written, a warning says so.
    """
    file = cache_folder() / f"{name}.npz"
    with suppress(OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return _load(file)
    phantom = make()
    try:
        _save(file, phantom)
    except OSError as error:
        warnings.warn(f"The example CT is not kept: {error}. Name a writable folder in RAYGRAD_CACHE.", stacklevel=2)
    return phantom


def _load(file: Path) -> Phantom:
    with file.open("rb") as opened, np.load(opened) as arrays:
        structures = json.loads(str(arrays["structures"]))
        return Phantom(arrays["hu"], arrays["labels"], {int(label): name for label, name in structures.items()})


def _save(file: Path, phantom: Phantom) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with written_whole(file) as unfinished:
        np.savez(unfinished, hu=phantom.hu, labels=phantom.labels, structures=np.array(json.dumps(phantom.structures)))
