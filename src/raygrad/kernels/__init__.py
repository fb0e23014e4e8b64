"""Ray marching on raw tensors: line integrals, their derivatives and their adjoint."""

from raygrad.kernels.backends import available_backends as available_backends
from raygrad.kernels.backends import choose_backend as choose_backend
from raygrad.kernels.cameras import project_cameras as project_cameras
from raygrad.kernels.cameras import project_cameras_with_jacobian as project_cameras_with_jacobian
from raygrad.kernels.occupancy import Occupancy as Occupancy
from raygrad.kernels.occupancy import prepare as prepare
from raygrad.kernels.project import backproject as backproject
from raygrad.kernels.project import project as project
from raygrad.kernels.project import project_with_jacobian as project_with_jacobian
from raygrad.kernels.voxel_driven import add_voxel_driven_ as add_voxel_driven_
