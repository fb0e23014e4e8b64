"""Small volumes and where they lie, for the tests of registration's parts."""

import math

import numpy as np
import torch

from raygrad.detector import Detector
from raygrad.drr import DRR
from raygrad.phantoms import Gaussian, Phantom
from raygrad.pose import RigidTransform, se3_exp_map
from raygrad.registration.pyramid import Camera, make_body

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
    return make_body(phantom.voxelize(shape, voxel_to_world, 2, DOUBLE), torch.linalg.inv(voxel_to_world))


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


def make_camera(**options):
    return Camera(make_detector(**options), "joseph", "auto")
