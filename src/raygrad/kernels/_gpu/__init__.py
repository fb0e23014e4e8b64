"""The marches on a GPU, in Triton: the operators of `_ops/`, for NVIDIA, AMD and Intel."""

from raygrad.kernels._gpu.meshes import march_mesh as march_mesh
from raygrad.kernels._gpu.meshes import march_mesh_adjoint as march_mesh_adjoint
from raygrad.kernels._gpu.meshes import march_mesh_with_jacobian as march_mesh_with_jacobian
from raygrad.kernels._gpu.meshes import mesh_hits as mesh_hits
from raygrad.kernels._gpu.operators import contract_cameras as contract_cameras
from raygrad.kernels._gpu.operators import march as march
from raygrad.kernels._gpu.operators import march_adjoint as march_adjoint
from raygrad.kernels._gpu.operators import march_adjoint_into as march_adjoint_into
from raygrad.kernels._gpu.operators import march_cameras as march_cameras
from raygrad.kernels._gpu.operators import march_cameras_adjoint as march_cameras_adjoint
from raygrad.kernels._gpu.operators import march_cameras_adjoint_into as march_cameras_adjoint_into
from raygrad.kernels._gpu.operators import march_cameras_with_jacobian as march_cameras_with_jacobian
from raygrad.kernels._gpu.operators import march_with_jacobian as march_with_jacobian
from raygrad.kernels._gpu.voxel_driven import add_voxel_driven_ as add_voxel_driven_
