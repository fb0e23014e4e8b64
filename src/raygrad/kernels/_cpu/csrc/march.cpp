// The kernels of one instruction set. CMake compiles this file once for each, with RAYGRAD_ISA as its name.
#include "adjoint.hpp"
#include "forward.hpp"
#include "joseph.hpp"
#include "joseph_columns.hpp"
#include "occupancy.hpp"
#include "palette.hpp"
#include "siddon.hpp"
#include "together.hpp"
#include "trilinear.hpp"
#include "voxel_driven.hpp"

namespace raygrad {
namespace {

// All renderers. A new one is a file like siddon.hpp, and a line here.
template <class T>
constexpr Renderer<T> RENDERERS[] = {
    {"siddon", march_any<Siddon, T>, march_adjoint<Siddon, T>},
    {"joseph", march_joseph<T>, march_joseph_adjoint<T>},
    {"trilinear", march_any<Trilinear, T>, march_adjoint<Trilinear, T>},
};

template <class T>
constexpr Kernels<T> kernels() {
  return {RENDERERS<T>, sizeof(RENDERERS<T>) / sizeof(Renderer<T>), occupied_bricks<T>, find_palette<T>,
          add_voxel_driven<T>};
}

}  // namespace

namespace RAYGRAD_ISA {
extern const Kernels<float> float32 = kernels<float>();
extern const Kernels<double> float64 = kernels<double>();
}  // namespace RAYGRAD_ISA

}  // namespace raygrad
