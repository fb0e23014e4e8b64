"""A mesh of 100,000 triangles with pose gradient, beside a march through the CT, Embree's ray hits, and gVXR.

python benchmarks/scene_render.py                # 512 x 512 pixels of 400 and of 80 mm; minutes
RAYGRAD_CHEST_CT=... python benchmarks/scene_render.py
python benchmarks/scene_render.py --size 64 --triangles 2000 --repeats 2    # to try it out

How it measures is told in README.md.
"""

import argparse
import csv
import gc
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass, field
from math import nan
from pathlib import Path
from statistics import median

import numpy as np
import torch
from memory import MB, peak, reset_peak
from render import _processor, _version
from scene import load_subject
from scene_peers import Sight, Way, ways

PACKAGES = ("raygrad", "torch", "trimesh", "embreex", "gvxr")
WIDTHS = (400.0, 80.0)
"""Sides of the detector in mm: the whole chest, and the implant alone."""
SMALL = (16, (20, 20))
"""Pixels a side and mesh with which a way is run before its memory is measured."""
REST_S = 0.05


@dataclass
class Row:
    """What one way took, in seconds: wall time, and processor time of all threads; one of each a round."""

    name: str
    width: float
    wall: list[float] = field(default_factory=list)
    processor: list[float] = field(default_factory=list)
    image_error: float | None = None
    """Of its image, beside ours: relative, L2."""
    peak_mb: float | None = None


def main() -> None:
    """Time all in turns, measure memory, print and write."""
    options = _options()
    torch.set_num_threads(options.threads)
    about = f"{load_subject()[1]}; {_processor()}, {options.threads} thread{'s' * (options.threads > 1)}, "
    about += f"load {os.getloadavg()[0]:.1f}"
    about += "\n\n" + ", ".join(f"{name} {_version(name)}" for name in PACKAGES)
    print(about)
    present = [way for make in ways() if (way := _present(make())) is not None]
    rows: list[Row] = []
    for width in WIDTHS:
        rows += time_all(present, Sight(options.size, width), _mesh(options.triangles), options.repeats)
        print(table(rows), flush=True)
    if not options.no_memory:
        for row in rows:
            row.peak_mb = measure_memory(row, options)
    text = f"{about}\n\n{_what(options)}\n\n{table(rows)}\n\n{targets(rows)}\n"
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "scene-render.md").write_text(text, encoding="utf-8")
    write_csv(rows, options.out / "scene-render.csv")
    print(text)
    # What gVXR's library does at the end of a process is not to be waited for.
    sys.stdout.flush()
    os._exit(0)


def time_all(present: list[Way], sight: Sight, mesh: tuple[int, int], repeats: int) -> list[Row]:
    """All ways in turns, `repeats` rounds; before each measurement one call that is not timed."""
    rows, first = [], None
    for way in present:
        way.aim(sight, mesh)
        row, image = Row(way.name, sight.width), way.image()
        if image is not None:
            first = image if first is None else first
            row.image_error = float(np.linalg.norm(image - first) / np.linalg.norm(first))
        rows.append(row)
    for _ in range(repeats):
        for way, row in zip(present, rows, strict=True):
            time.sleep(REST_S)
            way()
            began, used = time.perf_counter(), time.process_time()
            result = way()
            row.wall.append(time.perf_counter() - began)
            row.processor.append(time.process_time() - used)
            del result
    return rows


def measure_memory(row: Row, options: argparse.Namespace) -> float | None:
    """Peak memory of one call in MB (10^6 bytes) beyond what was loaded, in a fresh process; None if it fails."""
    arguments = [str(n) for n in ("--child", row.name, "--size", options.size, "--triangles", options.triangles)]
    arguments += ["--threads", str(options.threads), "--width", str(row.width)]
    done = subprocess.run([sys.executable, __file__, *arguments], capture_output=True, text=True)
    if done.returncode != 0:
        print(f"memory of {row.name}: {done.stderr.strip().splitlines()[-1:]}")
        return None
    return json.loads(done.stdout.splitlines()[-1])["peak_mb"]


def _child(options: argparse.Namespace) -> None:
    torch.set_num_threads(options.threads)
    way = next(way for make in ways() if (way := make()).name == options.child)
    way.available()
    way.aim(Sight(SMALL[0], options.width), SMALL[1])
    way()
    way.aim(Sight(options.size, options.width), _mesh(options.triangles))
    gc.collect()
    baseline = reset_peak()
    result = way()
    print(json.dumps({"peak_mb": (peak() - baseline) / MB}), flush=True)
    del result
    os._exit(0)


def table(rows: list[Row]) -> str:
    """All rows in Markdown."""
    lines = ["| detector, mm | what | median, ms | least, ms | processor, ms | peak, MB | image error |"]
    lines += ["| --- | --- | --- | --- | --- | --- | --- |"]
    for row in rows:
        times = " | ".join(f"{1e3 * value:.4g}" for value in (median(row.wall), min(row.wall), median(row.processor)))
        memory = "" if row.peak_mb is None else f"{row.peak_mb:.0f}"
        error = "" if row.image_error is None else f"{row.image_error:.1e}"
        lines.append(f"| {row.width:g} | {row.name} | {times} | {memory} | {error} |")
    return "\n".join(lines)


def targets(rows: list[Row]) -> str:
    """The ratios that were to be reached, round by round: all at most 1."""
    lines = ["| to be at most 1 | detector, mm | wall | processor |", "| --- | --- | --- | --- |"]
    for width in WIDTHS:
        by_name = {row.name: row for row in rows if row.width == width}
        ours = by_name["raygrad mesh, forward + pose gradient"]
        for name in ("raygrad siddon CT, forward march", "trimesh + embree, all hits"):
            if name in by_name:
                theirs = by_name[name]
                wall, processor = _ratio(ours.wall, theirs.wall), _ratio(ours.processor, theirs.processor)
                lines.append(f"| {ours.name}, over {name} | {width:g} | {wall:.2f} | {processor:.2f} |")
    return "\n".join(lines)


def _ratio(ours: list[float], theirs: list[float]) -> float:
    return median(a / b if b else nan for a, b in zip(ours, theirs, strict=True))


def write_csv(rows: list[Row], path: Path) -> None:
    """One line a row, times in milliseconds, rounds separated by semicolons."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["width_mm", "what", "wall_ms", "processor_ms", "peak_mb", "image_error"])
        for row in rows:
            rounds = (";".join(f"{1e3 * value:.3f}" for value in values) for values in (row.wall, row.processor))
            writer.writerow([f"{row.width:g}", row.name, *rounds, row.peak_mb, row.image_error])


def _present(way: Way) -> Way | None:
    reason = way.available()
    if reason is not None:
        print(f"not here: {way.name} ({reason})")
    return way if reason is None else None


def _mesh(triangles: int) -> tuple[int, int]:
    """Around and along: as many triangles as wanted, or a few less."""
    around = max(20, 10 * round((triangles / 2 * 1.25) ** 0.5 / 10))
    return around, 20 * (triangles // (2 * around * 20))


def _what(options: argparse.Namespace) -> str:
    around, along = _mesh(options.triangles)
    return (
        f"A hip cup of {2 * around * along:,} triangles, 52 mm wide, seen in {options.size} x {options.size} pixels; "
        f"{options.repeats} rounds in turns. Image error: beside the first row's thickness, relative L2."
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=512, help="pixels a side")
    parser.add_argument("--triangles", type=int, default=100_000)
    parser.add_argument("--repeats", type=int, default=7, help="rounds")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="default: all cores")
    parser.add_argument("--no-memory", action="store_true", help="time only")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"), help="folder (default: %(default)s)")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--width", type=float, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        _child(options)
    return options


if __name__ == "__main__":
    main()
