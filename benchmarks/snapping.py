"""What a Refiner saves: a few steps from a start, and a whole registration, with what was prepared kept between calls.

OMP_NUM_THREADS=2 python benchmarks/snapping.py                                   # the example, two views
RAYGRAD_REAL_DATA=/folder OMP_NUM_THREADS=2 python benchmarks/snapping.py --independent

The X-rays of `--independent` are of a real CT and another simulator's, as in `estimated_exposures.py`. Errors are those
of both views, against the poses that X-rays were made from.
"""

import argparse
import json
import os
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import numpy as np
import torch

import raygrad as rg
from raygrad.evaluation import draw_points, make_generator, measure_errors
from raygrad.pose import RigidTransform, se3_exp_map
from raygrad.registration import Refiner

OFF = torch.tensor([[8.0, -10.0, 7.0, 0.087, -0.07, 0.052]], dtype=torch.float64)
"""From the true poses to the starts, as a twist of the world in mm and radians: 5, 4 and 3 degrees."""

Case = tuple[str, list[torch.Tensor], list[rg.DRR], list[RigidTransform]]


def main() -> None:
    """Measure and print a row for each case and way."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--independent", action="store_true", help="another simulator's X-rays of a real CT")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    print(f"raygrad {rg.__version__}, torch {torch.__version__}; {torch.get_num_threads()} threads\n")
    print("| X-rays | way | s | in plane, mm | depth, mm | status |\n| --- | --- | --- | --- | --- | --- |")
    for case in _independent() if options.independent else _simulated():
        _measure(*case)


def _measure(name: str, xrays: list[torch.Tensor], drrs: list[rg.DRR], truths: list[RigidTransform]) -> None:
    points = draw_points(drrs[0].subject, 300, make_generator(0, "points"))
    starts = [RigidTransform((se3_exp_map(OFF) @ truth.matrix.double()).float()) for truth in truths]
    refiner = Refiner(xrays, drrs, starts)
    ways = {
        "prepared, and the first few steps": (1, lambda: refiner.refine(starts)),
        "a few steps": (7, lambda: refiner.refine(starts)),
        "register, with what is prepared": (3, lambda: refiner.register(starts)),
        "register": (3, lambda: rg.register(xrays, drrs, starts)),
    }
    for way, (times, run) in ways.items():
        seconds = []
        for _ in range(times):
            began = time.perf_counter()
            result = run()
            seconds.append(time.perf_counter() - began)
        errors = [
            measure_errors(RigidTransform(pose[result.best]), truth, points)
            for pose, truth in zip(result.poses, truths, strict=True)
        ]
        in_plane = ", ".join(f"{one.in_plane:.2f}" for one in errors)
        depth = ", ".join(f"{abs(one.depth):.2f}" for one in errors)
        print(
            f"| {name} | {way} | {median(seconds):.2f} | {in_plane} | {depth} | {result.status[result.best]} |",
            flush=True,
        )


def _simulated() -> Iterator[Case]:
    drr = rg.DRR(rg.load_example_ct(), 1020.0, 200, 2.0)  # by Siddon's rays; registration takes Joseph's
    truths = [
        rg.convert(
            torch.tensor([[angle, 0.0, 0.0]]),
            torch.tensor([[0.0, 850.0, 0.0]]),
            parameterization="euler_angles",
            convention="ZXY",
            degrees=True,
        )
        for angle in (0.0, 90.0)
    ]
    with torch.no_grad():
        yield "example", [drr(truth) for truth in truths], [drr, drr], truths


def _independent() -> Iterator[Case]:
    folder = Path(os.environ.get("RAYGRAD_REAL_DATA", "nowhere"))
    if not folder.is_dir():
        raise SystemExit(f"RAYGRAD_REAL_DATA should name the folder of the X-rays. Got '{folder}'.")
    subject = rg.read(folder / "chest" / "cxr.nii.gz")
    for kind in ("kvp100", "display"):
        xrays, drrs, truths = [], [], []
        for view in ("ap", "lat"):
            stored = np.load(folder / "simulated" / f"{kind}-{view}.npz")
            camera = json.loads(str(stored["info"]))["drr"]
            drrs.append(rg.DRR(subject, camera["sdd"], int(camera["height"]), camera["delx"]))
            xrays.append(torch.from_numpy(stored["docs"]))
            truths.append(RigidTransform(torch.from_numpy(stored["pose"])[None]))
        yield kind, xrays, drrs, truths


if __name__ == "__main__":
    main()
