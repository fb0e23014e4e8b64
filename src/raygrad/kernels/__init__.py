"""Ray marching on raw tensors: line integrals, their derivatives and their adjoint."""

from raygrad.kernels._backends import BACKENDS as BACKENDS
from raygrad.kernels._backends import Backend as Backend
from raygrad.kernels._backends import available_backends as available_backends
from raygrad.kernels._backends import choose_backend as choose_backend
from raygrad.kernels._cameras import backproject_cameras as backproject_cameras
from raygrad.kernels._cameras import project_cameras as project_cameras
from raygrad.kernels._cameras import project_cameras_with_jacobian as project_cameras_with_jacobian
from raygrad.kernels._checks import REDUCTIONS as REDUCTIONS
from raygrad.kernels._meshes import MeshHits as MeshHits
from raygrad.kernels._meshes import mesh_hits as mesh_hits
from raygrad.kernels._meshes import project_mesh as project_mesh
from raygrad.kernels._meshes import project_mesh_with_jacobian as project_mesh_with_jacobian
from raygrad.kernels._occupancy import Occupancy as Occupancy
from raygrad.kernels._occupancy import prepare as prepare
from raygrad.kernels._project import backproject as backproject
from raygrad.kernels._project import project as project
from raygrad.kernels._project import project_with_jacobian as project_with_jacobian
from raygrad.kernels._reference import RENDERERS as RENDERERS
from raygrad.kernels._voxel_driven import add_voxel_driven_ as add_voxel_driven_

__all__ = [
    "project",
    "project_with_jacobian",
    "backproject",
    "project_cameras",
    "project_cameras_with_jacobian",
    "backproject_cameras",
    "add_voxel_driven_",
    "project_mesh",
    "project_mesh_with_jacobian",
    "mesh_hits",
    "MeshHits",
    "prepare",
    "Occupancy",
    "RENDERERS",
    "REDUCTIONS",
    "available_backends",
    "choose_backend",
    "BACKENDS",
    "Backend",
]

# Lent to other rooms; not for users.
from raygrad.kernels._backends import GPU_DEVICES as GPU_DEVICES
from raygrad.kernels._backends import find_triton as find_triton
from raygrad.kernels._backends import sums_in as sums_in
from raygrad.kernels._checks import can_read as can_read
