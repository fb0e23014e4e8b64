"""Registrations and landscapes."""

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from same_bits_parts.names import Names, call, described, register, unknown_geometry
from same_bits_parts.parts import DOUBLE, Results, euler, part, thorax


def registered(result: Any) -> dict[str, Any]:
    """All that a registration says, but how long it took."""
    trace, uncertainty = result.trace, result.uncertainty
    return {
        "poses": list(result.poses),
        "score": result.score,
        "status": [described(status) for status in result.status],
        "best": result.best,
        "covariance": None if uncertainty is None else uncertainty.covariance,
        "radius": None if uncertainty is None else uncertainty.radius,
        "intrinsics": list(result.intrinsics),
        "structures": {name: list(own) for name, own in result.structures.items()},
        "trace": {
            "where": np.array([[it.stage, it.number, *it.pixels] for it in trace]),
            "poses": torch.stack([it.pose.matrix for it in trace]),
            "scores": torch.stack([it.score for it in trace]),
            "damping": torch.stack([it.damping for it in trace]) if trace[0].damping is not None else None,
        },
    }


class Bench:
    """A thorax, cameras, X-rays and starts."""

    def __init__(self, rg: Names, side: int = 64, **options: Any) -> None:
        self.rg = rg
        self.drr = self.camera(side=side, **options)
        self.ap, self.lateral = euler(rg, [0.0, 0, 0], [0.0, 850, 0]), euler(rg, [90.0, 0, 0], [0.0, 850, 0])
        self.motion = euler(rg, [7.0, -6, 5], [10.0, 860, -9]).matrix @ self.ap.inverse().matrix
        self.stages = (
            rg.Stage(25, rg.GlobalCorrelation(), iterations=8, tolerance=0.5, keep=2),
            rg.Stage(32, rg.LocalCorrelation(9), iterations=20, tolerance=0.01, calibrate=True, apart=True),
        )

    def camera(self, side: int = 64, **options: Any) -> Any:
        return self.rg.DRR(
            thorax(self.rg), **{"sdd": 1020.0, "height": side, "delx": 400.0 / side, "renderer": "joseph"} | options
        )

    def xray(self, pose: Any, camera: Any = None) -> Tensor:
        camera = self.drr if camera is None else camera
        return camera(pose.to(camera.dtype)).detach()

    def off(self, pose: Any) -> Any:
        return self.rg.RigidTransform(self.motion @ pose.matrix)

    def found(self, *arguments: Any, **options: Any) -> dict[str, Any]:
        return registered(register(*arguments, **options))


@part("registration/poses")
def registration_poses(rg: Names) -> Results:
    """Levenberg and Marquardt from several starts, by the schedule and by stages of one's own."""
    bench = Bench(rg)
    angles, places = [[7.0, -6, 5], [-9, 10, 8], [40, 0, 0]], [[10.0, 860, -9], [-12, 840, 15], [0, 850, 0]]
    yield "three starts", bench.found(bench.xray(bench.ap), bench.drr, euler(rg, angles, places))
    for seed, candidates in ((0, 4), (3, 8)):
        few = {"seed": seed, "candidates": candidates, "stages": bench.stages}
        yield f"seed {seed}", bench.found(bench.xray(bench.lateral), bench.drr, bench.off(bench.lateral), **few)
    xrays, starts = [bench.xray(bench.ap), bench.xray(bench.lateral)], [bench.off(bench.ap), bench.off(bench.lateral)]
    yield "two views", bench.found(xrays, [bench.drr] * 2, starts, candidates=4)
    odd = bench.camera(height=40, width=60, delx=7.0, dely=10.0, x0=20.0, y0=-15.0, reverse_x_axis=False)
    few = {"stages": bench.stages, "candidates": 4}
    yield "another camera", bench.found(bench.xray(bench.ap, odd), odd, bench.off(bench.ap), **few)
    fine = bench.camera().to(DOUBLE)
    yield "float64", bench.found(bench.xray(bench.ap, fine), fine, bench.off(bench.ap), **few)
    siddon = bench.camera(renderer="siddon")
    both = rg.WeightedSum((rg.GradientCorrelation(), rg.LocalCorrelation(5)), (0.7, 0.3))
    own = [rg.Stage(64, both, iterations=6, tolerance=0.01, robust=True, renderer=None)]
    spoilt = bench.xray(bench.ap, siddon)
    spoilt[..., 20:, 31] *= 1.5
    mask = torch.ones(64, 64)
    mask[40:, :12] = 0
    yield (
        "masked and robust",
        bench.found(spoilt, siddon, euler(rg, [2.0, 1, -1], [3.0, 855, 2]), mask=mask, stages=own, candidates=2),
    )


@part("registration/unknowns")
def registration_unknowns(rg: Names) -> Results:
    """Geometry that is not known exactly, and a structure that moves by itself."""
    bench = Bench(rg)
    starts = [bench.off(bench.ap), bench.off(bench.lateral)]
    camera = bench.camera(sdd=1028.0, x0=3.0, y0=-3.0, delx=400.0 / 64 * 1.01)
    xrays = [bench.xray(bench.ap, camera), bench.xray(bench.lateral, camera)]
    unknowns = {
        "sdd": {"sdd_mm": 10.0},
        "principal point": {"centre_mm": 5.0},
        "pixel size": {"pixel_size": 0.02},
        "relative pose": {"pose_mm": 3.0, "pose_deg": 1.0},
        "all": {"sdd_mm": 10.0, "centre_mm": 5.0, "pixel_size": 0.02, "pose_mm": 3.0, "pose_deg": 1.0},
    }
    for name, known in unknowns.items():
        few = {"candidates": 2, "stages": bench.stages, "calibration": unknown_geometry(**known)}
        yield name, bench.found(xrays, [bench.drr] * 2, starts, **few)
    names = thorax(rg).structures
    structures = {
        "spine": [
            label for label, name in names.items() if "vertebra" in name and bool((bench.drr.mask == label).any())
        ],
        "ribs": [
            label for label, name in names.items() if "rib_left" in name and bool((bench.drr.mask == label).any())
        ],
    }
    few = {"candidates": 2, "structures": structures, "stages": bench.stages}
    yield "structures", bench.found(xrays, [bench.drr] * 2, starts, **few)
    yield (
        "structures by the schedule",
        bench.found(xrays[0], bench.drr, starts[0], structures={"spine": structures["spine"]}),
    )


@part("registration/gradients")
def registration_gradients(rg: Names) -> Results:
    """Gradient descent by either method in several parameterizations, and a loop of one's own."""
    bench = Bench(rg, side=40)
    starts = euler(rg, [[7.0, -6, 5], [-9, 4, 2]], [[10.0, 860, -9], [-8, 840, 5]])
    xray = bench.xray(bench.ap)
    for method, iterations in (("adam", 15), ("lbfgs", 8)):
        for name in (None, "euler_angles", "se3_log_map", "rotation_6d", "quaternion"):
            convention = "ZXY" if name == "euler_angles" else None
            options = {"parameterization": name, "convention": convention, "iterations": iterations}
            yield f"{method}/{name}", bench.found(xray, bench.drr, starts, method=method, **options)
        mask = torch.ones(40, 40)
        mask[25:, :10] = 0
        options = {"metric": rg.GradientNormalizedCrossCorrelation2d(), "mask": [mask, None], "iterations": iterations}
        xrays, inits = [xray, bench.xray(bench.lateral)], [bench.off(bench.ap), bench.off(bench.lateral)]
        yield f"{method}/two views", bench.found(xrays, [bench.drr] * 2, inits, method=method, **options)
    rotation, translation = starts.convert("euler_angles", "ZXY")
    module = rg.Registration(bench.drr, rotation.float(), translation.float(), "euler_angles", "ZXY")
    groups = [{"params": [module.rotation], "lr": 1e-2}, {"params": [module.translation], "lr": 1.0}]
    optimizer = torch.optim.Adam(groups, maximize=True)
    metric = rg.MultiscaleNormalizedCrossCorrelation2d([None, 9], [0.5, 0.5])
    scores = []
    for _ in range(10):
        optimizer.zero_grad()
        scores.append(metric(xray, module()))
        scores[-1].sum().backward()
        optimizer.step()
    yield "module", {"scores": torch.stack(scores), "pose": module.pose}


@part("registration/search")
def registration_search(rg: Names) -> Results:
    """Searches from no start and about one, whose ways are short."""
    bench = Bench(rg, side=50)
    truth = euler(rg, [15.0, -10, 8], [20.0, 880, -15])
    xray, ranges = bench.xray(truth), rg.SearchRanges(degrees=25.0, mm=40.0)
    stages = [replace(stage, keep=keep) for stage, keep in zip(bench.stages, (64, 16), strict=True)]
    few = {"poses": 512, "stages": stages, "keep": 3}
    yield "ranges", registered(call(rg.search, xray, bench.drr, ranges=ranges, **few))
    yield (
        "about a start",
        registered(call(rg.search, xray, bench.drr, ranges=ranges, init=bench.off(bench.ap), seed=2, **few)),
    )


@part("landscape")
def landscapes(rg: Names) -> Results:
    """Small landscapes in several parameterizations, with their measures."""
    drr = rg.DRR(thorax(rg), sdd=1020.0, height=24, delx=16.0)
    pose = euler(rg, [5.0, -10, 3], [3.0, 850, -5], torch.float32)
    xray = drr(euler(rg, [6.0, -9, 3], [0.0, 855, -5], torch.float32))
    for name, options in {
        "euler_angles": {"convention": "ZXY", "degrees": True, "steps": 5},
        "axis_angle": {"steps": 3, "metric": rg.NormalizedCrossCorrelation2d(), "xray": xray},
        "quaternion": {"steps": 3, "slices": ["qy", ("x", "qw")]},
    }.items():
        found = rg.compute_landscape(drr, pose, parameterization=name, **options)
        yield (
            name,
            {
                "at truth": found.loss_at_truth,
                "slices": {
                    ", ".join(piece.names): {
                        "loss": piece.loss,
                        "deviations": list(piece.deviations),
                        "measures": {
                            key: list(value) if isinstance(value, tuple) else value
                            for key, value in vars(rg.measure_slice(piece)).items()
                        },
                    }
                    for piece in found.slices
                },
            },
        )
