// The marches through meshes of one instruction set. CMake compiles this file once for each, like march.cpp, but
// without contraction of products and sums (see mesh_crossing.hpp).
#include "mesh_hits.hpp"
#include "mesh_march.hpp"

namespace raygrad {
namespace RAYGRAD_ISA {

extern const MeshKernels<float> mesh_float32 = {march_mesh<float>, march_mesh_adjoint<float>, find_mesh_hits<float>};
extern const MeshKernels<double> mesh_float64 = {march_mesh<double>, march_mesh_adjoint<double>,
                                                 find_mesh_hits<double>};

}  // namespace RAYGRAD_ISA
}  // namespace raygrad
