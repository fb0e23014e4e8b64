"""How often, how closely and how fast raygrad registers, beside the figures it sets out to reach and DiffDRR's recipe.

python benchmarks/registration.py             # every condition, 100 starts a view, searches; half an hour
python benchmarks/registration.py --quick     # 5 starts a view; minutes
python benchmarks/registration.py --device cuda  # on a GPU, which compiles in its first registration
python benchmarks/registration.py --peer 2    # and DiffDRR's recipe on 2 of the starts; up to 25 minutes each

What the X-rays are like is told in `raygrad.evaluation` (`CONDITIONS`, `Exposure`), where starts are drawn and errors
measured too. The CT is raygrad's thorax phantom, or with `RAYGRAD_CHEST_CT` DiffDRR's chest CT in that folder.
"""

import argparse
import os
import platform
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import torch
from devices import name_of, require_device, slug_of
from on_device import OnDevice
from peers.diffdrr_registration import ITERATIONS, DiffDRRRecipe

from raygrad.data import Subject, load_example_ct
from raygrad.evaluation import (
    CONDITIONS,
    VIEWS,
    Row,
    conditions_of,
    evaluate,
    list_failures,
    markdown,
    plot_capture_range,
    summarise,
    wilson_interval,
    write_rows,
)

BY = ("method", "condition", "degrees", "mm")


@dataclass(frozen=True)
class Run:
    """Registrations of one kind: `count` for each view."""

    method: str
    conditions: str
    degrees: float
    mm: float
    count: int


@dataclass(frozen=True)
class Target:
    """A share of registrations to reach."""

    what: str
    method: str
    condition: str
    degrees: float
    mm: float
    at_least: float
    aim: float
    share: str = "success"
    """What counts: "success", "mtre" or "in_plane" below its limit."""


TARGETS = [
    Target("(a) 20 deg, 30 mm: mTRE under 0.1 mm", "register", "a", 20, 30, 0.95, 0.99),
    Target("(a) the same with search", "search", "a", 20, 30, 1.0, 1.0),
    Target("(a) 30 deg, 50 mm: mTRE under 0.1 mm", "register", "a", 30, 50, 0.80, 0.95),
    Target("(b) mTRE under 0.3 mm", "register", "b", 20, 30, 0.90, 0.98),
    Target("(c) in-plane error under 0.3 mm", "register", "c", 20, 30, 0.90, 0.98, "in_plane"),
    Target("(c) mTRE under 0.8 mm", "register", "c", 20, 30, 0.90, 0.98, "mtre"),
    Target("(d) mTRE under 0.3 mm", "register", "d", 20, 30, 0.95, 0.99),
    Target("search over 60 deg, 100 mm: right pose", "search", "a", 60, 100, 0.90, 0.98),
]


def main() -> None:
    """Load the CT, run what was asked, print the tables, write the files."""
    options = _options()
    device = require_device(options.device)
    torch.set_num_threads(options.threads)
    subject, what = _load_ct(options.ct)
    where = f"{options.threads} threads" if device.type == "cpu" else name_of(device)
    print(f"{what}\n{where}, load {os.getloadavg()[0]:.1f}, {platform.platform()}")
    options.out.mkdir(parents=True, exist_ok=True)
    name = "registration" if options.ct == "example" else f"registration-{options.ct}"
    name += "" if device.type == "cpu" else f"-{slug_of(device)}"
    table, text, figure = (options.out / f"{name}{suffix}" for suffix in (".csv", ".md", ".png"))
    rows = list(write_rows(_all_rows(subject, options, device), table))
    found = report(rows, f"{what}; {where}; seed {options.seed}")
    text.write_text(found, encoding="utf-8")
    plot_capture_range([row for row in rows if row.method in ("register", "search")], figure)
    print(f"\n{found}\nwrote {table}, {text} and {figure}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Registers simulated X-rays from seeded starts.")
    parser.add_argument(
        "--ct", choices=["example", "chest"], default=None, help="default: chest if RAYGRAD_CHEST_CT is set"
    )
    parser.add_argument("--conditions", help="letters of abcde (default: all)")
    parser.add_argument("--views", nargs="+", choices=VIEWS, default=list(VIEWS), help="default: all")
    parser.add_argument("--starts", type=int, default=100, help="for each view, half but for clean ones (default: 100)")
    parser.add_argument("--searches", type=int, default=20, help="for each view and range (default: 20)")
    parser.add_argument("--quick", action="store_true", help="5 starts and 2 searches for each view")
    parser.add_argument("--peer", type=int, default=0, metavar="N", help="DiffDRR's recipe on N starts a view, clean")
    parser.add_argument("--peer-views", nargs="+", choices=VIEWS, default=["ap"], help="default: ap")
    parser.add_argument("--peer-seconds", type=float, default=3600, help="at most, for each of them (default: 3600)")
    parser.add_argument("--device", default="cpu", help="cuda or xpu: raygrad registers there (default: cpu)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="default: all cores")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"), help="folder (default: %(default)s)")
    options = parser.parse_args()
    options.ct = options.ct or ("chest" if os.environ.get("RAYGRAD_CHEST_CT") else "example")
    if options.quick:
        options.starts, options.searches = 5, 2
    return options


def _load_ct(name: str) -> tuple[Subject, str]:
    subject = load_example_ct("chest" if name == "chest" else "thorax")
    return subject, f"{name} CT, {subject.volume!r}"


def _runs(options: argparse.Namespace, allowed: list[str]) -> list[Run]:
    """Every condition from starts within 20 degrees and 30 mm; the clean one from further away, and searched.

    The clean condition within 20 degrees has all the starts that were asked for, the others half as many.
    """
    letters = "".join(letter for letter in allowed if letter in (options.conditions or "".join(CONDITIONS)))
    half = max(1, options.starts // 2)
    runs = [Run("register", letters.replace("a", ""), 20, 30, half)]
    if "a" in letters:
        runs += [Run("register", "a", 20, 30, options.starts), Run("register", "a", 30, 50, half)]
        if options.searches:
            runs += [Run("search", "a", *ranges, options.searches) for ranges in ((20, 30), (60, 100))]
    return [run for run in runs if run.conditions]


def _all_rows(subject: Subject, options: argparse.Namespace, device: torch.device) -> Iterator[Row]:
    for run in _runs(options, conditions_of(subject)):
        solver = None if device.type == "cpu" else OnDevice(run.method, device)
        yield from evaluate(
            subject, run.conditions, options.views, run.count, run.degrees, run.mm,
            seed=options.seed, method=run.method, solver=solver, progress=True,
        )  # fmt: skip
    if options.peer:
        recipe = DiffDRRRecipe(options.peer_seconds)
        if reason := recipe.available():
            print(f"not here: {recipe.name} ({reason})")
            return
        yield from evaluate(
            subject, "a", options.peer_views, options.peer, 20, 30,
            seed=options.seed, method=recipe.name, solver=recipe, progress=True,
        )  # fmt: skip


def report(rows: list[Row], what: str) -> str:
    """All tables, in Markdown."""
    failures = list_failures(rows) or "none"
    return (
        f"{what}\n\n## The figures to reach\n\n{targets(rows)}\n\n## Conditions\n\nMedians, and in brackets what 95 % "
        f"stay below.\n\n{markdown(rows, BY)}\n\n## Views\n\n{markdown(rows, (*BY, 'view'))}\n\n## Failures\n\n"
        f"```\n{failures}\n```\n"
    )


def targets(rows: list[Row]) -> str:
    """The issue's figures: what was reached beside what was asked for."""
    head = "| figure | reached | n | at least | aim | |\n| --- | --- | --- | --- | --- | --- |"
    lines = [_share_line(target, rows) for target in TARGETS]
    near = [row.seconds for row in rows if (row.method, row.condition, row.degrees) == ("register", "a", 20)]
    far = [row.seconds for row in rows if (row.method, row.degrees) == ("search", 60)]
    peer = [row for row in rows if row.method == DiffDRRRecipe.name]
    lines.append(_less_line("(a) median time for one registration, s", near, 1.0, 0.4))
    lines.append(_less_line("search over 60 deg, 100 mm: median time, s", far, 20.0, 8.0))
    if near and peer:
        whole = median(row.seconds for row in peer) / median(near)
        cut = "at least " if any("time limit" in row.note for row in peer) else ""
        verdict = _verdict(whole >= 500, whole >= 2000)
        what = "DiffDRR's recipe over ours, time of one registration"
        lines.append(f"| {what} | {cut}{whole:.0f} times | {len(peer)} | 500 | 2000 | {verdict} |")
        each = median(row.seconds / row.iterations for row in peer)
        lines.append(f"| DiffDRR's recipe: one of its {ITERATIONS} iterations, s | {each:.3g} | {len(peer)} | | | |")
    return "\n".join([head, *lines])


def _share_line(target: Target, rows: list[Row]) -> str:
    chosen = [
        row
        for row in rows
        if (row.method, row.condition, row.degrees, row.mm)
        == (target.method, target.condition, target.degrees, target.mm)
    ]
    if not chosen:
        return f"| {target.what} | not run | 0 | {target.at_least:.0%} | {target.aim:.0%} | |"
    (of,) = summarise(chosen, BY)
    rate = {"success": of.rate, "mtre": of.mtre_rate, "in_plane": of.in_plane_rate}[target.share]
    low, high = wilson_interval(round(rate * of.count), of.count)
    verdict = _verdict(rate >= target.at_least, rate >= target.aim)
    share = f"{rate:.1%} ({low:.0%} to {high:.0%})"
    return f"| {target.what} | {share} | {of.count} | {target.at_least:.0%} | {target.aim:.0%} | {verdict} |"


def _less_line(what: str, seconds: list[float], at_least: float, aim: float) -> str:
    if not seconds:
        return f"| {what} | not run | 0 | {at_least:g} | {aim:g} | |"
    reached = median(seconds)
    verdict = _verdict(reached <= at_least, reached <= aim)
    return f"| {what} | {reached:.3g} | {len(seconds)} | {at_least:g} | {aim:g} | {verdict} |"


def _verdict(enough: bool, aimed: bool) -> str:
    return "aim reached" if aimed else "reached" if enough else "NOT reached"


if __name__ == "__main__":
    main()
