"""Real files, which are not the project's: the variable RAYGRAD_REAL_DATA names the folder that has them."""

import os
from pathlib import Path

import pytest


def real_data(folder: str) -> Path:
    """One of its folders; without it the test is skipped."""
    path = Path(os.environ.get("RAYGRAD_REAL_DATA", "nowhere")) / folder
    if not path.is_dir():
        pytest.skip(f"RAYGRAD_REAL_DATA names no folder with '{folder}'")
    return path
