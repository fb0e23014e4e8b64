// Boxes of voxels, in whatever order and with whatever gaps a volume lies in memory; and memory of our own.
#pragma once
#include <cstdlib>
#include <cstring>
#include <new>

#include "problem.hpp"
#include "simd.hpp"

namespace raygrad {
namespace {

// Memory for plain data, without the standard containers (their code must not be shared between instruction sets).
template <class X>
struct Buffer {
  X* data;
  explicit Buffer(int64_t n) : data(static_cast<X*>(std::malloc(size_t(n > 0 ? n : 1) * sizeof(X)))) {}
  ~Buffer() { std::free(data); }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
};

// The voxels [low, high) that a march may touch: the whole volume, or what one thread owns of it.
struct Box {
  int64_t low[3], high[3];
};

template <class T>
Box whole(const Problem<T>& p) {
  return {{0, 0, 0}, {p.shape[0], p.shape[1], p.shape[2]}};
}

// The axes from the one whose neighbours are farthest apart in memory to the one whose are nearest.
RAYGRAD_INLINE void by_distance_in_memory(const int64_t stride[3], int order[3]) {
  for (int a = 0; a < 3; a++) order[a] = a;
  for (int i = 0; i < 2; i++)
    for (int j = 0; j < 2 - i; j++)
      if (stride[order[j]] < stride[order[j + 1]]) {
        const int axis = order[j];
        order[j] = order[j + 1], order[j + 1] = axis;
      }
}

// The volume cut into boxes across the axis whose neighbours are farthest apart in memory: each is one stretch of
// memory, which one thread can own.
struct Cut {
  int axis;
  int64_t thickness, boxes;
};

template <class T>
Cut cut_volume(const Problem<T>& p) {
  int axis = 0;
  for (int a = 1; a < 3; a++)
    if (p.stride[a] * (p.shape[a] > 1) > p.stride[axis] * (p.shape[axis] > 1)) axis = a;
  const int64_t thickness = most(1, least(16, (p.shape[axis] + 7) / 8));
  return {axis, thickness, (p.shape[axis] + thickness - 1) / thickness};
}

template <class T>
Box box_of(const Problem<T>& p, const Cut& cut, int64_t number) {
  Box box = whole(p);
  box.low[cut.axis] = number * cut.thickness;
  box.high[cut.axis] = least(p.shape[cut.axis], box.low[cut.axis] + cut.thickness);
  return box;
}

// Writes zeros to the voxels of a box, and to nothing that lies between them in memory.
template <class T>
void clear(const Problem<T>& p, const Box& box, T* volume) {
  int order[3];
  by_distance_in_memory(p.stride, order);
  int64_t count[3], stride[3];
  for (int i = 0; i < 3; i++) {
    count[i] = box.high[order[i]] - box.low[order[i]], stride[i] = p.stride[order[i]];
    volume += box.low[order[i]] * stride[i];
  }
  const bool in_rows = stride[2] == 1;
  if (in_rows && stride[1] == count[2]) count[2] *= count[1], count[1] = 1;  // rows without gaps are one row
  if (in_rows && count[1] == 1 && stride[0] == count[2]) count[2] *= count[0], count[0] = 1;
  for (int64_t i = 0; i < count[0]; i++)
    for (int64_t j = 0; j < count[1]; j++) {
      T* row = volume + i * stride[0] + j * stride[1];
      if (in_rows) std::memset(row, 0, size_t(count[2]) * sizeof(T));
      else
        for (int64_t k = 0; k < count[2]; k++) row[k * stride[2]] = 0;
    }
}

}  // namespace
}  // namespace raygrad
