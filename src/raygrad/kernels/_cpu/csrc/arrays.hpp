// What both halves of the Python module share: arrays that Python lends, and the instruction set that was chosen.
#pragma once
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <new>
#include <stdexcept>

#include "mesh_problem.hpp"
#include "problem.hpp"

namespace raygrad {

struct InstructionSet {
  const char* name;
  bool (*supported)();
  const Kernels<float>* float32;
  const Kernels<double>* float64;
  const MeshKernels<float>* mesh_float32;
  const MeshKernels<double>* mesh_float64;
};

// The widest instruction set that this machine has, or the one that RAYGRAD_INSTRUCTION_SET names (for tests).
const InstructionSet& instruction_set();

// The part of the module about meshes.
void define_meshes(nanobind::module_& m);

namespace {

namespace nb = nanobind;

using Array = nb::ndarray<nb::device::cpu>;
using ConstArray = nb::ndarray<nb::ro, nb::device::cpu>;

void require(bool condition, const char* message) {
  if (!condition) throw std::invalid_argument(message);
}

template <class A>
bool holds(const A& array, size_t dimensions, nb::dlpack::dtype dtype) {
  return array.ndim() == dimensions && array.dtype() == dtype;
}

template <class A>
bool is_contiguous(const A& array) {
  int64_t size = 1;
  for (size_t i = array.ndim(); i-- > 0; size *= int64_t(array.shape(i)))
    if (array.shape(i) != 1 && array.stride(i) != size) return array.size() == 0;
  return true;
}

void raise(Status status) {
  if (status == LABEL_OUTSIDE_CHANNELS)
    throw std::invalid_argument("Expected labels from 0 to n_channels - 1. Got others on the rays' way.");
  if (status == OUT_OF_MEMORY) throw std::bad_alloc();
}

// Calls f(T{}) with the image's dtype.
template <class A, class F>
void with_dtype(const A& image, F f) {
  if (image.dtype() == nb::dtype<float>()) f(float{});
  else if (image.dtype() == nb::dtype<double>()) f(double{});
  else throw std::invalid_argument("expected float32 or float64");
}

}  // namespace
}  // namespace raygrad
