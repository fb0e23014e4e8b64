"""raygrad beside its peers: one run, one table. How it measures is told in README.md.

python benchmarks/render.py                  # 200 x 200 and 50 x 50 pixels, AP, batch 1, and raygrad's memory
python benchmarks/render.py --full           # sizes 100 to 1000, batches 1 to 16, every competitor's memory
python benchmarks/render.py --device cuda    # on a GPU: the renders of gpu.py, with its options
"""

import argparse
import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch
from memory import limit_memory, measure_memory
from peers import Competitor, competitors
from report import plot, table, targets, write_csv
from scene import CT, VIEWS, Scene, load_ct
from timing import Estimate, Row, time_scene

FULL_SIZES = (50, 100, 200, 400, 700, 1000)
FULL_BATCHES = (1, 4, 16)
PACKAGES = ("raygrad", "diffdrr", "nanodrr", "diffct", "itk-rtk", "torch", "numpy")


def main() -> None:
    """Load the CT, run what was asked, print the tables, write the files."""
    device, arguments = _device()
    if device != "cpu":
        import gpu

        gpu.main(["--device", device, "--no-tasks", *arguments])
        return
    options = _options(arguments)
    torch.set_num_threads(options.threads)
    free_gb = _free_gb()
    limit_gb = options.memory_limit or free_gb / 2
    ct, what = load_ct()
    machine = f"{_processor()}, {options.threads} threads"
    print(f"{what}\n{machine}, {free_gb:.0f} GB free, load {os.getloadavg()[0]:.1f}, {platform.platform()}")
    print(", ".join(f"{name} {_version(name)}" for name in PACKAGES))
    present = _present(options.only)
    for competitor in present:
        print(f"loading the volume into {competitor.name}", flush=True)
        competitor.load(ct.in_order(competitor.memory_order))
    limit_memory(0.9 * _free_gb())

    options.out.mkdir(parents=True, exist_ok=True)
    estimate = Estimate()
    rows: list[Row] = []
    for scene in _scenes(options):
        rows += time_scene(present, scene, options.repeats, options.budget, options.limit, estimate)
        print(table([row for row in rows if row.scene == scene]), flush=True)
        write_csv(rows, options.out / "render.csv")
    if not options.no_memory:
        rows += _memory(ct, present, rows, options, limit_gb)

    write_csv(rows, options.out / "render.csv")
    plot(rows, options.out / "render.png", f"{what}. {machine}. Median of {options.repeats} interleaved rounds.")
    for view in options.views:
        print(f"\n{view}, 200 x 200 pixels of 2 mm unless said otherwise\n{targets(rows, view)}")
    print(f"\nwrote {options.out / 'render.csv'} and {options.out / 'render.png'}")


def _device() -> tuple[str, list[str]]:
    """The device, and the other arguments: those of a GPU are gpu.py's."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--device", default="cpu")
    options, others = parser.parse_known_args()
    return options.device, others


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Times raygrad beside its peers on one CT (see benchmarks/README.md).")
    parser.add_argument("--device", default="cpu", help="cuda or xpu: on a GPU, with the options of gpu.py")
    parser.add_argument("--full", action="store_true", help=f"sizes {FULL_SIZES}, batches {FULL_BATCHES}, all memory")
    parser.add_argument("--sizes", type=int, nargs="+", help="pixels a side (default: 50 200)")
    parser.add_argument("--batches", type=int, nargs="+", help="poses in a call (default: 1)")
    parser.add_argument("--views", choices=VIEWS, nargs="+", default=["ap"], help="default: ap")
    parser.add_argument("--only", nargs="+", metavar="WORD", help="competitors whose name has one of these words")
    parser.add_argument("--repeats", type=int, default=11, help="rounds (default: 11)")
    parser.add_argument("--budget", type=float, default=30, help="seconds an operation may take over all its rounds")
    parser.add_argument("--limit", type=float, default=60, help="leave out what is expected to take longer, in seconds")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="default: all cores")
    parser.add_argument("--memory-limit", type=float, help="GB a competitor may take (default: half of what is free)")
    parser.add_argument("--memory-sizes", type=int, nargs="+", help="sizes to measure memory at (default: 1000)")
    parser.add_argument("--no-memory", action="store_true", help="time only")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"), help="folder (default: %(default)s)")
    options = parser.parse_args(arguments)
    options.sizes = options.sizes or (list(FULL_SIZES) if options.full else [50, 200])
    options.batches = options.batches or (list(FULL_BATCHES) if options.full else [1])
    options.memory_sizes = options.memory_sizes or ([200, 1000] if options.full else [1000])
    return options


def _present(only: list[str] | None) -> list[Competitor]:
    """The competitors that can run here; says why the others cannot."""
    present = []
    for competitor in competitors():
        if only and not any(word in competitor.name for word in only):
            continue
        reason = competitor.available()
        if reason is None:
            present.append(competitor)
        else:
            print(f"not here: {competitor.name} ({reason})")
    return present


def _scenes(options: argparse.Namespace) -> list[Scene]:
    return [Scene(v, s, b) for v in options.views for b in sorted(options.batches) for s in sorted(options.sizes)]


def _memory(
    ct: CT, present: list[Competitor], rows: list[Row], options: argparse.Namespace, limit_gb: float
) -> list[Row]:
    """Measure peak memory: of raygrad, or with `--full` of all, where the time run did not leave the case out."""
    left_out = {(row.competitor, row.operation, row.scene) for row in rows if row.note.startswith("left out")}
    measured: list[Row] = []
    for size in sorted(options.memory_sizes):
        scene = Scene(options.views[0], size, 1)
        for competitor in present:
            if competitor.name.startswith("plastimatch") or not (options.full or competitor.name.startswith("raygrad")):
                continue
            for operation in competitor.operations:
                if (competitor.name, operation, scene) in left_out:
                    continue
                row = _row(rows + measured, competitor.name, operation, scene)
                if row is None:
                    row = Row(competitor.name, operation, scene)
                    measured.append(row)
                try:
                    limit_s = 60 + 2 * options.limit
                    row.peak_mb = measure_memory(ct, competitor, operation, scene, options.threads, limit_gb, limit_s)
                    memory = f"{row.peak_mb:.1f} MB"
                except RuntimeError as error:
                    row.note = memory = f"no figure under {limit_gb:.0f} GB: {error}"
                print(f"memory: {competitor.name}, {operation}, {size} x {size}: {memory}", flush=True)
    return measured


def _row(rows: list[Row], competitor: str, operation: str, scene: Scene) -> Row | None:
    key = (competitor, operation, scene)
    return next((row for row in rows if (row.competitor, row.operation, row.scene) == key), None)


def _free_gb() -> float:
    """Memory that is free or can be made free, in GB."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")) * 1024 / 1e9
    except (OSError, StopIteration):
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2e9


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "(source tree)" if package == "raygrad" else "(not installed)"


if __name__ == "__main__":
    main()
