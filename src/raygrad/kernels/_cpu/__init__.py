"""The marches on the CPU, in C++: the operators of `raygrad.kernels._ops`, with the vectors of the machine at hand."""

from raygrad.kernels._cpu.meshes import march_mesh as march_mesh
from raygrad.kernels._cpu.meshes import march_mesh_adjoint as march_mesh_adjoint
from raygrad.kernels._cpu.meshes import march_mesh_with_jacobian as march_mesh_with_jacobian
from raygrad.kernels._cpu.meshes import mesh_hits as mesh_hits
from raygrad.kernels._cpu.operators import add_voxel_driven_ as add_voxel_driven_
from raygrad.kernels._cpu.operators import find_palette as find_palette
from raygrad.kernels._cpu.operators import march as march
from raygrad.kernels._cpu.operators import march_adjoint as march_adjoint
from raygrad.kernels._cpu.operators import march_adjoint_into as march_adjoint_into
from raygrad.kernels._cpu.operators import march_with_jacobian as march_with_jacobian
from raygrad.kernels._cpu.operators import occupied_bricks as occupied_bricks
