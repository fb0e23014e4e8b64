"""What raygrad's reconstructions are worth beside ITK-RTK's: the same X-rays, views and voxels, one run, one table.

python benchmarks/reconstruction.py             # about half an hour on two cores
python benchmarks/reconstruction.py --quick     # 64^3 voxels, a coarse phantom, few iterations: minutes
python benchmarks/reconstruction.py --minutes 180 --limit 1200    # every case, every iteration

How X-rays and truth are made is told in `reconstruction_cases.py`, who takes part in `reconstruction_methods.py`. Cases
run by their importance until the time is up; what did not fit is a row that says so.
"""

import argparse
import os
import platform
import time
from pathlib import Path

import torch
from peers import rtk_reconstruction as rtk
from reconstruction_cases import PHOTONS, Case, Patient, novel_views
from reconstruction_memory import measure_memory
from reconstruction_methods import Method, methods
from reconstruction_report import Row, markdown, plot_novel, plot_quality, write_csv
from torch import Tensor

from raygrad.metrics._volumes import peak_signal_to_noise_ratio, relative_error, structural_similarity_3d
from raygrad.projector import Projector

NOVEL_COUNTS = (8, 16, 32, 64, 180)
"""From how many images novel views are judged."""
NOVEL_METHODS = ("raygrad tv", "raygrad os_sart", "raygrad fdk")
"""Whose novel views are judged; the pictures are of the first that gives a volume."""


def main() -> None:
    """Make the X-rays, run what was asked, write the files as it goes."""
    options = _options()
    torch.set_num_threads(options.threads)
    patient = Patient(options.ct, quick=options.quick)
    what = (
        f"{patient.what}; noisy: {PHOTONS:g} photons a pixel; {options.threads} threads, "
        f"load {os.getloadavg()[0]:.1f}, {platform.platform()}"
    )
    print(what, flush=True)
    benchmark = Benchmark(patient, options)
    benchmark.compare_geometries()
    main_cases, others = _cases(options)
    benchmark.run_cases(main_cases, share=0.6)
    if not options.no_memory:
        benchmark.measure_memories(share=0.75)
    benchmark.run_novel(share=0.9)
    benchmark.run_cases(main_cases + others, share=1.0)
    text = markdown(benchmark.rows, what)
    (options.out / f"{benchmark.name}.md").write_text(text, encoding="utf-8")
    plot_quality(benchmark.rows, options.out / f"{benchmark.name}.png")
    print(f"\n{text}\nwrote {options.out / benchmark.name}.csv, .md and .png")


class Benchmark:
    """The rows so far, and the clock they are run by."""

    def __init__(self, patient: Patient, options: argparse.Namespace) -> None:
        self.patient, self.options = patient, options
        self.name = "reconstruction" if options.ct == "example" else f"reconstruction-{options.ct}"
        self.rows: list[Row] = []
        self.seconds_per_pass: dict[str, float] = {}
        """Of each method, for a view of 1^2 voxels: what the next case will take is reckoned from the last."""
        self.began = time.monotonic()
        self.truths: dict[int, tuple[Tensor, Tensor]] = {}
        self.methods = []
        for method in methods():
            if options.methods and not any(word in method.name for word in options.methods):
                continue
            reason = method.available()
            if reason is None:
                self.methods.append(method)
            else:
                print(f"not here: {method.name} ({reason})")
                self.rows.append(Row(method.name, 0, 0, False, 0, note=f"not here: {reason}"))
        options.out.mkdir(parents=True, exist_ok=True)

    def left(self, share: float) -> float:
        """Seconds until that share of the time is used."""
        return share * 60 * self.options.minutes - (time.monotonic() - self.began)

    def compare_geometries(self) -> None:
        """Both projectors must see the same volume at the same place; nothing else is worth measuring otherwise."""
        if rtk.available() is not None:
            return
        case = Case(64, 4, noisy=False)
        truth, _ = self.truth(64)
        for name, views in {"circle": case.views, **novel_views()}.items():
            ours, theirs = Projector(case.geometry, views)(truth), rtk.project(truth, views)
            difference = float((ours - theirs).norm() / ours.norm())
            print(f"images of 64^3 voxels, {name}: RTK's Joseph differs from ours by {difference:.1e}")
            if difference > 1e-3:
                raise RuntimeError("the geometries differ")

    def run_cases(self, cases: list[Case], share: float) -> None:
        """Every method on each case, while there is time."""
        for case in cases:
            for method in self.methods:
                if not any(row.method == method.name and row.iterations and _is(row, case) for row in self.rows):
                    self.add(self.run(method, case, self.left(share))[0])

    def run(self, method: Method, case: Case, left_s: float) -> tuple[Row, Tensor | None]:
        """One row, and the volume if there was time for it."""
        passes = max(1, method.iterations // 4) if self.options.quick else method.iterations
        row = Row(method.name, case.size, case.n_views, case.noisy, passes)
        limit_s = min(left_s, self.options.limit)
        per_pass = self.seconds_per_pass.get(method.name, 0.0) * _work(case)
        if left_s <= 0 or per_pass * min(2, passes) > limit_s:
            row.iterations = 0
            row.note = f"left out: {passes} passes, about {per_pass:.1f} s each; {max(0, limit_s):.0f} s for it"
            return row, None
        if per_pass * passes > limit_s:
            row.iterations = int(limit_s / per_pass)
            row.note = f"{row.iterations} of {passes} passes: about {per_pass:.1f} s each, limit {limit_s:.0f} s"
        try:
            outcome = method(case, self.patient.xrays(case.views, case.noisy), row.iterations)
        except Exception as error:  # whatever one raises, the others go on
            row.note = f"{type(error).__name__}: {str(error).splitlines()[0][:120] if str(error) else ''}"
            return row, None
        row.seconds, row.processor_seconds = outcome.seconds, outcome.processor_seconds
        row.seconds_each = outcome.seconds_each or (outcome.seconds if row.iterations == 1 else None)
        self.seconds_per_pass[method.name] = outcome.seconds / row.iterations / _work(case)
        self.judge(row, case, outcome.volume)
        return row, outcome.volume

    def judge(self, row: Row, case: Case, volume: Tensor) -> None:
        """PSNR and SSIM of the voxels, relative error and PSNR of novel views."""
        truth, mask = self.truth(case.size)
        row.psnr_db = float(peak_signal_to_noise_ratio(volume, truth, mask=mask))
        row.ssim = float(structural_similarity_3d(volume, truth, mask=mask, window="uniform"))
        for name, views in novel_views().items():
            image, true = Projector(case.geometry, views)(volume), self.patient.xrays(views)
            setattr(row, f"error_{name}", float(relative_error(image, true)))
            setattr(row, f"psnr_{name}_db", float(peak_signal_to_noise_ratio(image, true)))

    def run_novel(self, share: float) -> None:
        """Noisy images, more and more of them; pictures of the first method that gives a volume."""
        size = min(self.options.sizes)
        present = [method for name in NOVEL_METHODS for method in self.methods if method.name == name]
        pictures: dict[int, tuple[Tensor, Tensor, Tensor]] = {}
        view = novel_views()["between"][[0]]
        true = self.patient.xrays(view)[0]
        for n_views in (8, 16) if self.options.quick else NOVEL_COUNTS:
            case = Case(size, n_views, noisy=True)
            for method in present or self.methods[:1]:
                row, volume = self.run(method, case, self.left(share))
                self.add(row)
                if volume is not None and n_views not in pictures:
                    image = Projector(case.geometry, view)(volume)[0]
                    pictures[n_views] = volume[:, :, size // 2], image, image - true
                    path = self.options.out / f"{self.name}-novel.png"
                    plot_novel(pictures, (self.truth(size)[0][:, :, size // 2], true), path)

    def measure_memories(self, share: float) -> None:
        """Of every method, on the largest cube from 64 views, or from the fewest that were asked for."""
        n_views = 64 if 64 in self.options.views else min(self.options.views)
        case = Case(max(self.options.sizes), n_views, noisy=False)
        images = self.patient.xrays(case.views)
        for method in self.methods:
            row = next((row for row in self.rows if row.method == method.name and _is(row, case)), None)
            if row is None:
                row = Row(method.name, case.size, case.n_views, case.noisy, 0, note="memory only")
                self.rows.append(row)
            try:
                left = self.left(share)
                if left < 10:
                    raise RuntimeError("no time left")
                row.peak_mb = measure_memory(method, case, images, min(left, self.options.limit))
                print(f"memory: {method.name}, {case}: {row.peak_mb:.0f} MB", flush=True)
            except RuntimeError as error:
                row.note = f"{row.note}; memory: {error}".lstrip("; ")
                print(f"memory: {method.name}, {case}: {error}", flush=True)
            self.write()

    def truth(self, size: int) -> tuple[Tensor, Tensor]:
        """The voxels to reach, and which of them count."""
        if size not in self.truths:
            self.truths[size] = self.patient.on_grid(size), self.patient.mask(size)
        return self.truths[size]

    def add(self, row: Row) -> None:
        """Keep, print and write a row, in place of one of the same method and case that has no quality yet."""
        case = Case(row.size, row.views, row.noisy)
        known = next((other for other in self.rows if other.method == row.method and _is(other, case)), None)
        if known is None:
            self.rows.append(row)
        elif known.psnr_db is None:
            row.peak_mb = known.peak_mb
            self.rows[self.rows.index(known)] = row
        figures = "" if row.psnr_db is None else f"{row.psnr_db:.2f} dB, SSIM {row.ssim:.3f}, {row.seconds:.1f} s"
        print(f"{case}, {row.method}, {row.iterations} passes: {figures} {row.note}".rstrip(), flush=True)
        self.write()

    def write(self) -> None:
        """All rows so far."""
        write_csv(self.rows, self.options.out / f"{self.name}.csv")


def _cases(options: argparse.Namespace) -> tuple[list[Case], list[Case]]:
    """Those that the figures to reach are about, and the rest, the quickest first."""
    cases = [Case(s, v, noisy) for s in options.sizes for v in options.views for noisy in (False, True)]
    first = [case for case in cases if case.n_views == 64 and not (case.size > min(options.sizes) and case.noisy)]
    first = first or cases[:2]
    rest = sorted((case for case in cases if case not in first), key=_work)
    return first, rest


def _work(case: Case) -> float:
    """What an iteration's time grows with: between a march through voxels and a pass over all of them."""
    return case.n_views * case.size**2


def _is(row: Row, case: Case) -> bool:
    return (row.size, row.views, row.noisy) == (case.size, case.n_views, case.noisy)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Reconstructs one CT by raygrad and ITK-RTK (benchmarks/README.md).")
    parser.add_argument(
        "--ct", choices=["example", "chest"], default=None, help="default: chest if RAYGRAD_CHEST_CT is set"
    )
    parser.add_argument("--views", type=int, nargs="+", help="how many X-rays (default: 16 64 180)")
    parser.add_argument("--sizes", type=int, nargs="+", help="voxels a side of the cube (default: 128 256)")
    parser.add_argument("--methods", nargs="+", metavar="WORD", help="methods whose name has one of these words")
    parser.add_argument("--quick", action="store_true", help="64^3 voxels, 16 views, a quarter of the iterations")
    parser.add_argument("--minutes", type=float, default=33, help="for the whole run (default: %(default)s)")
    parser.add_argument("--limit", type=float, default=120, help="s for one reconstruction (default: %(default)s)")
    parser.add_argument("--no-memory", action="store_true", help="quality and time only")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="default: all cores")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"), help="folder (default: %(default)s)")
    options = parser.parse_args()
    options.ct = options.ct or ("chest" if os.environ.get("RAYGRAD_CHEST_CT") else "example")
    options.views = options.views or ([16] if options.quick else [16, 64, 180])
    options.sizes = options.sizes or ([64] if options.quick else [128, 256])
    return options


if __name__ == "__main__":
    main()
