"""Prove that a change of the code keeps every result to the last bit.

    python tests/same_bits.py write FILE            compute everything and keep it in FILE, an .npz
    python tests/same_bits.py compare FILE          compute everything again and compare
    python tests/same_bits.py compare FILE OTHER    compare two files

What is computed stands in `same_bits_parts/`; `--only drr kernels/cases/cpu` takes what has a name that begins so. The
raygrad that computes is the one that Python finds: PYTHONPATH says which. The cases of the kernels are those of the
tests beside that. `compare` ends with 1 if anything differs, is missing or fails; what only the newer results have is
said, and is no fault.

Results of one machine compare, of one torch and one instruction set of the kernels (RAYGRAD_INSTRUCTION_SET): others
round otherwise. Those of torch's own sums over many pixels also differ with the number of threads.
"""

import argparse
import os
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from same_bits_parts import PARTS, Names, find

import raygrad

Results = dict[str, np.ndarray]


def flatten(name: str, value: Any) -> Iterator[tuple[str, np.ndarray]]:
    """The arrays in dictionaries, sequences, tensors, poses, numbers and texts, by their names; None has none."""
    if value is None:
        return
    if isinstance(value, dict):
        for key, part in value.items():
            yield from flatten(f"{name}/{key}", part)
    elif isinstance(value, list | tuple):
        for number, part in enumerate(value):
            yield from flatten(f"{name}/{number}", part)
    elif hasattr(value, "matrix"):  # a pose
        yield name, value.matrix.detach().numpy()
    else:
        yield name, np.asarray(value.detach() if hasattr(value, "detach") else value)


def compute(only: list[str], threads: int) -> tuple[Results, bool]:
    """The results of all parts, and whether all of them ran. Phantoms are made by the code that runs."""
    with tempfile.TemporaryDirectory(prefix="same-bits-") as folder:
        os.environ["RAYGRAD_CACHE"] = folder
        return _compute(only, threads)


def _compute(only: list[str], threads: int) -> tuple[Results, bool]:
    torch.set_num_threads(threads)
    warnings.simplefilter("ignore")
    compiled = find("available_backends")()["cpu"][1]
    print(f"raygrad in {Path(raygrad.__file__).parent}, {threads} threads, {compiled}")
    results = {
        "about/torch": np.asarray(torch.__version__),
        "about/kernels": np.asarray(compiled),
        "about/threads": np.asarray(threads),
    }
    whole, rg = True, Names()
    for name, part in PARTS.items():
        if only and not any(f"{name}/".startswith(begin) or begin.startswith(f"{name}/") for begin in only):
            continue
        torch.manual_seed(0)
        began, before = time.perf_counter(), len(results)
        try:
            for key, value in part(rg):
                found = dict(flatten(f"{name}/{key}", value))
                assert not found.keys() & results.keys(), f"{name}/{key} is there twice"
                results |= {own: array for own, array in found.items() if _wanted(own, only)}
        except Exception:
            traceback.print_exc()
            print(f"{name}: FAILED, the rest of it is left out", flush=True)
            whole = False
        print(f"{name}: {len(results) - before} arrays, {time.perf_counter() - began:.1f} s", flush=True)
    return results, whole


def _wanted(name: str, only: list[str]) -> bool:
    return not only or name.startswith(("about/", *only))


def read(path: Path, only: list[str]) -> Results:
    """The results in a file."""
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in file.files if _wanted(name, only)}


def difference(old: np.ndarray, new: np.ndarray) -> str | None:
    """How two arrays differ; None if they are the same to the bit."""
    if old.shape != new.shape or (old.dtype != new.dtype and old.dtype.kind + new.dtype.kind != "UU"):
        return f"{old.dtype} of shape {old.shape} became {new.dtype} of shape {new.shape}"
    if old.tobytes() == new.tobytes() or (old.dtype.kind == "U" and (old == new).all()):
        return None
    if old.dtype.kind not in "fiu":
        return f"{old.tolist()} became {new.tolist()}"
    before, after = old.astype(np.float64), new.astype(np.float64)
    both = np.isfinite(before) & np.isfinite(after)
    strange = (~both & ~((before == after) | (np.isnan(before) & np.isnan(after)))).sum()
    absolute = np.abs(after - before, where=both, out=np.zeros_like(before))
    size = np.maximum(np.abs(before), np.abs(after))
    relative = np.divide(absolute, size, where=both & (size > 0), out=np.zeros_like(before))
    words = f"absolute {absolute.max():.2e}, relative {relative.max():.2e}, in {(absolute > 0).sum()} of {old.size}"
    words += f"; largest value {np.abs(before[both]).max(initial=0):.2e}"
    if strange:
        words += f"; NaN or infinity in {strange}"
    elif not absolute.any():
        words += "; signs of zeros or bits of NaN only"
    return words


def compare(old: Results, new: Results) -> bool:
    """Say what differs; whether nothing does."""
    same = differing = 0
    missing: Counter[str] = Counter()
    for name, before in old.items():
        if name.startswith("about/"):
            if name not in new or str(before) != str(new[name]):
                print(f"note: {name[6:]}: {before} and {new.get(name)}")
        elif name not in new:
            missing["/".join(name.split("/")[:3])] += 1
        elif (words := difference(before, new[name])) is not None:
            differing += 1
            print(f"{name}: {words}")
        else:
            same += 1
    for group, count in missing.items():
        print(f"{group}: {count} missing")
    added = [name for name in new if name not in old]
    if added:
        print(f"{len(added)} more in the newer results: {', '.join(added[:10])}{' ...' if len(added) > 10 else ''}")
    print(f"{same} are the same to the bit, {differing} are not, {missing.total()} are missing")
    return not differing and not missing


def main() -> int:
    """Run the command; 0 if all is well."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=("write", "compare"))
    parser.add_argument("file", type=Path)
    parser.add_argument("other", type=Path, nargs="?")
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="beginnings of names")
    parser.add_argument("--threads", type=int, default=2, help="of torch and of the kernels")
    given = parser.parse_args()
    if given.command == "write":
        if given.other is not None:
            parser.error("write takes one file")
        results, whole = compute(given.only, given.threads)
        np.savez(given.file, **results)
        return 0 if whole else 1
    old = read(given.file, given.only)
    new, whole = (read(given.other, given.only), True) if given.other else compute(given.only, given.threads)
    return 0 if compare(old, new) and whole else 1


if __name__ == "__main__":
    sys.exit(main())
