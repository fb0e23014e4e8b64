"""What an installation promises: one version, and a core that imports nothing it does not need."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import raygrad

ROOT = Path(__file__).parent.parent
CORE = (
    "raygrad.drr",
    "raygrad.landscape",
    "raygrad.registration",
    "raygrad.geometry",
    "raygrad.march",
    "raygrad.projector",
    "raygrad.scene",
    "raygrad.physics",
    "raygrad.pose",
    "raygrad.metrics",
    "raygrad.kernels",
    "raygrad.data",
)
ONLY_WHERE_USED = (
    "nibabel",
    "SimpleITK",
    "pydicom",
    "tifffile",
    "torchio",
    "scipy",
    "pooch",
    "matplotlib",
    "typer",
    "tqdm",
    "starlette",
    "uvicorn",
    "websockets",
    "skimage",
    "anywidget",
)


@pytest.mark.parametrize(
    ("file", "pattern"),
    [
        ("pyproject.toml", r'^version = "(.+?)"'),
        ("CITATION.cff", r"^version: (.+)$"),
        ("CHANGELOG.md", r"^## \[(\d.+?)\]"),
    ],
)
def test_one_version_everywhere(file, pattern):
    found = re.search(pattern, (ROOT / file).read_text(encoding="utf-8"), re.MULTILINE)
    assert found is not None
    assert found[1] == raygrad.__version__


@pytest.mark.subprocess
def test_the_core_imports_torch_numpy_jaxtyping_and_roma_only():
    program = (
        "import importlib, sys, torch, numpy, jaxtyping, roma\nbefore = set(sys.modules)\n"
        f"for name in {CORE}: importlib.import_module(name)\n"
        f"print([name for name in {ONLY_WHERE_USED} if name in set(sys.modules) - before])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.subprocess
def test_the_package_is_typed():
    assert (Path(raygrad.__file__).parent / "py.typed").is_file()


def test_the_tables_of_physics_are_there_and_small():
    tables = {path.name: path.stat().st_size for path in Path(raygrad.__file__).parent.rglob("*.npz")}
    assert {"elements.npz", "tungsten.npz"} <= set(tables)
    assert sum(tables.values()) < 120_000


def test_the_page_of_the_cockpit_is_installed_with_all_its_files():
    """`make test` installs a wheel, and compares it with what was written."""
    written, installed = ROOT / "src/raygrad/_cockpit/page", Path(raygrad.__file__).parent / "_cockpit/page"
    names = {str(path.relative_to(written)) for path in written.rglob("*") if path.is_file()}
    needed = {name for name in names if not name.endswith((".d.ts", "jsconfig.json"))}
    assert {Path(name).suffix for name in needed} >= {".html", ".js", ".css", ".svg"}
    assert {name: (installed / name).is_file() for name in needed} == dict.fromkeys(needed, True)
