"""Attack raygrad's readers with damaged files.

    python fuzz --files 2000                     so many of every format
    python fuzz --files 500 --only nrrd mha      of formats whose names have one of these
    python fuzz --seed 7                         other damage

Each file is read in a process of its own kind that may not take more than some seconds and 3 GB. What may happen: it is
read, or refused by an `InputError` or `OSError` in words. Findings are crashes, hangs, other errors, and files under a
checksum that were damaged and are read as something else. They are kept in fuzz/found, and the exit code is 1.
"""

import argparse
import random
import shutil
import sys
import tempfile
import time
import warnings
from collections import Counter
from pathlib import Path

from mutations import damages_of
from reading import Outcome, Reader
from seeds import SEEDS, Seed

FOUND = Path(__file__).parent / "found"


def main() -> int:
    """Attack, print a row for each format, and say whether anything was found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=300, help="of every format")
    parser.add_argument("--only", nargs="*", default=[], help="formats whose names have one of these")
    parser.add_argument("--seed", type=int, default=0, help="of the damage")
    options = parser.parse_args()
    warnings.simplefilter("ignore")  # of pydicom, which writes what it is told to
    chosen = {name: seed for name, seed in SEEDS.items() if not options.only or any(o in name for o in options.only)}
    reader, total, began = Reader(), Counter[str](), time.perf_counter()
    print(f"{'':28} {'files':>7} {'read':>7} {'refused':>8} {'findings':>9} {'s':>6}")
    for name, seed in chosen.items():
        started = time.perf_counter()
        counts = attack(name, seed, options.files, random.Random(f"{options.seed} {name}"), reader)
        findings = counts.total() - counts["read"] - counts["refused"]
        seconds = time.perf_counter() - started
        print(
            f"{name:28} {counts.total():7} {counts['read']:7} {counts['refused']:8} {findings:9} {seconds:6.0f}",
            flush=True,
        )
        total += counts
    reader.close()
    found = {kind: count for kind, count in total.items() if kind not in ("read", "refused")}
    print(f"{total.total()} files in {time.perf_counter() - began:.0f} s: {dict(total)}")
    if found:
        print(f"Findings are in {FOUND}.")
    return bool(found)


def attack(name: str, seed: Seed, files: int, draw: random.Random, reader: Reader) -> Counter[str]:
    """Damage a seed so many times, and count what became of it."""
    counts: Counter[str] = Counter()
    with tempfile.TemporaryDirectory(prefix="raygrad-fuzz-") as folder:
        whole = _written(seed, Path(folder) / "whole")
        right = reader.read(name, whole)
        if right.kind != "read":
            raise SystemExit(f"The seed {name!r} itself is {right.kind}: {right.what}")
        for number in range(files):
            damaged = Path(folder) / f"damaged-{number}"
            path = _damaged(whole, damaged, draw)
            outcome = _judged(reader.read(name, path), right, seed.checked)
            counts[outcome.kind] += 1
            if outcome.kind not in ("read", "refused"):
                _keep(name, number, damaged, outcome)
            shutil.rmtree(damaged)
    return counts


def _written(seed: Seed, folder: Path) -> Path:
    folder.mkdir()
    return seed.write(folder)


def _damaged(whole: Path, folder: Path, draw: random.Random) -> Path:
    """A copy of all that lies beside a seed, with one of its files damaged once, or a few times."""
    shutil.copytree(whole.parent, folder)
    path = folder / whole.name
    victim = draw.choice(sorted(path.iterdir())) if path.is_dir() else path
    content = victim.read_bytes()
    for _ in range(draw.choice((1, 1, 1, 2, 4))):
        if content:
            content = draw.choice(damages_of(content, victim.name))(content, draw)
    victim.write_bytes(content)
    return path


def _judged(outcome: Outcome, right: Outcome, checked: bool) -> Outcome:
    if checked and outcome.kind == "read" and outcome.what != right.what:
        return Outcome("silent", "damage under a checksum was read as something else")
    return outcome


def _keep(name: str, number: int, folder: Path, outcome: Outcome) -> None:
    place = FOUND / f"{name.replace(' ', '-').replace(',', '')}-{number}-{outcome.kind}"
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(folder, place)
    (place / "WHAT.txt").write_text(f"{name}: {outcome.kind}\n{outcome.what}\n")


if __name__ == "__main__":
    sys.exit(main())
