"""The results on a device as a CSV file, Markdown and a plot, and the ratios that raygrad sets out to reach."""

import csv
from collections.abc import Callable
from dataclasses import dataclass
from math import isnan
from pathlib import Path
from typing import Any

from device_render import DeviceRow
from report import OPERATION_NAMES, colour_of, verdict
from scene import Scene

COLUMNS = ["view", "size", "batch", "dtype", "competitor", "operation", "call_us", "ready_us", "gpu_us", "gpu_by"]
COLUMNS += ["call_rounds_us", "ready_rounds_us", "gpu_rounds_us", "image_error", "error_against", "peak_mb", "note"]
COLUMNS += ["ct", "device", "software"]


@dataclass(frozen=True)
class Setting:
    """What results were found with; every file names it."""

    ct: str
    device: str
    software: str

    def __str__(self) -> str:
        return f"{self.ct}. {self.device}; {self.software}."


@dataclass(frozen=True)
class DeviceTarget:
    """One figure to reach: how many times faster `ours` is than `theirs`, by a figure of `DeviceRow`."""

    what: str
    ours: tuple[str, str]
    theirs: tuple[str, str]
    figure: str
    at_least: float
    aim: float


def _against(theirs: str, operation: str, figure: str, what: str, at_least: float, aim: float) -> DeviceTarget:
    return DeviceTarget(what, ("raygrad siddon", operation), (theirs, operation), figure, at_least, aim)


TARGETS = [
    _against("nanodrr", "forward", "gpu_s", "siddon forward, GPU time, against nanodrr fused", 1, 2),
    _against("nanodrr", "forward", "call_s", "eager wall time against nanodrr eager", 3, 6),
    _against("nanodrr", "forward", "ready_s", "the same from cameras at hand", 3, 6),
    _against("nanodrr", "pose", "call_s", "forward + pose gradient, wall, against nanodrr", 3, 8),
    _against("nanodrr", "pose", "ready_s", "the same from cameras at hand", 3, 8),
    _against("nanodrr", "volume", "call_s", "forward + volume gradient, wall, against nanodrr", 1.5, 3),
    _against("nanodrr", "volume", "gpu_s", "the same, GPU time", 1.5, 3),
    _against("diffdrr siddon", "forward", "call_s", "forward, wall, against diffdrr siddon", 60, 200),
]


def targets(rows: list[DeviceRow], view: str) -> str:
    """The figures to reach, in Markdown: 200 x 200 pixels, batch 1, float32 volume, ratios of medians."""
    find = _finder(rows, Scene(view, 200, 1), "float32")
    lines = ["| figure | raygrad, us | theirs, us | ratio | at least | aim | |", "|" + " --- |" * 7]
    for target in TARGETS:
        ours, theirs = (getattr(find(*side), target.figure, None) for side in (target.ours, target.theirs))
        if not ours or not theirs or isnan(ours) or isnan(theirs):
            lines.append(f"| {target.what} | - | - | not run | {target.at_least:g} | {target.aim:g} | |")
            continue
        ratio = theirs / ours
        said = verdict(ratio, target.at_least, target.aim, small=False)
        lines.append(
            f"| {target.what} | {ours * 1e6:.4g} | {theirs * 1e6:.4g} | {ratio:.3g} | {target.at_least:g} "
            f"| {target.aim:g} | {said} |"
        )
    return "\n".join(lines)


def table(rows: list[DeviceRow]) -> str:
    """One Markdown table for every scene and dtype."""
    blocks = []
    for scene, dtype in dict.fromkeys((row.scene, row.dtype) for row in rows):
        size = f"{scene.size} x {scene.size}"
        blocks += [f"\n### {scene.view}, {size} pixels, batch {scene.batch}, {dtype}\n"]
        blocks += ["| competitor | operation | call, us | ready, us | GPU, us | | error | peak, MB | |"]
        blocks += ["|" + " --- |" * 9]
        for row in rows:
            if (row.scene, row.dtype) == (scene, dtype):
                figures = " | ".join(_text(seconds * 1e6) for seconds in (row.call_s, row.ready_s, row.gpu_s))
                error = "" if row.error is None else f"{row.error:.2g}"
                blocks.append(
                    f"| {row.competitor} | {OPERATION_NAMES[row.operation]} | {figures} | {row.how} | {error} "
                    f"| {_text(row.peak_mb)} | {row.note} |"
                )
    return "\n".join(blocks)


def write_csv(rows: list[DeviceRow], setting: Setting, path: Path) -> None:
    """One line a row, times in microseconds, the rounds separated by semicolons."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for row in rows:
            scene = row.scene
            medians = ["" if isnan(s) else f"{s * 1e6:.3f}" for s in (row.call_s, row.ready_s, row.gpu_s)]
            rounds = [";".join(f"{r[figure] * 1e6:.3f}" for r in row.rounds) for figure in range(3)]
            checks = ["" if row.error is None else f"{row.error:.3g}", row.truth]
            peak = "" if row.peak_mb is None else f"{row.peak_mb:.2f}"
            what = [scene.view, scene.size, scene.batch, row.dtype, row.competitor, row.operation]
            where = [setting.ct, setting.device, setting.software]
            writer.writerow([*what, *medians, row.how, *rounds, *checks, peak, row.note, *where])


def plot(rows: list[DeviceRow], setting: Setting, path: Path) -> None:
    """For each operation: bars of wall and GPU time of the smallest scene; below, GPU time against the size of the
    image and against the batch. Full lines are float32 volumes, broken ones half precision.
    """
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    rows = [row for row in rows if row.rounds]
    names = list(dict.fromkeys(row.competitor for row in rows))
    colours = {name: colour_of(name, names) for name in names}
    size, batch = min(row.scene.size for row in rows), min(row.scene.batch for row in rows)
    figure, axes = plt.subplots(3, 3, figsize=(14, 13), layout="constrained")
    for column, (operation, heading) in enumerate(OPERATION_NAMES.items()):
        chosen = [row for row in rows if row.operation == operation]
        small = [r for r in chosen if (r.scene.size, r.scene.batch, r.dtype) == (size, batch, "float32")]
        _bars(axes[0, column], small, colours)
        axes[0, column].set(title=heading, xlabel=f"us for {batch} x {size} x {size} pixels: GPU, and wall (pale)")
        by_size = [row for row in chosen if row.scene.batch == batch]
        _lines(axes[1, column], by_size, colours, lambda scene: scene.size, "pixels a side")
        by_batch = [row for row in chosen if row.scene.size == size]
        _lines(axes[2, column], by_batch, colours, lambda scene: scene.batch, f"poses, {size} x {size} pixels")
    axes[1, 0].legend(fontsize=7)
    figure.suptitle(str(setting).replace("; ", ";\n", 1), fontsize=9, wrap=True)
    figure.savefig(path, dpi=120)
    plt.close(figure)


def _bars(axis: Any, rows: list[DeviceRow], colours: dict[str, Any]) -> None:
    rows = sorted(rows, key=lambda row: row.call_s, reverse=True)
    if not rows:
        return
    names = [row.competitor for row in rows]
    walls, gpus = [row.call_s * 1e6 for row in rows], [row.gpu_s * 1e6 for row in rows]
    bars = axis.barh(names, walls, color=[colours[name] for name in names], alpha=0.35)
    axis.barh(names, gpus, color=[colours[name] for name in names], height=0.45)
    axis.bar_label(bars, [f" {gpu:,.3g} / {wall:,.3g}" for gpu, wall in zip(gpus, walls, strict=True)], fontsize=8)
    axis.set(xscale="log", xlim=(min(gpus) / 2, max(walls) * 12))
    axis.spines[["top", "right"]].set_visible(False)


def _lines(
    axis: Any, rows: list[DeviceRow], colours: dict[str, Any], place: Callable[[Scene], int], label: str
) -> None:
    for name in colours:
        for dtype, style in (("float32", "o-"), ("bfloat16", "o--")):
            points = sorted((place(r.scene), r.gpu_s * 1e6) for r in rows if (r.competitor, r.dtype) == (name, dtype))
            if points:
                shown = name if dtype == "float32" else None
                axis.plot(*zip(*points, strict=True), style, ms=3, color=colours[name], label=shown)
    axis.set(xscale="log", yscale="log", xlabel=label, ylabel="GPU time, us")
    places = sorted({place(row.scene) for row in rows})
    axis.set_xticks(places, [str(number) for number in places])
    axis.minorticks_off()
    axis.grid(alpha=0.3)


def _finder(rows: list[DeviceRow], scene: Scene, dtype: str) -> Callable[[str, str], DeviceRow | None]:
    by_key = {(row.competitor, row.operation): row for row in rows if (row.scene, row.dtype) == (scene, dtype)}
    return lambda competitor, operation: by_key.get((competitor, operation))


def _text(value: float | None) -> str:
    return "" if value is None or isnan(value) else f"{value:,.1f}"
