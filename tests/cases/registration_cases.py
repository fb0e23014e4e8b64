"""Small volumes and where they lie, for the tests of registration's parts."""

import math

import numpy as np
import torch

from raygrad.data import Subject, Volume
from raygrad.drr import DRR
from raygrad.geometry import ConeViews, Detector, UnknownGeometry
from raygrad.march import Marching, Prepared, march
from raygrad.phantoms._shapes import Gaussian, Phantom
from raygrad.pose import RigidTransform, convert, se3_exp_map
from raygrad.registration._problem.pose_problem import PoseProblem, ScaledXRay, States
from raygrad.registration._problem.similarity import GlobalCorrelation, LocalCorrelation
from raygrad.registration._problem.volumes import Volumes
from raygrad.registration._schedule import Stage

DOUBLE = torch.float64
AP = torch.tensor([[1.0, 0, 0, 0], [0, 0, -1, 0], [0, 1, 0, 0], [0, 0, 0, 1]])
STILL = RigidTransform(torch.eye(4, dtype=DOUBLE))
OBLIQUE = se3_exp_map(torch.tensor([[5.0, -8.0, 3.0, 0.3, -0.5, 0.8]], dtype=DOUBLE))[0]


def grid(shape, spacing, centre=(0.0, 0.0, 0.0), pose=None):
    """The affine (4, 4) from voxels to mm of a grid about a centre, turned if wanted."""
    voxel_to_world = torch.diag(torch.tensor([*spacing, 1.0], dtype=DOUBLE))
    extent = torch.tensor([(n - 1) / 2 * s for n, s in zip(shape, spacing, strict=True)], dtype=DOUBLE)
    voxel_to_world[:3, 3] = torch.as_tensor(centre, dtype=DOUBLE) - extent
    return voxel_to_world if pose is None else pose @ voxel_to_world


def body_of(phantom, shape, voxel_to_world):
    return Prepared.of(phantom.voxelize(shape, voxel_to_world, 2, DOUBLE), torch.linalg.inv(voxel_to_world))


def blobs(centre=(0.0, 0.0, 0.0), size=1.0, seed=0):
    """A few smooth blobs within 40 mm of a centre."""
    draw = np.random.default_rng(seed)
    centre = np.array([float(c) for c in centre])
    spots = [
        Gaussian(centre + size * draw.uniform(-20, 20, 3), size * draw.uniform(7, 14, 3), value=draw.uniform(0.3, 1))
        for _ in range(4)
    ]
    return Phantom(spots)


def make_detector(height=12, width=10, pixel=12.0, x0=0.0, y0=0.0, dely=None, reverse=True, sdd=1020.0):
    dely = pixel if dely is None else dely
    return Detector(sdd, height, width, pixel, dely, x0, y0, AP, reverse_x_axis=reverse)


def make_subject():
    """Blobs of 40 mm and a mask whose label 1 is the half of them at low x."""
    shape, voxel_to_world = (24, 26, 22), grid((24, 26, 22), (5.0,) * 3)
    density = blobs(size=2.0).voxelize(shape, voxel_to_world, 2)
    labels = torch.zeros(shape, dtype=torch.uint8)
    labels[:12] = 1
    return Subject(Volume(density, voxel_to_world), density, Volume(labels, voxel_to_world))


def make_drr(subject, **options):
    return DRR(subject, 1020.0, 20, 8.0, **{"renderer": "joseph"} | options)


def middle_of(voxel_to_world, shape):
    return voxel_to_world[:3, :3] @ ((torch.tensor(shape, dtype=DOUBLE) - 1) / 2) + voxel_to_world[:3, 3]


def far(batch=1, seed=0, view=0, spread=1.0):
    """Poses (batch, 4, 4) from 850 mm away, the second view at 80 degrees to the first."""
    generator = torch.Generator().manual_seed(seed)
    pose = torch.eye(4, dtype=DOUBLE).repeat(batch, 1, 1)
    pose[:, 1, 3] = 850.0
    turn = torch.zeros(1, 6, dtype=DOUBLE)
    turn[0, 5] = math.radians(80.0) * view
    deviation = torch.tensor([6.0, 6.0, 6.0, 0.1, 0.1, 0.1], dtype=DOUBLE) * spread
    near = se3_exp_map(deviation * torch.randn(batch, 6, generator=generator, dtype=DOUBLE))
    return near @ se3_exp_map(turn) @ pose


JOSEPH = Marching("joseph")


def see(body, detector, pose, marching=JOSEPH):
    """The line integrals (batch, ray) of a body from poses (batch, 4, 4)."""
    return march(body, ConeViews(detector, RigidTransform(pose)), marching)[:, 0]


EVERYTHING = UnknownGeometry(pose_deg=1.0, pose_mm=4.0, sdd_mm=5.0, x0_mm=3.0, y0_mm=3.0, pixel_size=0.01)


def make_problem(
    views=2, bodies=2, similarity=None, geometry=EVERYTHING, entries=3, noise=1e-6, origin=(40.0, -70, 30)
):
    """Blobs about a point that is not the world's origin; another body beside them that turns about its own middle."""
    origin = torch.tensor(origin, dtype=DOUBLE)
    centres = [origin, origin + torch.tensor([14.0, 10.0, -12.0], dtype=DOUBLE)][:bodies]
    shapes, sizes = ((16, 18, 15), (9, 8, 10)), (1.0, 0.5)
    solid = [
        body_of(blobs(centre, size, seed), shape, grid(shape, (6 * size,) * 3, centre))
        for seed, (centre, size, shape) in enumerate(zip(centres, sizes, shapes, strict=False))
    ]
    xrays = []
    generator = torch.Generator().manual_seed(5)
    for view in range(views):
        detector = make_detector(x0=5.0 * view, y0=-3.0, height=12, width=10 + view, dely=11.0, reverse=view == 0)
        rig = far(entries, seed=view, view=view)
        rig[:, :3, 3] += origin
        shape = (1, 1, detector.height, detector.width)
        xray = sum(see(body, detector, rig[:1]) for body in solid).reshape(shape)
        xray = xray + 0.02 * xray.max() * torch.randn(shape, generator=generator, dtype=DOUBLE)
        weights = torch.rand(shape, generator=generator, dtype=DOUBLE)
        weights[..., :2] = 0
        xrays.append(ScaledXRay(detector, JOSEPH, Volumes(solid), rig, xray, weights))
    noise = torch.full((entries,), noise, dtype=DOUBLE)
    return PoseProblem(tuple(xrays), similarity or GlobalCorrelation(), torch.stack(centres), 60.0, geometry, noise)


def make_states(problem, seed=3):
    """States off the beginning in every respect."""
    generator = torch.Generator().manual_seed(seed)
    entries, bodies, views = len(problem.noise), len(problem.pivots), len(problem.xrays)

    def motions(count, mm, radians):
        scale = torch.tensor([mm] * 3 + [radians] * 3, dtype=DOUBLE)
        twists = scale * torch.randn(entries * count, 6, generator=generator, dtype=DOUBLE)
        turns = se3_exp_map(twists).unflatten(0, (entries, count))
        turns[..., :3, 3] = twists[:, :3].unflatten(0, (entries, count))
        pivots = problem.pivots[: 1 if count == views else count]
        turns[..., :3, 3] += pivots - (turns[..., :3, :3] @ pivots[..., None])[..., 0]
        return turns

    offsets = motions(views, 3.0, 0.05)
    offsets[:, 0] = torch.eye(4, dtype=DOUBLE)
    intrinsics = torch.tensor([4.0, 2.0, 2.0, 0.02], dtype=DOUBLE)
    intrinsics = intrinsics * torch.randn(entries, views, 4, generator=generator, dtype=DOUBLE)
    return States(torch.arange(entries), motions(bodies, 4.0, 0.1), offsets, intrinsics)


TRUTH = convert(torch.zeros(1, 3), torch.tensor([[0.0, 850.0, 0.0]]), parameterization="axis_angle")
START = convert(torch.tensor([[0.06, -0.04, 0.05]]), torch.tensor([[8.0, 860.0, -7.0]]), parameterization="axis_angle")
TWO_STAGES = (
    Stage(10, LocalCorrelation(5), iterations=6, tolerance=0.5, keep=2),
    Stage(20, LocalCorrelation(9), iterations=8, tolerance=0.01, robust=True, calibrate=True),
)
