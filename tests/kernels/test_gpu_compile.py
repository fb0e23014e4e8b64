"""The Triton kernels compile to machine code that wastes no time, for GPUs that need not be there.

Elsewhere the tests interpret them, which a program that no GPU could run would pass just as well.
"""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from raygrad.kernels import find_triton

pytest.importorskip("triton", reason="Triton compiles the kernels, and is not installed")
pytestmark = pytest.mark.subprocess

TARGETS = {"cuda:80": "NVIDIA A100", "cuda:90": "NVIDIA H100", "hip:gfx942": "AMD MI300"}
USUAL = ("siddon: in 8 parts, derivatives", "joseph: sum by cameras, derivatives", "siddon: adjoint")
KERNELS = {
    "march",
    "sum_by_label",
    "finish_by_label",
    "scatter",
    "scatter_maximum",
    "contract_cameras",
    "_add_views",
    "march_mesh",
    "spread_tiles",
    "spread_rays",
}


def compile_for(target: str, *cases: str) -> list[dict]:
    """What `compile_kernels.py` finds, in a process of its own, since this one may interpret kernels."""
    usable, sentence = find_triton()
    if not usable:
        pytest.skip(sentence)
    backend = {"cuda": "nvidia", "hip": "amd"}[target.split(":")[0]]
    found = importlib.util.find_spec(f"triton.backends.{backend}")
    if found is None:
        pytest.skip(f"this Triton does not compile for {TARGETS[target]}")
    for program in ("ptxas", "cuobjdump") if backend == "nvidia" else ():
        if not (Path(found.origin).parent / "bin" / program).exists():
            pytest.skip(f"this Triton comes without NVIDIA's {program}")
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    command = [sys.executable, "-W", "error", str(Path(__file__).with_name("compile_kernels.py")), target, *cases]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    return [json.loads(line) for line in ended.stdout.splitlines()]


def check(row: dict) -> None:
    """Machine code in which threads do not wait for each other or for what registers could hold, slab after slab."""
    assert row["machine_code"] > 0, row
    assert row["spilled"] == 0, row
    assert row["barriers"] == 0, row


def test_the_usual_kernels_compile_without_spilling():
    rows = compile_for("cuda:90", *USUAL)
    assert {row["case"] for row in rows} == set(USUAL)
    for row in rows:
        check(row)
        assert row["registers"] <= 80, row  # 24 warps or more on a processor, to work while others wait for memory


@pytest.mark.slow
@pytest.mark.parametrize("target", TARGETS)
def test_every_kernel_compiles_without_spilling(target):
    rows = compile_for(target)
    assert {row["kernel"] for row in rows} == KERNELS
    for row in rows:
        check(row)
