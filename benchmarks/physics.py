"""What physics costs: a polychromatic render beside the plain march of the same rays.

python benchmarks/physics.py                        # 200 x 200 pixels, two threads; a minute
RAYGRAD_CHEST_CT=... python benchmarks/physics.py
python benchmarks/physics.py --size 50 --repeats 2  # to try it out

How it measures is told in README.md.
"""

import argparse
import os
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import torch
from render import _processor, _version
from scene import DETECTOR_WIDTH, SDD, TRANSLATION, VIEWS, load_subject

import raygrad
from raygrad.physics import Physics, PreparedTissues, Spectrum, path_lengths, render, transmitted

RENDERERS = ("siddon", "joseph", "trilinear")
PLAIN = "march of one volume"
GOAL = 2.0
"""How many times a plain march a polychromatic render may take."""
REST_S = 0.05
Times = dict[str, tuple[list[float], list[float]]]
"""By name, in seconds: wall time, and processor time of all threads; one of each a round."""


def main() -> None:
    """Time all in turns, print and write."""
    options = _options()
    torch.set_num_threads(options.threads)
    subject, name = load_subject()
    began = time.process_time()
    prepared = PreparedTissues.of(raygrad.DRR(subject, SDD, 8, 1.0))
    took = time.process_time() - began
    about = f"{name}; {_processor()}, {options.threads} thread{'s' * (options.threads > 1)}, "
    about += f"load {os.getloadavg()[0]:.1f}\n\nraygrad {_version('raygrad')}, torch {_version('torch')}\n\n"
    about += f"{options.size} x {options.size} pixels of {DETECTOR_WIDTH:g} mm, {options.repeats} rounds in turns; "
    about += f"{len(prepared.materials)} materials ({', '.join(prepared.materials)}), made in {took:.1f} s"
    print(about)
    lines = ["| renderer, view | what | median, ms | least, ms | processor, ms | over the march: wall | processor |"]
    lines += ["| --- | --- | --- | --- | --- | --- | --- |"]
    for renderer in RENDERERS:
        drr = raygrad.DRR(subject, SDD, options.size, DETECTOR_WIDTH / options.size, renderer=renderer)
        for view in options.views:
            times = _time(_ways(drr, VIEWS[view]), options.repeats)
            lines += _rows(f"{renderer}, {view}", times)
            print("\n".join(lines[-len(times) :]), flush=True)
    options.out.mkdir(parents=True, exist_ok=True)
    text = (
        f'{about}\n\nThe goal for "80 kV" and "preset": at most {GOAL:g} times the march.\n\n' + "\n".join(lines) + "\n"
    )
    (options.out / "physics.md").write_text(text, encoding="utf-8")


def _ways(drr: raygrad.DRR, degrees: tuple[float, float, float]) -> dict[str, Callable[[], object]]:
    """What is timed, by name: from pose numbers to images."""
    numbers = torch.deg2rad(torch.tensor([degrees])), torch.tensor([TRANSLATION])

    def pose(requires_grad: bool = False) -> raygrad.RigidTransform:
        rotation, translation = (one.clone().requires_grad_(requires_grad) for one in numbers)
        return raygrad.convert(rotation, translation, parameterization="euler_angles", convention="ZXY")

    spectrum = Physics(Spectrum.tube(80.0))
    preset = Physics.preset("fluoroscopy")
    monochromatic = Physics.monochromatic(60.0)
    seen = path_lengths(drr, pose())
    energies = spectrum.spectrum.energies_kev
    mu, weights = seen.attenuation(energies), spectrum.sensor_weights[None]
    return {
        PLAIN: lambda: drr(pose()),
        "one energy": lambda: render(drr, pose(), monochromatic),
        "path lengths alone": lambda: path_lengths(drr, pose()),
        f"sum over {len(energies)} energies alone": lambda: transmitted(seen.lengths, mu, weights),
        "80 kV": lambda: render(drr, pose(), spectrum),
        "preset: 75 kV, scatter, blur, glare, noise": lambda: render(drr, pose(), preset, noise=0),
        "march of one volume + pose gradient": lambda: drr(pose(True)).sum().backward(),
        "80 kV + pose gradient": lambda: render(drr, pose(True), spectrum).sum().backward(),
    }


def _time(ways: dict[str, Callable[[], object]], repeats: int) -> Times:
    """All ways in turns; before each measurement one call that is not timed."""
    times: Times = {name: ([], []) for name in ways}
    for _ in range(repeats):
        for name, way in ways.items():
            time.sleep(REST_S)
            way()
            began, used = time.perf_counter(), time.process_time()
            way()
            times[name][0].append(time.perf_counter() - began)
            times[name][1].append(time.process_time() - used)
    return times


def _rows(case: str, times: Times) -> list[str]:
    rows = []
    for name, (wall, processor) in times.items():
        base = times["march of one volume + pose gradient" if name.endswith("gradient") else PLAIN]
        ratios = (
            median(mine / other for mine, other in zip(each, of_base, strict=True))
            for each, of_base in zip((wall, processor), base, strict=True)
        )
        milliseconds = (1e3 * value for value in (median(wall), min(wall), median(processor)))
        rows.append(
            f"| {case} | {name} | "
            + " | ".join(f"{one:.4g}" for one in milliseconds)
            + " | "
            + " | ".join(f"{one:.2f}" for one in ratios)
            + " |"
        )
    return rows


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=200, help="pixels a side")
    parser.add_argument("--views", nargs="+", default=["ap", "lateral"], choices=list(VIEWS))
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    return parser.parse_args()


if __name__ == "__main__":
    main()
