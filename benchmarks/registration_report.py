"""The tables of `registration.py`: realistic X-rays first, idealised ones second, beside the figures to reach."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from peers.diffdrr_registration import ITERATIONS, DiffDRRRecipe

from raygrad.evaluation import CONDITIONS, Row, list_failures, markdown, summarise, wilson_interval

BY = ("method", "condition", "degrees", "mm")
REAL = [letter for letter, condition in CONDITIONS.items() if condition.technique]
FOUND = [letter for letter in REAL if not CONDITIONS[letter].may_refuse]
"""Realistic X-rays of which one rigid pose is right."""
MARK = "<!-- registration: {} -->"


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


def report(rows: Sequence[Row], what: str) -> str:
    """All tables, in Markdown."""
    real = [row for row in rows if row.condition in REAL]
    ideal = [row for row in rows if row.condition not in REAL]
    failures = list_failures(rows) or "none"
    parts = [what]
    if real:
        parts += ["## Realistic X-rays", _LEGEND, markdown(real, BY), "## The figures to reach", realistic(real)]
    if ideal:
        parts += ["## Idealised X-rays", targets(ideal), markdown(ideal, BY)]
    parts += ["## Views", markdown(rows, (*BY, "view")), "## Failures", f"```\n{failures}\n```"]
    return "\n\n".join(parts) + "\n"


_LEGEND = (
    "Medians, and in brackets what 95 % stay below. *Accepted* are successes that say `converged` (n: that do not say "
    "so of a wrong pose); a *false success* does with over 2 mm in plane; a *false alarm* is right and says otherwise."
)


def realistic(rows: Sequence[Row]) -> str:
    """The figures over all realistic conditions beside what was asked for."""
    found = [row for row in rows if row.condition in FOUND and row.method == "register"]
    every = [row for row in rows if row.method == "register"]
    lines = ["| figure | reached | n | at least | aim | |", "| --- | --- | --- | --- | --- | --- |"]
    if not found:
        return "\n".join(lines)
    kept = sum(row.success and row.accepted for row in found)
    low, high = wilson_interval(kept, len(found))
    share = kept / len(found)
    lines.append(
        f"| that can be found: accepted and right | {share:.1%} ({low:.0%} to {high:.0%}) | {len(found)} | 95% | 99% | "
        f"{_verdict(share >= 0.95, share >= 0.99)} |"
    )
    false = sum(row.false_success for row in every)
    lines.append(f"| false successes | {false} | {len(every)} | 0 | 0 of 1000 | {_verdict(not false, not false)} |")
    for name, column, at_least, aim in (("in-plane", "in_plane", 0.2, 0.1), ("3D", "mtre", 0.8, 0.4)):
        reached = median(getattr(row, column) for row in found)
        verdict = _verdict(reached <= at_least, reached <= aim)
        lines.append(f"| median {name} error, mm | {reached:.3g} | {len(found)} | {at_least} | {aim} | {verdict} |")
    (of,) = summarise(found, ("method",))
    for name, ratio in (("in plane", of.ratio_in_plane), ("depth", of.ratio_depth), ("turn", of.ratio_turn)):
        if ratio is not None:
            verdict = _verdict(0.5 <= ratio[0] <= 2 and ratio[1] <= 3, 0.5 <= ratio[0] <= 2 and ratio[1] <= 3)
            what = f"error / deviation, {name}: median (95 %)"
            lines.append(f"| {what} | {ratio[0]:.2g} ({ratio[1]:.2g}) | {of.accepted} | 0.5 to 2 (3) | | {verdict} |")
    return "\n".join(lines)


def targets(rows: Sequence[Row]) -> str:
    """The figures of idealised X-rays: what was reached beside what was asked for."""
    head = "| figure | reached | n | at least | aim | |\n| --- | --- | --- | --- | --- | --- |"
    lines = [_share_line(target, rows) for target in TARGETS]
    near = [row.seconds for row in rows if (row.method, row.condition, row.degrees) == ("register", "a", 20)]
    far = [row.seconds for row in rows if (row.method, row.degrees) == ("search", 60)]
    peer = [row for row in rows if row.method == DiffDRRRecipe.name and row.condition == "a"]
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


def _share_line(target: Target, rows: Sequence[Row]) -> str:
    wanted = (target.method, target.condition, target.degrees, target.mm)
    chosen = [row for row in rows if (row.method, row.condition, row.degrees, row.mm) == wanted]
    if not chosen:
        return f"| {target.what} | not run | 0 | {target.at_least:.0%} | {target.aim:.0%} | |"
    (of,) = summarise(chosen, BY)
    rate = {"success": of.rate, "mtre": of.mtre_rate, "in_plane": of.in_plane_rate}[target.share]
    assert rate is not None
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


# README.md


def readme_rows(rows: Sequence[Row]) -> str:
    """What README.md shows: a line for each condition, realistic ones first."""
    lines = [
        "| X-ray of the built-in thorax; starts | right | and accepted | false successes | in plane | in 3D | time |"
    ]
    lines.append("| --- | --- | --- | --- | --- | --- | --- |")
    order = [*REAL, *(letter for letter in CONDITIONS if letter not in REAL)]
    chosen = [row for row in rows if row.method in ("register", "search")]
    chosen.sort(key=lambda row: (row.method, order.index(row.condition)))
    for of in summarise(chosen, BY):
        method, condition, degrees, mm = of.name
        how = "search within" if method == "search" else "within"
        lines.append(
            f"| ({condition}) {CONDITIONS[condition].what}; {how} {degrees}°, {mm} mm | {of.successes} of {of.count} | "
            f"{of.accepted} | {of.false_successes} | {_mm(of.median_in_plane)} | {_mm(of.median_mtre)} | "
            f"{of.median_seconds:.2g} s |"
        )
    return "\n".join(lines)


def _mm(length: float) -> str:
    return f"{length:.2g} mm" if length < 10 else f"{length:.0f} mm"


def write_between_marks(path: Path, text: str) -> bool:
    """Put a text between the marks of a file; False if it has none."""
    begin, end = MARK.format("rows"), MARK.format("end")
    whole = path.read_text(encoding="utf-8")
    if begin not in whole or end not in whole:
        return False
    before, rest = whole.split(begin, 1)
    _, after = rest.split(end, 1)
    path.write_text(f"{before}{begin}\n\n{text}\n\n{end}{after}", encoding="utf-8")
    return True
