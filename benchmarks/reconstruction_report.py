"""The results of `reconstruction.py` as CSV, Markdown and pictures."""

import csv
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from torch import Tensor


@dataclass
class Row:
    """One reconstruction; what was not measured is None, and `note` says why. A method that is not here has 0 views."""

    method: str
    size: int
    views: int
    noisy: bool
    iterations: int
    psnr_db: float | None = None
    ssim: float | None = None
    seconds: float | None = None
    seconds_each: float | None = None
    """Of an iteration after the first; of direct methods, the whole."""
    processor_seconds: float | None = None
    peak_mb: float | None = None
    error_between: float | None = None
    """Relative error of images from novel views on the circle."""
    error_tilted: float | None = None
    """Relative error of images from novel views on the tilted circle."""
    psnr_between_db: float | None = None
    psnr_tilted_db: float | None = None
    note: str = ""


@dataclass(frozen=True)
class Target:
    """One figure to reach: a number of our row against one of theirs."""

    what: str
    ours: str
    theirs: str
    column: str
    at_least: float
    aim: float
    noisy: bool = False
    views: int | None = None


TARGETS = [
    Target("FDK: PSNR minus RTK's, dB", "raygrad fdk", "RTK fdk", "psnr_db", -0.2, 0.0),
    Target("FDK: RTK's time over ours", "raygrad fdk", "RTK fdk", "seconds", 1.0, 2.0),
    Target(
        "RTK's CG iteration (voxel-based) over CGLS's", "raygrad cgls", "RTK cg voxel-based", "seconds_each", 1.5, 3
    ),
    Target("RTK's CG iteration (Joseph) over CGLS's", "raygrad cgls", "RTK cg joseph", "seconds_each", 1.5, 3),
    Target("TV: PSNR minus our FDK's, dB", "raygrad tv", "raygrad fdk", "psnr_db", 4, 8, noisy=True, views=64),
]


def write_csv(rows: Sequence[Row], path: Path) -> None:
    """One line a row, numbers to four digits."""
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(Row)])
        writer.writeheader()
        for row in rows:
            writer.writerow({name: _text(value) for name, value in asdict(row).items()})


def markdown(rows: Sequence[Row], what: str) -> str:
    """The figures to reach, then a table a case."""
    parts = [what, "## The figures to reach", _targets(rows)]
    absent = [f"- {row.method}: {row.note}" for row in rows if not row.views]
    rows = [row for row in rows if row.views]
    for size, views, noisy in dict.fromkeys((row.size, row.views, row.noisy) for row in rows):
        chosen = [row for row in rows if (row.size, row.views, row.noisy) == (size, views, noisy)]
        parts += [f"## {size}^3 voxels, {views} {'noisy' if noisy else 'clean'} views", _table(chosen)]
    if absent:
        parts += ["## Not measured at all", "\n".join(absent)]
    return "\n\n".join(parts) + "\n"


def _table(rows: Sequence[Row]) -> str:
    head = "| method | passes | PSNR, dB | SSIM | s | s a pass | CPU s | peak MB | novel: between | tilted | |"
    lines = [head, "| --- " * 11 + "|"]
    for row in rows:
        novel = [_novel(row.error_between, row.psnr_between_db), _novel(row.error_tilted, row.psnr_tilted_db)]
        cells = [row.psnr_db, row.ssim, row.seconds, row.seconds_each, row.processor_seconds, row.peak_mb]
        texts = [row.method, str(row.iterations), *[_text(cell) for cell in cells], *novel, row.note]
        lines.append(f"| {' | '.join(texts)} |")
    return "\n".join(lines)


def _novel(error: float | None, psnr_db: float | None) -> str:
    return "" if error is None else f"{error:.2%}, {psnr_db:.1f} dB"


def _targets(rows: Sequence[Row]) -> str:
    lines = ["| figure | case | reached | at least | aim | |", "| --- " * 6 + "|"]
    for target in TARGETS:
        found = False
        for ours in rows:
            if (
                ours.method != target.ours
                or (target.noisy and not ours.noisy)
                or target.views not in (None, ours.views)
            ):
                continue
            theirs = next((r for r in rows if r.method == target.theirs and _case(r) == _case(ours)), None)
            a, b = getattr(ours, target.column), getattr(theirs, target.column, None)
            if a is None or b is None:
                continue
            found = True
            reached = a - b if target.column == "psnr_db" else b / a
            verdict = (
                "aim reached" if reached >= target.aim else "reached" if reached >= target.at_least else "NOT reached"
            )
            case = f"{ours.size}^3, {ours.views} {'noisy' if ours.noisy else 'clean'}"
            numbers = f"{reached:.2f} | {target.at_least:g} | {target.aim:g}"
            lines.append(f"| {target.what} | {case} | {numbers} | {verdict} |")
        if not found:
            lines.append(f"| {target.what} | not run | | {target.at_least:g} | {target.aim:g} | |")
    return "\n".join(lines)


def plot_quality(rows: Sequence[Row], path: Path) -> None:
    """PSNR against time, a panel a case: up and left is better."""
    plt = _pyplot()
    rows = [row for row in rows if row.psnr_db is not None]
    cases = list(dict.fromkeys(_case(row) for row in rows))
    names = list(dict.fromkeys(row.method for row in rows))
    columns = min(4, max(1, len(cases)))
    shape = (-(-len(cases) // columns) or 1, columns)
    figure, axes = plt.subplots(*shape, figsize=(4 * columns, 3.6 * shape[0]), squeeze=False, layout="constrained")
    for axis, case in zip(axes.ravel(), cases, strict=False):
        for row in rows:
            if _case(row) == case:
                marker = "o" if row.method.startswith("raygrad") else "s"
                colour = plt.get_cmap("tab20")(names.index(row.method) % 20)
                axis.plot(row.seconds, row.psnr_db, marker, color=colour, label=row.method)
        size, views, noisy = case
        axis.set(
            xscale="log", xlabel="s", ylabel="PSNR, dB", title=f"{size}^3, {views} {'noisy' if noisy else 'clean'}"
        )
        axis.grid(alpha=0.3)
    for axis in axes.ravel()[len(cases) :]:
        axis.set_visible(False)
    figure.legend(*_handles(axes), loc="outside lower center", ncols=4, fontsize=8)
    figure.savefig(path, dpi=120)
    plt.close(figure)


def plot_novel(pictures: dict[int, tuple[Tensor, Tensor, Tensor]], truth: tuple[Tensor, Tensor], path: Path) -> None:
    """A row for each number of images: an axial slice, the image from a novel view, its difference from the truth.

    Args:
        pictures: slice (x, y), image and difference (row, column) by the number of images.
        truth: slice and image to compare with, in the last row.
    """
    plt = _pyplot()
    figure, axes = plt.subplots(
        len(pictures) + 1, 3, figsize=(8.4, 2.8 * (len(pictures) + 1)), squeeze=False, layout="constrained"
    )
    brightest, darkest = float(truth[0].max()) * 0.7, float(truth[1].max())
    for line, (n_views, (voxels, image, difference)) in zip(axes, pictures.items(), strict=False):
        line[0].imshow(voxels.T, cmap="gray", vmin=0, vmax=brightest, origin="lower")
        line[1].imshow(image, cmap="gray", vmin=0, vmax=darkest)
        shown = line[2].imshow(difference, cmap="RdBu", vmin=-0.1 * darkest, vmax=0.1 * darkest)
        figure.colorbar(shown, ax=line[2], shrink=0.8)
        error = float(difference.norm() / truth[1].norm())
        line[0].set_ylabel(f"{n_views} images")
        line[2].set_title(f"difference, {error:.1%}", fontsize=9)
    axes[0, 0].set_title("slice", fontsize=9)
    axes[0, 1].set_title("novel view", fontsize=9)
    axes[-1, 0].imshow(truth[0].T, cmap="gray", vmin=0, vmax=brightest, origin="lower")
    axes[-1, 0].set_ylabel("truth")
    axes[-1, 1].imshow(truth[1], cmap="gray", vmin=0, vmax=darkest)
    axes[-1, 2].set_visible(False)
    for axis in axes.ravel():
        axis.set(xticks=[], yticks=[])
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _case(row: Row) -> tuple[int, int, bool]:
    return row.size, row.views, row.noisy


def _handles(axes: Any) -> tuple[list[Any], list[str]]:
    by_name: dict[str, Any] = {}
    for axis in axes.ravel():
        for handle, label in zip(*axis.get_legend_handles_labels(), strict=True):
            by_name.setdefault(label, handle)
    return list(by_name.values()), list(by_name)


def _text(value: object) -> str:
    return "" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)


def _pyplot() -> Any:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    return plt
