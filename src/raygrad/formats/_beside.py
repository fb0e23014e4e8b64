"""Names of files that belong to another one and lie beside it."""

from pathlib import Path

_SUFFIXES = (".nii.gz", ".nii", ".nrrd", ".mha", ".tif", ".tiff", ".npy", ".npz")


def beside(path: Path, ending: str) -> Path:
    """`views.geometry.json` for `views.nii.gz` and the ending `.geometry.json`; folders count as files."""
    suffix = next((known for known in _SUFFIXES if path.name.lower().endswith(known)), "")
    return path.with_name(path.name[: len(path.name) - len(suffix)] + ending)
