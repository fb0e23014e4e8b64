// Which bricks of a volume hold anything: found once, and looked up by the marches.
#pragma once
#include "memory.hpp"

namespace raygrad {
namespace {

template <class T>
bool occupied_bricks(const T* volume, const int64_t shape[3], const int64_t stride[3], uint8_t* bricks,
                     [[maybe_unused]] int threads) {
  int order[3];
  by_distance_in_memory(stride, order);
  const int a = order[0], b = order[1], c = order[2];
  int64_t count[3], brick_stride[3];
  for (int i = 0; i < 3; i++) count[i] = (shape[i] + BRICK - 1) / BRICK;
  brick_stride[0] = count[1] * count[2], brick_stride[1] = count[2], brick_stride[2] = 1;
  int unusable = 0;
#pragma omp parallel for schedule(dynamic, 1) num_threads(threads) reduction(max : unusable)
  for (int64_t slab = 0; slab < count[a]; slab++) {
    uint8_t* own = bricks + slab * brick_stride[a];
    for (int64_t j = 0; j < count[b]; j++)
      for (int64_t k = 0; k < count[c]; k++) own[j * brick_stride[b] + k * brick_stride[c]] = 0;
    for (int64_t i = slab * BRICK; i < least((slab + 1) * BRICK, shape[a]); i++)
      for (int64_t j = 0; j < shape[b]; j++) {
        const T* row = volume + i * stride[a] + j * stride[b];
        uint8_t* mark = own + j / BRICK * brick_stride[b];
        for (int64_t brick = 0; brick < count[c]; brick++) {
          const int64_t begin = brick * BRICK, end = least(begin + BRICK, shape[c]);
          T magnitude = 0, times_zero = 0;  // a finite value times zero is zero, NaN and infinity times zero are NaN
          if (stride[c] == 1)
            for (int64_t k = begin; k < end; k++)
              magnitude += row[k] < 0 ? -row[k] : row[k], times_zero += row[k] * T(0);
          else
            for (int64_t k = begin; k < end; k++) {
              const T f = row[k * stride[c]];
              magnitude += f < 0 ? -f : f, times_zero += f * T(0);
            }
          if (!(times_zero == 0)) unusable = 1;
          if (!(magnitude == 0)) mark[brick * brick_stride[c]] = 1;
        }
      }
  }
  return unusable == 0;
}

// What the bricks that meet the box between two corners (any order, in voxels) hold: bits of volumes, 0 for nothing.
template <class T>
unsigned occupied_between(const Problem<T>& p, const uint8_t* bricks, const int64_t low[3], const int64_t high[3]) {
  int64_t a[3], b[3];
  for (int i = 0; i < 3; i++) {
    a[i] = most(low[i], 0) / BRICK;
    b[i] = least(most(high[i], 0) / BRICK, p.brick_count[i] - 1);
  }
  unsigned found = 0;
  for (int64_t i = a[0]; i <= b[0]; i++)
    for (int64_t j = a[1]; j <= b[1]; j++)
      for (int64_t k = a[2]; k <= b[2]; k++) {
        found |= bricks[(i * p.brick_count[1] + j) * p.brick_count[2] + k];
        if (found == p.brick_bits) return found;
      }
  return found;
}

}  // namespace
}  // namespace raygrad
