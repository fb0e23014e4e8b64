"""The programs on the documentation's pages run, without Sphinx and without a warning, and what the pages say is true.

Their hidden cells assert it. Here the example CT is smaller than on the pages, and so are the landscape's images.
"""

import re
from pathlib import Path

import pytest
from matplotlib import pyplot as plt

from raygrad.kernels import available_backends

ROOT = Path(__file__).parent.parent
CELL = re.compile(r"^```\{code-cell\}\n(?::[^\n]*\n)*(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)
PYTHON = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SMALLER = {
    "load_example_ct()": "load_example_ct(shape=(128, 128, 67))",
    "shape=(192, 192, 100)": "shape=(128, 128, 67)",
    "height=100, delx=4.0": "height=50, delx=8.0",
    "shape=(160, 160, 96)": "shape=(80, 80, 48)",
    '"height": 80, "width": 96, "delx": 6.0': '"height": 40, "width": 48, "delx": 12.0',
}

pytestmark = pytest.mark.skipif(
    not available_backends()["cpu"][0], reason="the compiled kernels are missing, and the reference takes minutes"
)


def execute(programs):
    """Run programs one after the other in one namespace."""
    namespace = {"__name__": "page"}
    for number, program in enumerate(programs):
        for size, smaller in SMALLER.items():
            program = program.replace(size, smaller)
        exec(compile(program, f"<program {number}>", "exec"), namespace)
    return namespace


@pytest.mark.parametrize(
    "page",
    [
        "quickstart",
        "tutorial",
        pytest.param("status", marks=pytest.mark.slow),
        pytest.param("beyond", marks=pytest.mark.slow),
        pytest.param("files", marks=pytest.mark.slow),
        "landscape",
        "scenes",
        "physics",
        pytest.param("reconstruction", marks=pytest.mark.slow),
        "beam_hardening",
        "scaling",
    ],
)
def test_a_page_of_the_documentation(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cells = [match["code"] for match in CELL.finditer((ROOT / f"docs/{page}.md").read_text(encoding="utf-8"))]
    assert any("assert" in cell for cell in cells)
    execute(cell for cell in cells if "IPython" not in cell)  # which only displays pictures that are files
    plt.close("all")


def test_the_readmes_programs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    programs = PYTHON.findall((ROOT / "README.md").read_text(encoding="utf-8"))
    namespace = execute(programs)
    assert namespace["rotation"].grad.abs().max() > 0
    assert namespace["result"].converged.all()
    assert namespace["fitted"].converged.all()
    assert namespace["found"].residual < 0.1
    assert (tmp_path / "volume.nii.gz").is_file()


def test_every_page_is_in_the_index():
    index = (ROOT / "docs/index.md").read_text(encoding="utf-8")
    pages = {page.stem for page in (ROOT / "docs").glob("*.md")} - {"index"}
    listed = {line for block in re.findall(r"```\{toctree\}\n(.*?)```", index, re.DOTALL) for line in block.split()}
    assert pages <= listed
