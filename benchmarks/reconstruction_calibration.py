"""What refining the poses with the volume brings back: every pose of a sweep off by 1 degree and 2 mm.

    python benchmarks/reconstruction_calibration.py             # minutes on two cores; results/calibration.md

64 noisy X-rays of 256 x 256 pixels, 128^3 voxels; X-rays and truth as in `reconstruction_cases.py`. Every pose is
turned and shifted about the isocentre by normal random numbers, 1 degree and 2 mm on each axis. The volume is
reconstructed by `tv` from the true poses, from the wrong ones, and from the refined ones. A motion of all poses with
the volume cannot be seen in images: before a volume is compared with the truth, its views are moved by the mean motion
that takes the refined poses to the true ones.
"""

import argparse
import time
from pathlib import Path

import torch
from reconstruction_cases import Case, Patient
from torch import Tensor

from raygrad.geometry._views import ConeViews
from raygrad.metrics import peak_signal_to_noise_ratio
from raygrad.pose import RigidTransform, se3_exp_map, se3_log_map
from raygrad.projector import Projector
from raygrad.reconstruction import TotalVariation, calibrate

DEGREES, MILLIMETRES = 1.0, 2.0


def moved(views: ConeViews, motion: Tensor) -> ConeViews:
    """The views after a motion (4, 4), or one for each, of the world."""
    return ConeViews(views.detector, RigidTransform(motion.to(views.pose.matrix) @ views.pose.matrix))


def mean_motion(views: ConeViews, truth: ConeViews) -> Tensor:
    """The motion of the world that takes all views nearest to the true ones, by their mean twist."""
    motion = torch.eye(4, dtype=torch.float64)
    for _ in range(10):
        apart = truth.pose.matrix.double() @ torch.linalg.inv(motion @ views.pose.matrix.double())
        motion = se3_exp_map(se3_log_map(apart).mean(0, keepdim=True))[0] @ motion
    return motion


def pose_errors(views: ConeViews, truth: ConeViews) -> tuple[float, float]:
    """Mean distance at the isocentre across the beam in mm, and mean angle in degrees, after the common motion."""
    aligned = mean_motion(views, truth) @ views.pose.matrix.double()
    twist = se3_log_map(aligned @ torch.linalg.inv(truth.pose.matrix.double()))
    beam = torch.nn.functional.normalize(truth.source.double(), dim=1)
    shift = twist[:, :3] - (twist[:, :3] * beam).sum(1, keepdim=True) * beam
    return float(shift.norm(dim=1).mean()), float(torch.rad2deg(twist[:, 3:].norm(dim=1)).mean())


def main() -> None:
    """Perturb, refine, compare, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=128, help="voxels along a side")
    parser.add_argument("--views", type=int, default=64)
    parser.add_argument("--factors", default="4,2", help="resolutions of the refinement; its finest need not be 1")
    parser.add_argument("--iterations", type=int, default=24, help="of tv")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    patient, case = Patient("example"), Case(options.size, options.views, noisy=True)
    expected, mask = patient.on_grid(case.size), patient.mask(case.size)
    true = case.views
    images = patient.xrays(true, noisy=True)
    deviation = torch.tensor([MILLIMETRES] * 3 + [DEGREES * torch.pi / 180] * 3)
    twists = deviation * torch.randn(len(true), 6, generator=torch.Generator().manual_seed(1))
    wrong = moved(true, se3_exp_map(twists.double()))

    def judged(views: ConeViews) -> float:
        result = TotalVariation()(Projector(case.geometry, views), images, iterations=options.iterations)
        return float(peak_signal_to_noise_ratio(result.volume, expected, mask=mask))

    best, worst = judged(true), judged(wrong)
    began = time.perf_counter()
    factors = tuple(int(factor) for factor in options.factors.split(","))
    refined = calibrate(Projector(case.geometry, wrong), images, factors=factors, progress=True).views
    seconds = time.perf_counter() - began
    regained = judged(moved(refined, mean_motion(refined, true)))
    rows = [
        ("true poses", best, (0.0, 0.0)),
        ("poses as given", worst, pose_errors(wrong, true)),
        (f"refined, {seconds:.0f} s", regained, pose_errors(refined, true)),
    ]
    text = (
        f"{case}, poses off by {DEGREES:g} degree and {MILLIMETRES:g} mm on every axis, factors {options.factors}\n\n"
    )
    text += "| | PSNR, dB | mean error across the beam, mm | mean turn, degrees |\n| --- | --- | --- | --- |\n"
    text += "".join(f"| {name} | {psnr:.2f} | {mm:.3f} | {turn:.3f} |\n" for name, psnr, (mm, turn) in rows)
    text += f"\nOf the {best - worst:.2f} dB lost {(regained - worst) / (best - worst):.1%} came back.\n"
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "calibration.md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
