// Rays as lines over their main axis: what the marches by slabs (Siddon, Joseph) share.
#pragma once
#include "memory.hpp"
#include "occupancy.hpp"
#include "rays.hpp"

namespace raygrad {
namespace {

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
  int8_t first_face[N], last_face[N];  // axis of the face crossed at `first` and `last`, or OWN_END
  int64_t origin;
  Indices<T> u_base, v_base;
  Indices<T> base_offset;  // of the voxels u_base, v_base, in elements from their slab's first voxel
  Values<T> u0, su, v0, sv, first, last;
  int64_t slab0, slab1;    // slabs [slab0, slab1) along m that some lane meets
  int64_t inner0, inner1;  // slabs that all lanes fill, with interpolation between voxels inside the box

  // `reach`: how far beyond the box's faces across u and v a voxel is still felt (0, or 1/2 for interpolation).
  // Then `first`, `last` end at the ray's own ends and the faces across m alone, and only slab0 and slab1 narrow.
  void set(const Problem<T>& p, const Rays<T>& rays, int axis, const Box& box, double reach) {
    m = axis, u = (axis + 1) % 3, v = (axis + 2) % 3;
    hit = false;
    double lowest = 1e300, highest = -1e300, inner_lowest = -1e300, inner_highest = 1e300;
    double base_u[N], slope_u[N], base_v[N], slope_v[N], from[N], to[N];
    int sample = -1;
    for (int l = 0; l < N; l++) {
      lane[l] = false;
      first_face[l] = last_face[l] = OWN_END;
      if (rays.axis[l] != m) continue;
      const double start = rays.start[m][l], step = rays.step[m][l];
      slope_u[l] = rays.step[u][l] / step, slope_v[l] = rays.step[v][l] / step;
      base_u[l] = rays.start[u][l] - start * slope_u[l], base_v[l] = rays.start[v][l] - start * slope_v[l];
      from[l] = least(start, start + step), to[l] = most(start, start + step);
      if (from[l] < box.low[m]) from[l] = box.low[m], first_face[l] = int8_t(m);
      if (to[l] > box.high[m]) to[l] = box.high[m], last_face[l] = int8_t(m);
      // A slab's sample lies in its middle, which may be beyond the ray's own end: look at whole slabs.
      double near = reach == 0 ? from[l] : std::floor(from[l]), far = reach == 0 ? to[l] : std::ceil(to[l]);
      bool entered, left;
      narrow(base_u[l], slope_u[l], box.low[u] - reach, box.high[u] + reach, near, far, entered, left);
      if (entered && reach == 0) first_face[l] = int8_t(u);
      if (left && reach == 0) last_face[l] = int8_t(u);
      narrow(base_v[l], slope_v[l], box.low[v] - reach, box.high[v] + reach, near, far, entered, left);
      if (entered && reach == 0) first_face[l] = int8_t(v);
      if (left && reach == 0) last_face[l] = int8_t(v);
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

// Calls visit(line) with the packet's rays of each main axis that meet the box.
template <class T, class Visit>
RAYGRAD_INLINE void each_line(const Problem<T>& p, const Rays<T>& rays, const Box& box, double reach, Visit visit) {
  for (int axis = 0; axis < 3; axis++) {
    Line<T> line;
    line.set(p, rays, axis, box, reach);
    if (line.hit) visit(line);
  }
}

// One end of a ray's way: x, and the slab that it lies in.
template <class T>
struct LineEnd {
  T x;
  int64_t k;

  LineEnd(const Problem<T>& p, const Line<T>& line, int l, bool last) : x(last ? line.last[l] : line.first[l]) {
    k = int64_t(std::floor(x));
    if (last && T(k) == x) k--;
    k = clamp_to(k + line.origin, 0, p.shape[line.m] - 1);
  }
};

// What the bricks hold that the packet's rays can meet while x is in [from, to].
template <class T>
unsigned occupied_along(const Problem<T>& p, const uint8_t* bricks, const Line<T>& line, int64_t from, int64_t to,
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
  return occupied_between(p, bricks, low, high);
}

// Calls visit(start, stop, occupied) with slabs [start, stop) of a line in which its rays can meet an occupied brick,
// and what bricks hold there. `margin`: how far beside a ray a voxel is still felt.
template <class T, class Visit>
RAYGRAD_INLINE void each_stretch(const Problem<T>& p, const uint8_t* bricks, const Line<T>& line, T margin,
                                 Visit visit) {
  for (int64_t start = line.slab0; start < line.slab1;) {
    int64_t stop = line.slab1;
    unsigned occupied = p.brick_bits;
    if (bricks) {
      stop = least((start / BRICK + 1) * BRICK, line.slab1);
      occupied = occupied_along(p, bricks, line, start, stop, margin);
      if (!occupied) {
        start = stop;
        continue;
      }
    }
    visit(start, stop, occupied);
    start = stop;
  }
}

}  // namespace
}  // namespace raygrad
