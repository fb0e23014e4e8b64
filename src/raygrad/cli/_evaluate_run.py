"""`raygrad evaluate registration`: runs an evaluation and writes what it found."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import torch

from raygrad._optional import require
from raygrad.cli._parsing import UserError
from raygrad.data import Subject
from raygrad.evaluation import (
    CONDITIONS,
    VIEWS,
    Case,
    Row,
    evaluate,
    list_failures,
    markdown,
    plot_capture_range,
    plot_cases,
    write_rows,
)


def parse_conditions(text: str | None, subject: Subject) -> list[str]:
    """The letters of a text such as "abc"; by default all that the CT allows: "e" needs names of structures."""
    if text is None:
        named = subject.mask is not None and subject.structures is not None
        return [letter for letter, condition in CONDITIONS.items() if named or not condition.spine_moves]
    letters = [letter for letter in text.lower() if letter not in ", "]
    if not letters or not set(letters) <= set(CONDITIONS):
        raise UserError(f"--conditions takes letters of {''.join(CONDITIONS)}, not '{text}'.")
    return list(dict.fromkeys(letters))


def parse_views(text: str) -> list[str]:
    """The names of a text such as "ap,lateral"."""
    names = text.lower().replace(",", " ").split()
    if not names or not set(names) <= set(VIEWS):
        raise UserError(f"--views takes names out of {', '.join(VIEWS)}, not '{text}'.")
    return list(dict.fromkeys(names))


def evaluate_to_folder(
    subject: Subject,
    folder: Path,
    conditions: Sequence[str],
    views: Sequence[str],
    starts: int,
    degrees: float | int,
    mm: float | int,
    seed: int,
    method: str,
    give_masks: bool = True,
    device: torch.device | str = "cpu",
) -> Iterator[str]:
    """Run the evaluation with a progress bar; yields the summary, the failures and the files that were written.

    Raises:
        ValueError: as for `evaluate`.
        OSError: the folder cannot be written to.
    """
    cases: list[Case] = []
    rows = evaluate(
        subject, conditions, views, starts, degrees, mm,
        seed=seed, method=method, give_masks=give_masks, on_case=cases.append, device=device,
    )  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    table, figure, xrays = folder / "registration.csv", folder / "capture_range.png", folder / "xrays.png"
    done = list(with_progress(write_rows(rows, table), len(conditions) * len(views) * starts))
    summary = markdown(done)
    (folder / "registration.md").write_text(summary + "\n", encoding="utf-8")
    plot_capture_range(done, figure)
    plot_cases(cases, xrays)
    yield summary
    yield list_failures(done) or "No failures."
    yield "\n".join(f"{path}" for path in (table, folder / "registration.md", figure, xrays))


def with_progress(rows: Iterator[Row], total: int) -> Iterator[Row]:
    """Pass the rows on under a progress bar that counts the successes."""
    tqdm = require("tqdm", "progress bars", extra="cli").tqdm
    successes = 0
    with tqdm(total=total, ncols=90, unit="") as bar:
        for number, row in enumerate(rows, start=1):
            successes += row.success
            bar.set_description(f"{row.method} {row.condition} {row.view}")
            bar.set_postfix_str(f"{successes}/{number} right")
            bar.update()
            yield row
