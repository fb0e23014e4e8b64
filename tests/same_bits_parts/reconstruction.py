"""Projectors, and reconstructions by every method."""

import math
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import torch
from torch import Tensor

from same_bits_parts.names import Names, described, detector_of, field, reconstruct, unknown_sweep
from same_bits_parts.parts import DOUBLE, DTYPES, RENDERERS, Results, one_thread, part, seeded, with_gradients


def head(rg: Names, scale: float = 90.0) -> Any:
    return rg.Phantom([replace(shape, value=shape.value / 10) for shape in rg.shepp_logan(scale)])


def sweep(rg: Names, n_views: int = 12, pixels: int = 24, dtype: torch.dtype = torch.float32, **circle: Any) -> Any:
    """A full turn of a cone beam that sees the head."""
    system = {"sdd": 1500.0, "sid": 1000.0, "height": pixels, "delx": 320.0 / pixels, "dtype": dtype}
    return rg.circular(n_views, **system | circle)


def grid(rg: Names, size: int = 20) -> Any:
    return rg.VolumeGeometry.centred((size, size, size), 200.0 / size)


def images_of(rg: Names, views: Any, noise: float = 0.0) -> Tensor:
    """Exact line integrals of the head, and some noise."""
    with one_thread():
        source, target = (ends.double() for ends in views.rays())
        exact = head(rg).line_integrals(source, target).unflatten(1, views.image_shape)
        return (exact + noise * torch.randn(exact.shape, generator=seeded(0), dtype=DOUBLE)).clamp_min(0)


@part("projector/operator")
def projector_operator(rg: Names) -> Results:
    """A, A.T, their gradients, streamed and at once, and the norm."""
    geometry = rg.VolumeGeometry.centred((14, 12, 10), (3.0, 3.5, 4.0))
    for dtype, renderer, rays in product(DTYPES, RENDERERS, (300, 1 << 22)):
        views = sweep(rg, 6, 10, DTYPES[dtype], sdd=450.0, sid=300.0, delx=5.0, start_deg=20.0, x0=1.0, y0=2.0)
        operator = rg.Projector(geometry, views, renderer, n_points=60, rays_at_once=rays)
        volume = torch.rand(geometry.shape, generator=seeded(1), dtype=DOUBLE).to(DTYPES[dtype])
        images = torch.rand(operator.range_shape, generator=seeded(2), dtype=DOUBLE).to(DTYPES[dtype])
        found = {"A": with_gradients(lambda volume, A=operator: A(volume), volume=volume)}
        found["A.T"] = with_gradients(lambda images, A=operator: A.T(images), images=images)
        found["into"] = operator.T(images, out=torch.full(geometry.shape, 7.0, dtype=DTYPES[dtype]))
        x_fastest = volume.permute(2, 1, 0).contiguous().permute(2, 1, 0)
        found |= {"A, x fastest": operator(x_fastest), "norm": operator.norm(10)}
        found["subsets"] = [(subset(volume), positions) for subset, positions in operator.subsets(4)]
        yield f"{dtype}/{renderer}/{'streamed' if rays == 300 else 'at once'}", found


@part("projector/gradients")
def projector_gradients(rg: Names) -> Results:
    """Gradients through a projector to the volume and to what makes the rays."""
    geometry = rg.VolumeGeometry.centred((8, 7, 6), 8.0)
    for dtype, renderer, rays in product(DTYPES, RENDERERS, (30, 1 << 22)):
        views = sweep(rg, 4, 5, DTYPES[dtype], sdd=450.0, sid=300.0, delx=9.0, start_deg=20.0)
        settings = {"n_points": 40, "rays_at_once": rays}
        own = views.detector

        def image(volume, pose, sdd, x0, settings=settings, own=own, renderer=renderer):
            lengths = {"height": 5, "width": 5, "delx": 9.0, "dely": 9.0, "y0": 1.0, "reorient": own.reorient}
            detector = detector_of(sdd=sdd, x0=x0, **lengths, reverse_x_axis=True)
            return rg.Projector(geometry, rg.ConeViews(detector, rg.RigidTransform(pose)), renderer, **settings)(volume)

        def along_rays(volume, source, target, settings=settings, renderer=renderer):
            return rg.Projector(geometry, rg.RayViews(source, target, (5, 5)), renderer, **settings)(volume)

        def by_view(volume, maps, views=views, settings=settings, renderer=renderer):
            return rg.Projector(geometry, replace(views, calibration=maps), renderer, **settings)(volume)

        volume = torch.rand(geometry.shape, generator=seeded(1), dtype=DOUBLE).to(DTYPES[dtype])
        lengths = {name: torch.tensor(value, dtype=DTYPES[dtype]) for name, value in (("sdd", 450.0), ("x0", 0.5))}
        source, target = views.rays()
        maps = own.calibration.matrix.repeat(4, 1, 1).to(volume)
        yield (
            f"{dtype}/{renderer}/{'streamed' if rays == 30 else 'at once'}",
            {
                "poses": with_gradients(image, volume=volume, pose=views.pose.matrix, **lengths),
                "rays": with_gradients(along_rays, volume=volume, source=source, target=target),
                "calibrations": with_gradients(by_view, volume=volume, maps=maps),
            },
        )


def reconstructed(result: Any) -> dict[str, Any]:
    """All that a reconstruction says, but how long it took."""
    return {
        "volume": result.volume,
        "method": result.method,
        "status": described(result.status),
        "history": np.array(
            [[it.number, it.residual, it.change, it.objective or 0] for it in result.history], np.float64
        ),
    }


METHODS: dict[str, dict[str, dict[str, Any]]] = {
    "sirt": {"plain": {}, "relaxed": {"relaxation": 1.5, "nonnegative": False}, "siddon": {"renderer": "siddon"}},
    "os_sart": {
        "plain": {},
        "subsets": {"n_subsets": 5, "relaxation": 0.8, "decay": 0.9},
        "trilinear": {"renderer": "trilinear"},
    },
    "cgls": {"plain": {}, "damped": {"damping": 5.0, "restart": 2}, "nonnegative": {"nonnegative": True, "restart": 3}},
    "osem": {
        "emission": {},
        "subsets": {"n_subsets": 4},
        "transmission": {"statistics": "transmission", "photons": 1000.0},
        "transmission subsets": {"statistics": "transmission", "photons": 1000.0, "n_subsets": 1},
    },
    "tv": {
        "plain": {},
        "penalty": {"penalty": 0.5, "n_subsets": 3},
        "no edges": {"strength": 0.0},
        "signed": {"nonnegative": False},
    },
    "adam": {"plain": {}, "subsets": {"n_subsets": 3, "nonnegative": True, "learning_rate": 2e-3}},
}
"""Options of every iterative method, by a name for each way to run it."""


@part("reconstruction/methods")
def reconstruction_methods(rg: Names) -> Results:
    """Every iterative method from noisy images, by the verb."""
    for dtype in DTYPES:
        views = sweep(rg, dtype=DTYPES[dtype])
        images = images_of(rg, views, 0.02).to(DTYPES[dtype])

        def run(method: str, images: Tensor = images, views: Any = views, **options: Any) -> dict[str, Any]:
            options = {"iterations": 6} | options
            return reconstructed(reconstruct(images, views, grid(rg), method=method, **options))

        for method, ways in METHODS.items():
            for way, options in ways.items():
                yield f"{dtype}/{method}/{way}", run(method, **options)
        start = grid(rg).zeros(DTYPES[dtype]) + 0.01
        support = torch.ones(grid(rg).shape)
        support[:3] = 0
        for method in METHODS:
            yield f"{dtype}/{method}/start and support", run(method, start=start, support=support, iterations=2)
        with one_thread():
            transmitted = torch.exp(-images)
        photons = torch.poisson(500 * transmitted, generator=seeded(1))
        counted = {"statistics": "transmission", "photons": 500.0, "counts": True}
        yield f"{dtype}/osem/counts", run("osem", images=photons, **counted)
        yield f"{dtype}/tv/weights", run("tv", weights=transmitted)
        smooth = {"regulariser": _smoothness, "loss": _absolute}
        yield f"{dtype}/adam/own loss", run("adam", **smooth)
        yield f"{dtype}/sirt/tolerance", run("sirt", tolerance=0.2, iterations=20)
        yield f"{dtype}/cgls/residual", run("cgls", residual=0.2, iterations=20)


def _smoothness(volume: Tensor) -> Tensor:
    return 1e-3 * volume.diff(dim=0).square().sum()


def _absolute(rendered: Tensor, images: Tensor) -> Tensor:
    return (rendered - images).abs().mean()


@part("reconstruction/fdk")
def reconstruction_fdk(rg: Names) -> Results:
    """Analytic reconstruction of every kind of scan it knows, with every filter."""
    lengths = {"sdd": 1500.0, "sid": 1000.0, "height": 24, "delx": 320.0 / 24}
    for dtype in DTYPES:
        kind = {"dtype": DTYPES[dtype]}
        scans = {
            "circle": sweep(rg, 20, **kind),
            "short scan": rg.short_scan(20, **lengths, extra_deg=10.0, **kind),
            "offset detector": sweep(rg, 20, x0=60.0, width=30, **kind),
            "parallel": rg.parallel(20, height=24, delx=9.0, **kind),
        }
        for name, views in scans.items():
            images = images_of(rg, views, 0.01).to(DTYPES[dtype])
            for window in ("ram-lak", "shepp-logan", "cosine", "hann") if name == "circle" else ("ram-lak",):
                options = {"filter": window, "cutoff": 0.8 if window == "hann" else 1.0}
                found = reconstruct(images, views, grid(rg), method="fdk", **options, nonnegative=name == "circle")
                yield f"{dtype}/{name}/{window}", reconstructed(found)


def calibrated(found: Any) -> dict[str, Any]:
    """All that a calibration of a sweep says, but how long it took."""
    return {
        "rays": found.views.rays(),
        "poses": found.views.pose,
        "volume": found.volume,
        "moved": found.moved,
        "deviation": found.moved_deviation,
        "intrinsics": dict(found.intrinsics),
        "residual": found.residual,
        "settled": found.settled,
        "history": np.array([[one.residual, field(one, "step")] for one in found.history]),
    }


@part("reconstruction/calibration")
def reconstruction_calibration(rg: Names) -> Results:
    """Sweeps whose poses and intrinsics are refined."""
    for dtype in DTYPES:
        true = sweep(rg, 8, 32, DTYPES[dtype], x0=2.0)
        images = images_of(rg, true).to(DTYPES[dtype])
        scale = torch.tensor([2.0] * 3 + [math.radians(1.0)] * 3, dtype=DOUBLE)
        moves = rg.se3_exp_map(scale * torch.randn(8, 6, generator=seeded(2), dtype=DOUBLE))
        given = sweep(rg, 8, 32, DTYPES[dtype])
        given = replace(given, pose=rg.RigidTransform((moves @ given.pose.matrix.double()).to(DTYPES[dtype])))
        projector = rg.Projector(grid(rg, 32), given)
        everything = unknown_sweep(1.0, 2.0, sdd_mm=10.0, x0_mm=2.0, y0_mm=2.0, pixel_size=0.01)
        for name, unknowns in (
            ("poses", unknown_sweep(1.0, 2.0)),
            ("all", everything),
            ("x0", unknown_sweep(x0_mm=2.0)),
        ):
            yield f"{dtype}/{name}", calibrated(rg.calibrate(projector, images, unknowns, rounds=3, iterations=4))
        maps = given.detector.calibration.matrix.to(given.pose.matrix).repeat(8, 1, 1)
        by_view = projector.with_views(replace(given, calibration=maps))
        yield f"{dtype}/by view", calibrated(rg.calibrate(by_view, images, everything, factors=[2], rounds=2))
    whole = reconstruct(images, given, grid(rg, 32), method="os_sart", iterations=2, calibrate="poses")
    yield "in the verb", reconstructed(whole) | {"calibration": calibrated(whole.calibration)}
