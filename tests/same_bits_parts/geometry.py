"""Poses, metrics, and where rays run."""

from dataclasses import replace
from itertools import product

import torch
from torch import Tensor

from same_bits_parts.names import Names, detector_of
from same_bits_parts.parts import DOUBLE, DTYPES, Results, euler, part, seeded, with_gradients


@part("poses")
def poses(rg: Names) -> Results:
    """Every parameterization, there and back, with gradients; compositions, inverses, exponentials, distances."""
    turns = [[10.0, -20, 30], [100, 5, -60], [0.001, 0, 0]]
    for dtype, (name, convention) in product(DTYPES, [(name, None) for name in rg.PARAMETERIZATIONS]):
        convention = "ZXY" if name == "euler_angles" else None
        truth = euler(rg, turns, [[1.0, 850, 3], [20, -30, 40], [0, 0, 5]], DTYPES[dtype])
        rotation, xyz = truth.convert(name, convention)

        def matrix(rotation: Tensor, xyz: Tensor, name: str = name, convention: str | None = convention) -> Tensor:
            return rg.convert(rotation, xyz, parameterization=name, convention=convention).matrix

        yield (
            f"{dtype}/{name}",
            {"rotation": rotation, "xyz": xyz, **with_gradients(matrix, rotation=rotation, xyz=xyz)},
        )
    one, other = euler(rg, turns, [[1.0, 850, 3]]), euler(rg, [[7.0, 8, 9]], [[4.0, 5, 6]])
    yield "compose", one.compose(other)
    yield "inverse", one.inverse()
    yield "twist", one.get_se3_log()
    yield "exponential", with_gradients(rg.se3_exp_map, twist=one.get_se3_log())
    yield "zyx", rg.convert(torch.tensor(turns), torch.ones(3, 3), parameterization="euler_angles", convention="zyx")
    yield "points", one(torch.rand(3, 5, 3, generator=seeded(0), dtype=DOUBLE))
    yield "log geodesic", rg.LogGeodesicSE3()(one, other)
    yield "double geodesic", rg.DoubleGeodesicSE3(1020.0)(one, other)
    points = 100 * torch.rand(3, 5, 3, generator=seeded(0), dtype=DOUBLE)
    yield "target registration error", rg.mean_target_registration_error(one, other, points)


@part("metrics")
def metrics(rg: Names) -> Results:
    """Every metric of images and of volumes, with gradients."""
    functions = {
        "ncc": rg.NormalizedCrossCorrelation2d(),
        "ncc of patches": rg.NormalizedCrossCorrelation2d(5),
        "multiscale ncc": rg.MultiscaleNormalizedCrossCorrelation2d([None, 9], [0.5, 0.5]),
        "gradient ncc": rg.GradientNormalizedCrossCorrelation2d(sigma=0.7),
        "gradient ncc of patches": rg.GradientNormalizedCrossCorrelation2d(patch_size=4, sigma=0),
        "gradient difference": rg.GradientDifference(),
        "mutual information": rg.MutualInformation(num_bins=16),
        "ssim": rg.StructuralSimilarity2d(window_size=5),
    }
    volume_metrics = (
        "root_mean_square_error",
        "relative_error",
        "peak_signal_to_noise_ratio",
        "structural_similarity_3d",
    )
    for dtype in DTYPES:
        one, two = torch.rand(2, 3, 2, 24, 20, generator=seeded(0), dtype=DOUBLE).to(DTYPES[dtype])
        for name, function in functions.items():
            yield f"{dtype}/{name}", with_gradients(lambda one, two, f=function: f(one, two), one=one, two=one + two)
        truth, noise = torch.rand(2, 13, 12, 14, generator=seeded(0), dtype=DOUBLE).to(DTYPES[dtype])
        for name in volume_metrics:
            metric = getattr(rg, name)
            yield f"{dtype}/{name}", with_gradients(metric, volume=truth + noise, truth=truth)
            yield f"{dtype}/{name}/in a mask", metric(truth + noise, truth, mask=truth > 0.25)
    yield (
        "total variation",
        with_gradients(
            lambda volume: rg.total_variation(volume, (1.0, 2.0, 1.5)), volume=torch.rand(7, 6, 5, generator=seeded(0))
        ),
    )


@part("geometry")
def geometry(rg: Names) -> Results:
    """Rays and matrices of every trajectory and of detectors, grids of volumes."""
    system = {"sdd": 900.0, "sid": 600.0, "height": 5, "width": 6, "delx": 3.0, "dely": 2.0, "x0": 4.0, "y0": -2.0}
    for dtype in DTYPES:
        kind = system | {"dtype": DTYPES[dtype]}
        flat = {name: kind[name] for name in ("height", "width", "delx", "x0", "y0", "dtype")}
        trajectories = {
            "circular": rg.circular(4, start_deg=20.0, axis=(0.1, 0.2, 1.0), isocentre=(1.0, 2.0, 3.0), **kind),
            "clockwise": rg.circular(4, range_deg=100.0, clockwise=True, **kind),
            "short scan": rg.short_scan(4, extra_deg=5.0, **kind),
            "helical": rg.helical(4, pitch=20.0, turns=1.5, **kind),
            "laminography": rg.laminography(4, tilt_deg=30.0, **kind),
            "c-arm": rg.c_arm_sweep((-40.0, 50.0), (10.0, -5.0), n_views=4, **kind),
            "c-arm, tube in front": rg.c_arm_sweep((-40.0, 50.0), (10.0, -5.0), n_views=4, tube="front", **kind),
            "parallel": rg.parallel(4, start_deg=20.0, **flat),
        }
        for name, views in trajectories.items():
            found = {"rays": views.rays(), "some": views[[3, 1]].rays(), "world to pixel": views.world_to_pixel}
            if name != "parallel":
                found |= {"camera": views.camera_to_world, "pixels": views.pixel_to_camera, "source": views.source}
                maps = views.detector.calibration.matrix.repeat(4, 1, 1) * torch.linspace(1, 1.1, 4)[:, None, None]
                maps[:, 3, 3] = 1
                own = replace(views, calibration=maps.to(views.pose.matrix))
                found["by view"] = {"rays": own.rays(), "world to pixel": own.world_to_pixel}
            yield f"{dtype}/{name}", found
    for orientation, reverse in product(("AP", "PA", None), (True, False)):
        own = {name: value for name, value in system.items() if name != "sid"}
        detector = detector_of(**own, reorient=rg.make_reorient(orientation), reverse_x_axis=reverse)
        points = torch.tensor([[[1.0, 2.0, 600.0], [-30.0, 20.0, 850.0]]], dtype=DOUBLE)
        yield (
            f"detector/{orientation}/{reverse}",
            {
                "rays": detector(euler(rg, [10.0, 20, 30], [1.0, 850, 3])),
                "calibration": detector.calibration.matrix,
                "intrinsic": detector.intrinsic,
                "pinhole": detector.pinhole_matrix,
                "pixels of points": detector.camera_to_pixel(points),
                "points of pixels": detector.pixel_to_camera(points[..., :2]),
                "of a pinhole": rg.Detector.from_pinhole_matrix(
                    detector.pinhole_matrix, 5, 6, 3.0, rg.make_reorient(orientation), reverse_x_axis=reverse
                )(euler(rg, [10.0, 20, 30], [1.0, 850, 3])),
            },
        )
    grid = rg.VolumeGeometry.centred((5, 6, 7), (1.0, 2.0, 3.0), (10.0, -5.0, 2.0))
    for name, own in {"grid": grid, "coarser grid": grid.coarser(2)}.items():
        maps = {"voxel to world": own.voxel_to_world, "world to voxel": own.world_to_voxel}
        yield name, {**maps, "corners": own.corners(), "spacing": own.spacing, "shape": own.shape}
