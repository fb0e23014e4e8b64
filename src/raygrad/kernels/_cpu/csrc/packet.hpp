// Packets of neighbouring rays, one per lane, and their lines along a main axis.
#pragma once
#include <cmath>

#include "problem.hpp"
#include "simd.hpp"

namespace raygrad {
namespace {

RAYGRAD_INLINE int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
RAYGRAD_INLINE int64_t most(int64_t a, int64_t b) { return a > b ? a : b; }
RAYGRAD_INLINE int64_t clamp_to(int64_t x, int64_t low, int64_t high) { return most(low, least(x, high)); }
RAYGRAD_INLINE double least(double a, double b) { return a < b ? a : b; }
RAYGRAD_INLINE double most(double a, double b) { return a > b ? a : b; }

// The voxels [low, high) that a march may touch: the whole volume, or what one thread owns of it.
struct Box {
  int64_t low[3], high[3];
};

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

// How an image's pixels are cut into packets of rows x columns = lanes, and the order the packets are taken in.
struct Tiling {
  int64_t height, width, rows, columns;
  bool down;  // column by column, not row by row
  int64_t across() const { return (width + columns - 1) / columns; }
  int64_t along() const { return (height + rows - 1) / rows; }
  int64_t count() const { return along() * across(); }
};

// The rays of one packet in double precision: start, direction to the target, length in mm, main axis.
template <class T>
struct Packet {
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

// Narrow [first, last] to where base + slope x lies in [low, high]: to nothing where that is empty, or where slope is 0 and
// base outside [low, high).
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

// What ended a ray's way through the volume: its own end, or a face of the volume across one axis.
enum End : int8_t { OWN_END = -1 };

// A packet's rays whose main axis is m, as lines over x, the coordinate along m: u(x) = u0 + su x, v(x) = v0 + sv x
// with u, v = m + 1, m + 2 (mod 3). Lanes that are not among them, or miss, have first = last and harmless slopes.
//
// x is measured from slab `origin` in the middle of the packet's way, u and v from voxels `u_base`, `v_base` that each
// ray is in there: single precision then goes where a ray leaves that middle, not into its distance from voxel 0.
template <class T>
struct Line {
  static constexpr int N = LANES<T>;
  int m, u, v;
  bool hit;  // some lane meets the box
  bool lane[N];
  int8_t first_end[N], last_end[N];  // axis of the face crossed at `first` and `last`, or OWN_END
  int64_t origin;
  Indices<T> u_base, v_base;
  Indices<T> base_offset;  // of the voxels u_base, v_base, in elements from their slab's first voxel
  Values<T> u0, su, v0, sv, first, last;
  int64_t slab0, slab1;    // slabs [slab0, slab1) along m that some lane meets
  int64_t inner0, inner1;  // slabs that all lanes fill, with interpolation between voxels inside the box

  // `reach`: how far beyond the box's faces across u and v a voxel is still felt (0, or 1/2 for interpolation).
  // Then `first`, `last` end at the ray's own ends and the faces across m alone, and only slab0 and slab1 narrow.
  void set(const Problem<T>& p, const Packet<T>& packet, int axis, const Box& box, double reach) {
    m = axis, u = (axis + 1) % 3, v = (axis + 2) % 3;
    hit = false;
    double lowest = 1e300, highest = -1e300, inner_lowest = -1e300, inner_highest = 1e300;
    double base_u[N], slope_u[N], base_v[N], slope_v[N], from[N], to[N];
    int sample = -1;
    for (int l = 0; l < N; l++) {
      lane[l] = false;
      first_end[l] = last_end[l] = OWN_END;
      if (packet.axis[l] != m) continue;
      const double start = packet.start[m][l], step = packet.step[m][l];
      slope_u[l] = packet.step[u][l] / step, slope_v[l] = packet.step[v][l] / step;
      base_u[l] = packet.start[u][l] - start * slope_u[l], base_v[l] = packet.start[v][l] - start * slope_v[l];
      from[l] = least(start, start + step), to[l] = most(start, start + step);
      if (from[l] < box.low[m]) from[l] = box.low[m], first_end[l] = int8_t(m);
      if (to[l] > box.high[m]) to[l] = box.high[m], last_end[l] = int8_t(m);
      // A slab's sample lies in its middle, which may be beyond the ray's own end: look at whole slabs.
      double near = reach == 0 ? from[l] : std::floor(from[l]), far = reach == 0 ? to[l] : std::ceil(to[l]);
      bool entered, left;
      narrow(base_u[l], slope_u[l], box.low[u] - reach, box.high[u] + reach, near, far, entered, left);
      if (entered && reach == 0) first_end[l] = int8_t(u);
      if (left && reach == 0) last_end[l] = int8_t(u);
      narrow(base_v[l], slope_v[l], box.low[v] - reach, box.high[v] + reach, near, far, entered, left);
      if (entered && reach == 0) first_end[l] = int8_t(v);
      if (left && reach == 0) last_end[l] = int8_t(v);
      if (!(far > near)) continue;
      if (reach == 0) from[l] = near, to[l] = far;
      lane[l] = hit = true;
      sample = l;
      lowest = least(lowest, near), highest = most(highest, far);
      if (reach == 0) continue;
      double inner_from = from[l] + 0.5, inner_to = to[l] - 0.5;  // where the middles of such slabs lie
      narrow(base_u[l], slope_u[l], box.low[u] + 0.5 + MARGIN, box.high[u] - 0.5 - MARGIN, inner_from, inner_to,
             entered, left);
      narrow(base_v[l], slope_v[l], box.low[v] + 0.5 + MARGIN, box.high[v] - 0.5 - MARGIN, inner_from, inner_to,
             entered, left);
      inner_lowest = most(inner_lowest, inner_from), inner_highest = least(inner_highest, inner_to);
    }
    if (!hit) return;
    slab0 = most(int64_t(std::floor(lowest)), box.low[m]);
    slab1 = least(int64_t(std::ceil(highest)), box.high[m]);
    inner0 = int64_t(std::ceil(most(inner_lowest, double(slab0)) - 0.5));
    inner1 = int64_t(std::floor(least(inner_highest, double(slab1)) - 0.5)) + 1;
    origin = (slab0 + slab1) / 2;
    for (int l = 0; l < N; l++) {  // idle lanes follow a busy one, so that they neither widen the packet nor stray
      const int source = lane[l] ? l : sample;
      su[l] = T(slope_u[source]), sv[l] = T(slope_v[source]);
      const double at_u = base_u[source] + slope_u[source] * double(origin);
      const double at_v = base_v[source] + slope_v[source] * double(origin);
      const double whole_u = std::floor(at_u), whole_v = std::floor(at_v);
      u_base[l] = Integer<T>(whole_u), v_base[l] = Integer<T>(whole_v);
      u0[l] = T(at_u - whole_u), v0[l] = T(at_v - whole_v);
      first[l] = T(from[source] - double(origin));
      last[l] = lane[l] ? T(to[source] - double(origin)) : first[l];
    }
    base_offset = u_base * splat_index<T>(p.stride[u]) + v_base * splat_index<T>(p.stride[v]);
  }

  Values<T> x_of_slab(int64_t k) const { return splat<T>(T(k - origin)); }

  // Coordinates of one ray at x, in voxels of the volume.
  T u_at(int l, T x) const { return T(u_base[l]) + (u0[l] + su[l] * x); }
  T v_at(int l, T x) const { return T(v_base[l]) + (v0[l] + sv[l] * x); }

 private:
  static constexpr double MARGIN = 1e-3;  // voxels; far above the rounding of coordinates in float32
};

// Whether a brick that meets the box between two corners (any order, in voxels) is occupied.
template <class T>
bool any_occupied(const Problem<T>& p, const uint8_t* bricks, const int64_t low[3], const int64_t high[3]) {
  int64_t a[3], b[3];
  for (int i = 0; i < 3; i++) {
    a[i] = most(low[i], 0) / BRICK;
    b[i] = least(most(high[i], 0) / BRICK, p.brick_count[i] - 1);
  }
  for (int64_t i = a[0]; i <= b[0]; i++)
    for (int64_t j = a[1]; j <= b[1]; j++)
      for (int64_t k = a[2]; k <= b[2]; k++)
        if (bricks[(i * p.brick_count[1] + j) * p.brick_count[2] + k]) return true;
  return false;
}

// Whether the packet's rays can meet an occupied brick while x is in [from, to].
template <class T>
bool line_meets_occupied(const Problem<T>& p, const uint8_t* bricks, const Line<T>& line, int64_t from, int64_t to,
                         T margin) {
  const Values<T> x0 = line.x_of_slab(from), x1 = line.x_of_slab(to);
  const Values<T> u0 = line.u0 + to_values<T>(line.u_base), v0 = line.v0 + to_values<T>(line.v_base);
  const Values<T> ua = u0 + line.su * x0, ub = u0 + line.su * x1, va = v0 + line.sv * x0, vb = v0 + line.sv * x1;
  const Values<T> u_low = smaller(ua, ub), u_high = larger(ua, ub), v_low = smaller(va, vb), v_high = larger(va, vb);
  T ul = u_low[0], uh = u_high[0], vl = v_low[0], vh = v_high[0];
  for (int l = 1; l < LANES<T>; l++) {
    ul = ul < u_low[l] ? ul : u_low[l], uh = uh > u_high[l] ? uh : u_high[l];
    vl = vl < v_low[l] ? vl : v_low[l], vh = vh > v_high[l] ? vh : v_high[l];
  }
  int64_t low[3], high[3];
  low[line.m] = from, high[line.m] = to - 1;
  low[line.u] = int64_t(std::floor(ul - margin)), high[line.u] = int64_t(std::floor(uh + margin));
  low[line.v] = int64_t(std::floor(vl - margin)), high[line.v] = int64_t(std::floor(vh + margin));
  return any_occupied(p, bricks, low, high);
}

}  // namespace
}  // namespace raygrad
