"""How registration does on X-rays that raygrad did not make: another simulator's, and real fluoroscopy of implants.

RAYGRAD_REAL_DATA=/folder python benchmarks/independent.py             # 10 starts a case; some minutes
python benchmarks/independent.py --only round display --starts 3       # cases whose name begins so
python benchmarks/independent.py --no-fluoroscopy --degrees 20 --mm 30

The folder has `chest/cxr.nii.gz` with `mask.nii.gz` and `structures.csv`; `simulated/NAME-VIEW.npz` (pixels `docs`,
counts where `docs_counts`, perhaps `docs_mask`; the true camera_to_world `pose`; `info`: arguments of the DRR, the
field's centre, how T9 moved); and `fluoroscopy/KNEE` with frames, meshes, published poses (.jts) and labels. Nothing of
it is part of this project.

Every start is a call of its own, `register(xray, drr, start)` without options, but for the rows that say "mask" or
"structures".
"""

import argparse
import csv
import json
import os
import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass, fields, replace
from pathlib import Path

import numpy as np
import torch

import raygrad as rg
from raygrad.evaluation import (
    Ratios,
    draw_motions,
    draw_points,
    make_generator,
    measure_errors,
    measure_ratios,
    motion_about,
    select_labels,
)
from raygrad.formats import Frames
from raygrad.geometry import ConeViews
from raygrad.pose import RigidTransform
from raygrad.registration import RegistrationResult, register, to_line_integrals
from raygrad.scene import Mesh, Scene

RIGHT_MM, WRONG_MM = 1.0, 2.0
"""In plane: right below the one; `converged` above the other is a false success."""
OVERLAP, TURN_DEG = 0.95, 2.0
"""Of a right pose of an implant: its silhouette against the label, its turn from the published pose."""
T9 = "vertebrae_T9"
NEIGHBOURS = ("vertebrae_T8", "vertebrae_T10")
ADRIFT = ("breath",)
"""Names of cases in which no one rigid pose is right: what counts is that a wrong one is not accepted."""


@dataclass(frozen=True)
class Row:
    """One registration: a line of the CSV. Errors in mm; of implants `overlap` and `turn` count."""

    case: str
    view: str
    given: str
    start: int
    in_plane: float
    depth: float
    mtre: float
    turn: float
    overlap: float | None
    moved_in_plane: float | None
    """Of the vertebra that had moved, where it was asked for."""
    status: str
    right: bool
    score: float
    halves: float | None
    """The worst half's disagreement in mm."""
    ratio_in_plane: float | None
    ratio_depth: float | None
    ratio_turn: float | None
    seconds: float

    @property
    def accepted(self) -> bool:
        """Whether it says that the pose is right."""
        return self.status == "converged"

    @property
    def false_success(self) -> bool:
        """Whether it says so and is far off."""
        return self.accepted and not self.right and (self.overlap is not None or self.in_plane > WRONG_MM)


def main() -> None:
    """Register what was asked for, print the table, write the files."""
    options = _options()
    folder = Path(os.environ.get("RAYGRAD_REAL_DATA", "nowhere"))
    if not folder.is_dir():
        raise SystemExit(f"RAYGRAD_REAL_DATA should name the folder of the X-rays. Got '{folder}'.")
    torch.set_num_threads(options.threads)
    options.out.mkdir(parents=True, exist_ok=True)
    rows: list[Row] = []
    began = time.perf_counter()
    with (options.out / "independent.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([field.name for field in fields(Row)])
        for row in _all_rows(folder, options):
            rows.append(row)
            writer.writerow([_text(value) for value in astuple(row)])
            file.flush()
    what = (
        f"{options.starts} starts a case within {options.degrees:g} degrees and {options.mm:g} mm; "
        f"{options.threads} threads, load {os.getloadavg()[0]:.1f}, {time.perf_counter() - began:.0f} s in all; "
        f"seed {options.seed}"
    )
    text = f"{what}\n\n{table(rows)}\n\n{totals(rows)}\n"
    (options.out / "independent.md").write_text(text, encoding="utf-8")
    print(text)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Registers X-rays that raygrad did not make.")
    parser.add_argument("--starts", type=int, default=10, help="for each X-ray (default: 10)")
    parser.add_argument("--degrees", type=float, default=10, help="turns of the starts about every axis, at most")
    parser.add_argument("--mm", type=float, default=15, help="shifts of the starts along every axis, at most")
    parser.add_argument("--only", nargs="+", default=[""], help="cases whose name begins so (default: all)")
    parser.add_argument("--no-fluoroscopy", action="store_true", help="the simulated ones alone")
    parser.add_argument("--no-simulated", action="store_true", help="the fluoroscopy alone")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="default: all cores")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"), help="folder (default: %(default)s)")
    return parser.parse_args()


def _all_rows(folder: Path, options: argparse.Namespace) -> Iterator[Row]:
    warnings.simplefilter("ignore")
    if not options.no_simulated:
        yield from _shown(_simulated(folder, options))
    if not options.no_fluoroscopy:
        yield from _shown(_fluoroscopy(folder / "fluoroscopy", options))


def _shown(rows: Iterator[Row]) -> Iterator[Row]:
    for row in rows:
        ended = f"{row.in_plane:.2f} mm in plane, {row.status}, {row.seconds:.1f} s"
        print(f"{row.case} {row.view} {row.given} {row.start}: {ended}", flush=True)
        yield row


# The other simulator's X-rays


def _simulated(folder: Path, options: argparse.Namespace) -> Iterator[Row]:
    chest = folder / "chest"
    with (chest / "structures.csv").open(newline="", encoding="utf-8") as file:
        structures = {int(line["id"]): line["structure"] for line in csv.DictReader(file)}
    subject = rg.read(chest / "cxr.nii.gz", chest / "mask.nii.gz", structures=structures)
    label_of = {name: label for label, name in structures.items()}
    for path in sorted((folder / "simulated").glob("*.npz")):
        case, view = path.stem.rsplit("-", 1)
        if not path.stem.startswith(tuple(options.only)):
            continue
        stored = np.load(path)
        info = json.loads(str(stored["info"]))
        moved = info["t9_motion"] is not None
        drr = rg.DRR(subject, info["drr"]["sdd"], int(info["drr"]["height"]), info["drr"]["delx"])
        truth = RigidTransform(torch.from_numpy(stored["pose"])[None])
        # A small field shows two vertebrae: errors are theirs. What moved by itself has an error of its own.
        names = NEIGHBOURS if case.startswith("small") else ()
        within = select_labels(subject, [label_of[name] for name in names]) if names else None
        if within is None and moved:
            within = (subject.density.voxels > 0) & ~select_labels(subject, [label_of[T9]])
        points = draw_points(subject, 300, make_generator(options.seed, "points"), within)
        t9 = draw_points(subject, 300, make_generator(options.seed, "t9"), select_labels(subject, [label_of[T9]]))
        generator = make_generator(options.seed, "starts", path.stem)
        motions, _ = draw_motions(options.starts, options.degrees, options.mm, generator)
        centre = torch.tensor(info["centre"], dtype=torch.float64)
        for given, xray, mask in _images(stored):
            ways = ["", "structures"] if moved else [""]
            for way, start in ((way, start) for way in ways for start in range(options.starts)):
                motion = motion_about(centre, RigidTransform(motions.matrix[start : start + 1]))
                init = truth.compose(motion)
                more = {"structures": {"t9": [label_of[T9]]}} if way else {}
                began = time.perf_counter()
                result = register(xray, drr, init.to(torch.float32), mask=mask, **more)
                seconds = time.perf_counter() - began
                errors = measure_errors(result.pose.cpu(), truth, points)
                row = _row(case, view, " ".join(filter(None, (given, way))) or "plain", start, result, seconds)
                ratios = _ratios(result, truth, drr)
                moved_in_plane = None
                if way:
                    shift = RigidTransform(torch.tensor(info["t9_motion"], dtype=torch.float64)[None])
                    seen = truth.compose(shift.inverse())
                    moved_in_plane = measure_errors(result.structures["t9"][0].cpu(), seen, t9).in_plane
                yield replace(
                    row,
                    in_plane=errors.in_plane,
                    depth=errors.depth,
                    mtre=errors.mtre,
                    turn=errors.rotation_deg,
                    moved_in_plane=moved_in_plane,
                    right=errors.in_plane < RIGHT_MM,
                    ratio_in_plane=ratios and ratios.in_plane,
                    ratio_depth=ratios and ratios.depth,
                    ratio_turn=ratios and ratios.turn,
                )


def _images(stored: np.lib.npyio.NpzFile) -> Iterator[tuple[str, torch.Tensor, torch.Tensor | None]]:
    """The X-ray as a naive user gives it, and with its mask where it has one."""
    image = torch.from_numpy(stored["docs"])
    image = to_line_integrals(image) if bool(stored["docs_counts"]) else image
    plain = image
    if "plain" in stored:
        plain = torch.from_numpy(stored["plain"])
        plain = to_line_integrals(plain) if bool(stored["plain_counts"]) else plain
    yield "", plain, None
    if "docs_mask" in stored:
        yield "mask", image, torch.from_numpy(stored["docs_mask"]).float()


def _row(case: str, view: str, given: str, start: int, result: RegistrationResult, seconds: float) -> Row:
    """What the result says of itself; errors come after."""
    best, nothing = result.best, float("nan")
    worst = None if result.halves is None else result.halves.worst(best)
    return Row(
        case, view, given, start, nothing, nothing, nothing, nothing, None, None, str(result.status[best]), False,
        result.score[best].item(), None if worst is None else worst[1], None, None, None, seconds,
    )  # fmt: skip


def _ratios(result: RegistrationResult, truth: RigidTransform, drr: rg.DRR) -> Ratios | None:
    if result.uncertainty is None:
        return None
    found = RigidTransform(result.pose[result.best]).cpu()
    camera = drr.detector.camera_to_world(found.to(torch.float32))
    centre = drr.subject.volume.get_center()
    return measure_ratios(found, truth, result.uncertainty.covariance[result.best], camera, centre)


# Real fluoroscopy of implants


def _fluoroscopy(folder: Path, options: argparse.Namespace) -> Iterator[Row]:
    """Starts 5 degrees and 5 mm (15 mm in depth) off the published pose, and 10 degrees, 15 mm and 40 mm off."""
    import SimpleITK

    for knee, part in ((knee, part) for knee in sorted(folder.iterdir()) if knee.is_dir() for part in ("fem", "tib")):
        mesh = Mesh(next(knee.glob(f"*_{part}.stl")), material="titanium", name=part)
        frames = sorted(knee.glob("*.tif"))
        shape = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(frames[0]))).shape[:2]
        views = rg.read_geometry(knee / f"{part}.jts", Frames(shape))
        for number, frame in enumerate(frames):
            if not f"{knee.name}-{part}".startswith(tuple(options.only)):
                continue
            xray = to_line_integrals(_pixels(frame))
            label = _pixels(knee / "labels" / f"{frame.stem}_label_{part}.tif") > 127
            view = views[number : number + 1]
            for far, degrees, mm, depth in (("near", 5, 5, 15), ("far", 10, 15, 40)):
                generator = make_generator(options.seed, frame.stem, part, far)
                count = max(1, options.starts // 5)
                turns, _ = draw_motions(count, degrees, 0.0, generator)
                shifts = (2 * torch.rand(count, 3, generator=generator, dtype=torch.float64) - 1) * torch.tensor(
                    [mm, mm, depth]
                )
                for start in range(count):
                    init = _off(view, mesh, RigidTransform(turns.matrix[start : start + 1]), shifts[start])
                    began = time.perf_counter()
                    result = register(xray, init, Scene([mesh]))
                    seconds = time.perf_counter() - began
                    row = _row(f"{knee.name}-{part}", frame.stem, far, start, result, seconds)
                    yield _of_implant(row, result, view, mesh, label)


def _pixels(path: Path) -> torch.Tensor:
    import SimpleITK

    pixels = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(path))).astype(np.float32)
    return torch.from_numpy(pixels if pixels.ndim == 2 else pixels[..., 0])


def _off(view: ConeViews, mesh: Mesh, turn: RigidTransform, shift: torch.Tensor) -> ConeViews:
    """The view turned about the implant's middle, and shifted along the camera's own axes, the third the beam's."""
    axes = view.camera_to_world[0, :3, :3].double()
    matrix = motion_about(mesh.vertices.mean(0), turn).matrix.clone()
    matrix[0, :3, 3] += axes @ shift
    return view.moved(RigidTransform(matrix))


def _of_implant(row: Row, result: RegistrationResult, view: ConeViews, mesh: Mesh, label: torch.Tensor) -> Row:
    found = RigidTransform(result.pose[result.best]).cpu().to(torch.float64)
    true = view.pose.to(torch.float64)
    errors = measure_errors(found, true, mesh.vertices[None].double())
    shadow = Scene([mesh]).silhouettes(replace(view, pose=found.to(view.pose.matrix.dtype)))[0, 0]
    overlap = ((shadow & label).sum() / (shadow | label).sum()).item()
    return replace(
        row,
        in_plane=errors.in_plane,
        depth=errors.depth,
        mtre=errors.mtre,
        turn=errors.rotation_deg,
        overlap=overlap,
        right=overlap > OVERLAP and errors.rotation_deg < TURN_DEG,
    )


# Tables

RATIOS = ("ratio_in_plane", "ratio_depth", "ratio_turn")


def table(rows: Sequence[Row]) -> str:
    """A line for each case and view, and what is given; medians, and in brackets what 95 % stay below."""
    head = ["X-ray", "given", "n", "right", "right and accepted", "false successes", "in plane mm", "depth mm"]
    head += [
        "turn deg",
        "T9 in plane mm",
        "overlap",
        "halves mm",
        "error / deviation: in plane",
        "depth",
        "turn",
        "s",
        "status",
    ]
    lines = ["| " + " | ".join(head) + " |", "| --- " * len(head) + "|"]
    groups: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        key = (row.case,) if row.overlap is not None else (row.case, row.view)
        groups.setdefault((" ".join(key), row.given), []).append(row)
    for (name, given), group in groups.items():
        statuses: dict[str, int] = {}
        for row in group:
            statuses[row.status] = statuses.get(row.status, 0) + 1
        cells = [name, given, str(len(group)), str(sum(row.right for row in group))]
        cells += [str(sum(row.right and row.accepted for row in group)), str(sum(row.false_success for row in group))]
        columns = ["in_plane", "depth", "turn", "moved_in_plane", "overlap", "halves"]
        cells += [_middle([getattr(row, column) for row in group]) for column in columns]
        # A pose that was not accepted lies where deviations say nothing of the truth.
        cells += [_middle([getattr(row, ratio) for row in group if row.accepted]) for ratio in RATIOS]
        cells.append(_middle([row.seconds for row in group]))
        cells.append(", ".join(f"{count} {status}" for status, count in statuses.items()))
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def totals(rows: Sequence[Row]) -> str:
    """The issue's figures over all X-rays without masks and structures."""
    plain = [row for row in rows if row.given == "plain"]
    lines = []
    groups = {
        "simulated, one rigid pose": [r for r in plain if r.overlap is None and not r.case.startswith(ADRIFT)],
        "simulated, breathing": [r for r in plain if r.overlap is None and r.case.startswith(ADRIFT)],
        "fluoroscopy, near": [r for r in plain if r.overlap is not None and r.case.endswith("near")],
        "fluoroscopy, far": [r for r in plain if r.overlap is not None and r.case.endswith("far")],
    }
    for name, group in groups.items():
        if not group:
            continue
        right, kept = sum(row.right for row in group), sum(row.right and row.accepted for row in group)
        ratios = _middle([row.ratio_in_plane for row in group if row.accepted])
        lines.append(
            f"- {name}: {right} of {len(group)} right ({right / len(group):.1%}), {kept} right and accepted "
            f"({kept / len(group):.1%}), {sum(row.false_success for row in group)} false successes, in plane "
            f"{_middle([row.in_plane for row in group])} mm, error / deviation {ratios or 'unknown'}, "
            f"{np.median([row.seconds for row in group]):.2f} s"
        )
    return "\n".join(lines)


def _middle(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None and np.isfinite(value)]
    return f"{np.median(known):.3g} ({np.quantile(known, 0.95):.3g})" if known else ""


def _text(value: object) -> str:
    return "" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    main()
