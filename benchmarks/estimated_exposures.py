"""What X-rays tell of how they were taken: tables of docs/physics.md, "Registering with physics".

python benchmarks/estimated_exposures.py                              # simulated by render; some minutes
RAYGRAD_REAL_DATA=/folder python benchmarks/estimated_exposures.py --independent

The X-rays that are simulated here are the example's thorax with noise, marched by Siddon's rays where registration
takes Joseph's. Those of `--independent` are another simulator's: `independent.py` says what the folder holds.
"""

import argparse
import json
import os
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

import raygrad as rg
from raygrad.evaluation import draw_points, make_generator, measure_errors
from raygrad.march import Marching
from raygrad.physics import Physics, Scatter, Tissues, render
from raygrad.pose import RigidTransform, se3_exp_map
from raygrad.registration import register

OFF = torch.tensor([[8.0, -10.0, 7.0, 0.087, -0.07, 0.052]], dtype=torch.float64)
"""From the true pose to the start's, as a twist of the world in mm and radians: 5, 4 and 3 degrees."""
TRUTHS = {
    "60 kV, scatter 1": {"kvp": 60.0, "scatter": Scatter(1.0)},
    "100 kV, scatter 3": {"kvp": 100.0, "scatter": Scatter(3.0)},
    "120 kV, scatter 2": {"kvp": 120.0, "scatter": Scatter(2.0)},
    "100 kV, scatter 2, 5 mm of aluminium": {"kvp": 100.0, "filtration": {"aluminium": 5.0}, "scatter": Scatter(2.0)},
    "100 kV, scatter 2 of half the reach": {"kvp": 100.0, "scatter": Scatter(2.0, narrow_mm=15.0, wide_mm=50.0)},
    "100 kV, scatter 2, CT of 65 keV": {"kvp": 100.0, "scatter": Scatter(2.0), "tissues": Tissues(ct_energy_kev=65.0)},
}
WAYS = {
    "default": None,
    "preset": (),
    "kvp, scatter, response": ("kvp", "scatter", "response"),
    "filtration, too": ("kvp", "filtration", "scatter", "response"),
}

Case = tuple[str, torch.Tensor, rg.DRR, RigidTransform]


def main() -> None:
    """Register and print, a row for each X-ray and way."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--independent", action="store_true", help="the other simulator's X-rays")
    parser.add_argument("--only", nargs="+", default=[""], help="X-rays whose name begins so")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    warnings.simplefilter("ignore")
    print("| X-ray | way | in plane, mm | depth, mm | status | processor, s | exposure |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for name, xray, drr, truth in _independent() if options.independent else _simulated():
        if name.startswith(tuple(options.only)):
            _register(name, xray, drr, truth)


def _register(name: str, xray: torch.Tensor, drr: rg.DRR, truth: RigidTransform) -> None:
    points = draw_points(drr.subject, 300, make_generator(0, "points"))
    start = RigidTransform((se3_exp_map(OFF) @ truth.matrix.double()).float())
    for way, estimate in WAYS.items():
        given = {} if estimate is None else {"physics": Physics.preset("radiography"), "estimate": estimate}
        began = time.process_time()
        result = register(xray, drr, start, **given)
        seconds = time.process_time() - began
        errors = measure_errors(result.pose, truth, points)
        told = result.exposures[0].summary() if result.exposures else ""
        ended = f"{errors.in_plane:.2f} | {abs(errors.depth):.2f} | {result.status[0].value} | {seconds:.1f}"
        print(f"| {name} | {way} | {ended} | {told} |", flush=True)


def _simulated() -> Iterator[Case]:
    drr = rg.DRR(rg.load_example_ct(), 1020.0, 200, 2.0, renderer="joseph")
    truth = rg.convert(
        torch.zeros(1, 3), torch.tensor([[0.0, 850.0, 0.0]]), parameterization="euler_angles", convention="ZXY"
    )
    for name, settings in TRUTHS.items():
        physics = Physics.preset("radiography", **settings)
        yield name, render(drr, truth, physics, noise=0, marching=Marching("siddon")), drr, truth


def _independent() -> Iterator[Case]:
    folder = Path(os.environ.get("RAYGRAD_REAL_DATA", "nowhere"))
    if not folder.is_dir():
        raise SystemExit(f"RAYGRAD_REAL_DATA should name the folder of the X-rays. Got '{folder}'.")
    subject = rg.read(folder / "chest" / "cxr.nii.gz")
    for path in sorted((folder / "simulated").glob("*.npz")):
        if path.stem.rsplit("-", 1)[0] not in ("kvp100", "display"):
            continue
        stored = np.load(path)
        drr_of = json.loads(str(stored["info"]))["drr"]
        drr = rg.DRR(subject, drr_of["sdd"], int(drr_of["height"]), drr_of["delx"])
        yield path.stem, torch.from_numpy(stored["docs"]), drr, RigidTransform(torch.from_numpy(stored["pose"])[None])


if __name__ == "__main__":
    main()
