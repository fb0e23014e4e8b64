"""What an evaluation found: CSV, tables of success and time, and the capture-range curve."""

import csv
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Any, get_args

import numpy as np

from raygrad.evaluation._conditions import CONDITIONS
from raygrad.evaluation._run import COLUMNS, Row


def write_rows(rows: Iterable[Row], path: Path) -> Iterator[Row]:
    """Pass the rows on, each written to a CSV as it comes, so that a run cut short leaves what it has done.

    Args:
        rows: as `evaluate` makes them.
        path: of the file.
    """
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for row in rows:
            writer.writerow([_to_text(value) for value in astuple(row)])
            file.flush()
            yield row


def read_rows(path: Path) -> list[Row]:
    """Rows that `write_rows` wrote; ValueError if the columns are others."""
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        if reader.fieldnames != COLUMNS:
            raise ValueError(f"Expected the columns {COLUMNS}. Got {reader.fieldnames} in '{path}'.")
        return [
            Row(**{field.name: _from_text(line[field.name], field.type) for field in fields(Row)}) for line in reader
        ]


def _to_text(value: object) -> str:
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _from_text(text: str, kind: Any) -> Any:
    if type(None) in get_args(kind):
        return float(text) if text else None
    return text == "True" if kind is bool else kind(text)


@dataclass(frozen=True)
class Summary:
    """How the registrations of one group ended. Errors in mm are of all of them, failures too.

    Attributes:
        name: what the group has in common.
        count: registrations.
        rate: share of successes, and `low` and `high`, its 95 % interval.
        accepted: successes that were accepted too, or, where a pose may be refused, that were not accepted wrongly.
        in_plane_rate, mtre_rate: shares that keep each limit by itself.
        median_spine, median_spine_in_plane: of what has moved within the body.
        ratio_in_plane, ratio_depth, ratio_turn: errors over their standard deviations, of accepted poses: the median
            and what 95 % stay below; None without any.
        median_halves: disagreement of the worst half, in mm.
        failures: how many ended without success, by status.
    """

    name: tuple[str, ...]
    count: int
    successes: int
    accepted: int
    rate: float
    low: float
    high: float
    mtre_rate: float | None
    in_plane_rate: float | None
    median_mtre: float
    high_mtre: float
    median_in_plane: float
    high_in_plane: float
    median_depth: float
    median_spine: float | None
    median_spine_in_plane: float | None
    ratio_in_plane: tuple[float, float] | None
    ratio_depth: tuple[float, float] | None
    ratio_turn: tuple[float, float] | None
    median_halves: float | None
    median_seconds: float
    high_seconds: float
    false_successes: int
    false_alarms: int
    failures: dict[str, int]


def summarise(rows: Sequence[Row], by: Sequence[str] = ("method", "condition", "degrees", "mm")) -> list[Summary]:
    """Summaries of groups of rows, in the order of their first row.

    Args:
        rows: of an evaluation.
        by: the columns that the rows of a group agree in.
    """
    groups: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(_to_text(getattr(row, column)) for column in by), []).append(row)
    return [_summary(name, group) for name, group in groups.items()]


def _summary(name: tuple[str, ...], rows: list[Row]) -> Summary:
    successes = sum(row.success for row in rows)
    low, high = wilson_interval(successes, len(rows))
    failures: dict[str, int] = {}
    for row in rows:
        if not row.success:
            failures[row.status or "no status"] = failures.get(row.status or "no status", 0) + 1
    limits = [CONDITIONS[row.condition] for row in rows]
    in_plane = [row.in_plane < of.in_plane for row, of in zip(rows, limits, strict=True) if of.in_plane is not None]
    whole = [row.mtre < of.mtre for row, of in zip(rows, limits, strict=True) if of.mtre is not None]
    ratios = [_ratios(rows, f"ratio_{of}") for of in ("in_plane", "depth", "turn")]
    mtre, across, depth, seconds = (
        np.array([getattr(row, column) for row in rows]) for column in ("mtre", "in_plane", "depth", "seconds")
    )
    return Summary(
        name=name,
        count=len(rows),
        successes=successes,
        accepted=sum(row.success and (row.accepted or CONDITIONS[row.condition].may_refuse) for row in rows),
        rate=successes / len(rows),
        low=low,
        high=high,
        mtre_rate=float(np.mean(whole)) if len(whole) == len(rows) else None,
        in_plane_rate=float(np.mean(in_plane)) if len(in_plane) == len(rows) else None,
        median_mtre=float(np.median(mtre)),
        high_mtre=float(np.quantile(mtre, 0.95)),
        median_in_plane=float(np.median(across)),
        high_in_plane=float(np.quantile(across, 0.95)),
        median_depth=float(np.median(depth)),
        median_spine=_median(rows, "spine_mtre"),
        median_spine_in_plane=_median(rows, "spine_in_plane"),
        ratio_in_plane=ratios[0],
        ratio_depth=ratios[1],
        ratio_turn=ratios[2],
        median_halves=_median(rows, "halves"),
        median_seconds=float(np.median(seconds)),
        high_seconds=float(np.quantile(seconds, 0.95)),
        false_successes=sum(row.false_success for row in rows),
        false_alarms=sum(row.false_alarm for row in rows),
        failures=dict(sorted(failures.items(), key=lambda item: -item[1])),
    )


def _median(rows: Sequence[Row], column: str) -> float | None:
    known = [value for row in rows if (value := getattr(row, column)) is not None]
    return float(np.median(known)) if known else None


def _ratios(rows: Sequence[Row], column: str) -> tuple[float, float] | None:
    """Of accepted poses: another lies where its deviations say nothing of the truth."""
    known = [value for row in rows if row.accepted and (value := getattr(row, column)) is not None]
    return (float(np.median(known)), float(np.quantile(known, 0.95))) if known else None


def wilson_interval(successes: int, count: int, z: float = 1.96) -> tuple[float, float]:
    """The interval that holds the share of `successes` among a `count`, with 95 % confidence for z = 1.96.

    E. B. Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22 (1927): unlike the
    normal approximation it is right for shares near 0 and 1 and for few trials.
    """
    share, width = successes / count, z * z / count
    middle = (share + width / 2) / (1 + width)
    half = math.sqrt(share * (1 - share) * width + width * width / 4) / (1 + width)
    # Rounding must not put the share itself outside.
    return max(0.0, min(share, middle - half)), min(1.0, max(share, middle + half))


def markdown(rows: Sequence[Row], by: Sequence[str] = ("method", "condition", "degrees", "mm")) -> str:
    """The summary of rows, grouped by columns, as a Markdown table; medians, and in brackets what 95 % stay below."""
    head = [
        *by,
        "n",
        "success (95 % interval)",
        "accepted",
        "false successes",
        "false alarms",
        "in plane mm",
        "depth mm",
    ]
    head += [
        "mTRE mm",
        "spine in plane, mTRE mm",
        "error / deviation: in plane",
        "depth",
        "turn",
        "halves mm",
        "time s",
    ]
    head += ["failures by status"]
    lines = ["| " + " | ".join(head) + " |", "| " + " | ".join(["---"] * len(head)) + " |"]
    for of in summarise(rows, by):
        failures = ", ".join(f"{count} {status}" for status, count in of.failures.items())
        spine = (of.median_spine_in_plane, of.median_spine)
        cells = [
            *of.name,
            str(of.count),
            f"{of.rate:.1%} ({of.low:.0%} to {of.high:.0%})",
            str(of.accepted),
            str(of.false_successes),
            str(of.false_alarms),
            f"{of.median_in_plane:.3g} ({of.high_in_plane:.3g})",
            f"{of.median_depth:.3g}",
            f"{of.median_mtre:.3g} ({of.high_mtre:.3g})",
            ", ".join(f"{value:.3g}" for value in spine if value is not None),
            *(f"{ratio[0]:.2g} ({ratio[1]:.2g})" if ratio else "" for ratio in _ratios_of(of)),
            "" if of.median_halves is None else f"{of.median_halves:.2g}",
            f"{of.median_seconds:.3g} ({of.high_seconds:.3g})",
            failures or "none",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _ratios_of(summary: Summary) -> tuple[tuple[float, float] | None, ...]:
    return summary.ratio_in_plane, summary.ratio_depth, summary.ratio_turn


def list_failures(rows: Sequence[Row]) -> str:
    """A line for every registration that failed, and for every one whose status is wrong."""
    lines = []
    for row in rows:
        if row.success and not row.false_alarm:
            continue
        verdict = "false alarm" if row.false_alarm else "FALSE SUCCESS" if row.false_success else "failed"
        spine = "" if row.spine_mtre is None else f", spine {row.spine_mtre:.3g}"
        lines.append(
            f"{verdict}: {row.method} {row.condition} {row.view} start {row.start} "
            f"(of {row.degrees:g} deg, {row.mm:g} mm): mTRE {row.start_mtre:.1f} -> "
            f"{row.mtre:.3g} mm (in plane {row.in_plane:.3g}, depth {row.depth:.3g}{spine}), "
            f"{row.status or 'no status'}, score {row.score:.4f}, {row.seconds:.2f} s"
        )
    return "\n".join(lines)


@dataclass(frozen=True)
class Bin:
    """Registrations whose starts had an mTRE from `start` to `stop` mm."""

    start: float
    stop: float
    count: int
    rate: float
    low: float
    high: float


def capture_range(rows: Sequence[Row], width: float | int = 10.0) -> list[Bin]:
    """Success rate against the mTRE of the start, in bins of `width` mm; empty bins are left out."""
    width = float(width)
    bins: dict[int, list[bool]] = {}
    for row in rows:
        bins.setdefault(int(row.start_mtre // width), []).append(row.success)
    return [
        Bin(
            index * width, (index + 1) * width, len(ends), sum(ends) / len(ends), *wilson_interval(sum(ends), len(ends))
        )
        for index, ends in sorted(bins.items())
    ]
