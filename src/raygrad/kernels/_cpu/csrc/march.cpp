// The marches of one instruction set. CMake compiles this file once for each, with RAYGRAD_ISA as its name.
#include "adjoint.hpp"
#include "forward.hpp"
#include "occupancy.hpp"
#include "voxel_driven.hpp"

namespace raygrad {
namespace RAYGRAD_ISA {
extern const Kernels<float> float32 = {march<float>, march_adjoint<float>, occupied_bricks<float>,
                                         add_voxel_driven<float>};
extern const Kernels<double> float64 = {march<double>, march_adjoint<double>, occupied_bricks<double>,
                                         add_voxel_driven<double>};
}  // namespace RAYGRAD_ISA

}  // namespace raygrad
