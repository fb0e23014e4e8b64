// Where a packet's rays run: neighbouring rays of an image, one per lane.
#pragma once
#include <cmath>

#include "problem.hpp"
#include "simd.hpp"

namespace raygrad {
namespace {

// How an image's pixels are cut into packets of rows x columns = lanes, and the order the packets are taken in.
struct Tiling {
  int64_t height, width, rows, columns;
  bool down;  // column by column, not row by row
  int64_t across() const { return (width + columns - 1) / columns; }
  int64_t along() const { return (height + rows - 1) / rows; }
  int64_t count() const { return along() * across(); }
};

// The rays of one packet in double precision: start, step to the target, length in mm, main axis.
template <class T>
struct Rays {
  static constexpr int N = LANES<T>;
  int64_t ray[N];  // -1 in lanes beyond the image
  int axis[N];
  double start[3][N], step[3][N], world_step[3][N], length[N];

  void load(const Problem<T>& p, int64_t batch, const Tiling& tiling, int64_t tile) {
    const int64_t row0 = (tiling.down ? tile % tiling.along() : tile / tiling.across()) * tiling.rows;
    const int64_t column0 = (tiling.down ? tile / tiling.along() : tile % tiling.across()) * tiling.columns;
    for (int l = 0; l < N; l++) {
      const int64_t row = row0 + l / tiling.columns, column = column0 + l % tiling.columns;
      const bool inside = row < tiling.height && column < tiling.width;
      load_lane(p, batch, l, inside ? row * tiling.width + column : -1);
    }
  }

  void load_lane(const Problem<T>& p, int64_t batch, int l, int64_t index) {
    ray[l] = index;
    axis[l] = -1;
    if (index < 0) return;
    const T* s = p.source + batch * p.source_stride[0] + index * p.source_stride[1];
    const T* t = p.target + batch * p.target_stride[0] + index * p.target_stride[1];
    double from[3], square = 0;
    for (int a = 0; a < 3; a++) {
      from[a] = s[a * p.source_stride[2]];
      world_step[a][l] = double(t[a * p.target_stride[2]]) - from[a];
      square += world_step[a][l] * world_step[a][l];
    }
    length[l] = std::sqrt(square);
    double longest = 0;
    for (int a = 0; a < 3; a++) {
      const double* row = p.world_to_voxel[a];
      start[a][l] = row[0] * from[0] + row[1] * from[1] + row[2] * from[2] + row[3] + 0.5;
      step[a][l] = row[0] * world_step[0][l] + row[1] * world_step[1][l] + row[2] * world_step[2][l];
      if (std::fabs(step[a][l]) > longest) {  // a ray of no length keeps axis -1 and meets nothing
        longest = std::fabs(step[a][l]);
        axis[l] = a;
      }
    }
  }
};

// What ended a ray's way through the volume: its own end, or a face of the volume across one axis.
enum Face : int8_t { OWN_END = -1 };

// Narrow [first, last] to where base + slope x lies in [low, high]: to nothing where that is empty, or where slope is 0
// and base outside [low, high).
// Returns true in `entered` / `left` if this axis is what bounds the interval.
RAYGRAD_INLINE void narrow(double base, double slope, double low, double high, double& first, double& last,
                           bool& entered, bool& left) {
  entered = left = false;
  if (slope == 0 || !(low < high)) {
    if (!(base >= low && base < high)) last = first - 1;
    return;
  }
  const double a = (low - base) / slope, b = (high - base) / slope;
  const double enter = least(a, b), leave = most(a, b);
  if (enter > first) first = enter, entered = true;
  if (leave < last) last = leave, left = true;
}

}  // namespace
}  // namespace raygrad
