"""Everything that is measured on a GPU, in one call: renders beside the peers', and three whole tasks.

python benchmarks/gpu.py                      # all of it; no scene is begun after 7 minutes
python benchmarks/gpu.py --sizes 200 --batches 1 --dtypes float32       # the issue's figures alone
python benchmarks/gpu.py --device cpu --sizes 16 --batches 1 2 --sparse 8 --only "raygrad siddon"  # tries the code out

Writes render-<card>.csv, .md and .png into `--out`, anew after every scene, so that what is stopped keeps what it has.
How it measures is told in README.md and `device_timing`.
"""

import argparse
import time
from pathlib import Path

from device_render import DTYPES, DeviceRow, Plan, order_scenes, time_scenes
from device_report import Setting, plot, table, targets, write_csv
from device_timing import clock_of
from devices import name_of, require_device, slug_of, software_of
from scene import VIEWS, ct_of, load_subject
from tasks import SPARSE, SPARSE_HELP, run_tasks, tasks_table


def main(arguments: list[str] | None = None) -> None:
    """Run what was asked, print every scene and the figures to reach, write the files."""
    begun = time.monotonic()
    options = _parser().parse_args(arguments)
    device = require_device(options.device)
    subject, what = load_subject()
    setting = Setting(what, name_of(device), software_of(device))
    print(setting, flush=True)
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / f"render-{slug_of(device)}"

    tasks = "not run"
    if not options.no_tasks:
        tasks = tasks_table(run_tasks(subject, device, options.task_repeats, options.sparse))
        print(f"\n{tasks}", flush=True)
    rows: list[DeviceRow] = []
    plan = Plan(
        order_scenes(options.view, options.sizes, options.batches, options.dtypes),
        tuple(options.only),
        options.repeats,
        options.round_seconds,
        options.limit,
        begun + 60 * options.minutes,
    )
    for scene_rows in time_scenes(ct_of(subject), plan, device, clock_of(device)):
        rows += scene_rows
        print(f"{table(scene_rows)}\n({time.monotonic() - begun:.0f} s)", flush=True)
        write_csv(rows, setting, path.with_suffix(".csv"))
        _write_markdown(rows, tasks, setting, options.view, path.with_suffix(".md"))
    print(f"\n{targets(rows, options.view)}\n\n{tasks}")
    if any(row.rounds for row in rows):
        plot(rows, setting, path.with_suffix(".png"))
        print(f"\nwrote {path}.csv, .md and .png in {time.monotonic() - begun:.0f} s")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Measures raygrad and its peers on a GPU (see benchmarks/README.md).")
    parser.add_argument("--device", default="cuda", help="cuda or xpu; cpu tries the code out (default: cuda)")
    parser.add_argument("--sizes", type=int, nargs="+", default=[200, 512, 1024, 2048], help="pixels a side")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 4, 16, 64], help="poses in a call")
    parser.add_argument(
        "--dtypes", choices=DTYPES, nargs="+", default=list(DTYPES), help="of the volume (default: all)"
    )
    parser.add_argument("--view", choices=VIEWS, default="ap", help="default: ap")
    parser.add_argument("--only", nargs="+", default=[], metavar="WORD", help="competitors with one of these words")
    parser.add_argument("--repeats", type=int, default=5, help="rounds (default: 5)")
    parser.add_argument("--round-seconds", type=float, default=0.02, help="for each figure and round (default: 0.02)")
    parser.add_argument("--limit", type=float, default=30, help="leave out what takes longer to begin, in seconds")
    parser.add_argument("--minutes", type=float, default=7, help="begin no further scene after that (default: 7)")
    parser.add_argument("--no-tasks", action="store_true", help="render only")
    parser.add_argument("--task-repeats", type=int, default=5, help="runs of a task after the first (default: 5)")
    parser.add_argument("--sparse", type=int, choices=SPARSE, default=1, metavar="N", help=SPARSE_HELP)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results", help="default: %(default)s")
    return parser


def _write_markdown(rows: list[DeviceRow], tasks: str, setting: Setting, view: str, path: Path) -> None:
    path.write_text(
        f"{setting}\n\n## The figures to reach\n\n{view}, 200 x 200 pixels of 2 mm, batch 1, float32; medians.\n\n"
        f"{targets(rows, view)}\n\n## Tasks\n\n{tasks}\n\n## Renders\n{table(rows)}\n",
        encoding="utf-8",
    )


if __name__ == "__main__":
    main()
