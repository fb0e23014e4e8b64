// The marches of one instruction set. CMake compiles this file once for each, with RAYGRAD_ISA as its name.
#include "adjoint.hpp"
#include "forward.hpp"
#include "occupancy.hpp"

namespace raygrad {
namespace RAYGRAD_ISA {
extern const Kernels<float> float32 = {march<float>, march_adjoint<float>, occupied_bricks<float>};
extern const Kernels<double> float64 = {march<double>, march_adjoint<double>, occupied_bricks<double>};
}  // namespace RAYGRAD_ISA

}  // namespace raygrad
