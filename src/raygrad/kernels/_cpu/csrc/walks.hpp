// How a packet's rays walk through the volume: which voxels they read, and where.
//
// A walk calls visit(...) for each step of the march; what to do with it (sum, differentiate, scatter, ...) is the
// visitor's affair. All three walks have a closed form in the step number: rounding does not build up along a ray.
#pragma once
#include <type_traits>

#include "packet.hpp"

namespace raygrad {
namespace {

// Siddon: within slab k of the main axis a ray crosses at most one plane across u and one across v, so at most
// three voxels: before the first crossing, between the two, after the second.
template <class T>
struct Slab {
  int64_t k;
  const T* base;                                 // the slab's first voxel
  Values<T> x0, first, second, x1;               // x where the three voxels' parts begin and end
  Indices<T> before, between, after;             // the three voxels, as offsets from base
  Indices<T> u_before, v_before, u_after, v_after;  // and their indices across u and v, from the line's bases
  Values<T> x_u, x_v;                            // x of the crossings; x1 where there is none
  Indices<T> u_first;                            // whether the crossing of u comes first
};

template <class T, class Visit>
RAYGRAD_INLINE void walk_siddon(const Problem<T>& p, const T* volume, const uint8_t* bricks, const Line<T>& line,
                                const Box& box, Visit visit) {
  const int u = line.u, v = line.v;
  const Indices<T> stride_u = splat_index<T>(p.stride[u]), stride_v = splat_index<T>(p.stride[v]);
  const Indices<T> u_low = splat_index<T>(box.low[u]) - line.u_base, u_high = splat_index<T>(box.high[u] - 1) - line.u_base;
  const Indices<T> v_low = splat_index<T>(box.low[v]) - line.v_base, v_high = splat_index<T>(box.high[v] - 1) - line.v_base;
  const Values<T> zero{}, one = splat<T>(1);
  const Values<T> inverse_u = line.su == zero ? zero : one / line.su, inverse_v = line.sv == zero ? zero : one / line.sv;
  Slab<T> s;
  Indices<T> offset_u, offset_v;  // of the voxels after, across u and v
  auto column_at = [&](Values<T> x) __attribute__((always_inline)) {  // of the voxels that the rays are in at x
    s.u_after = clamp(floor_index<T>(line.u0 + line.su * x), u_low, u_high);
    s.v_after = clamp(floor_index<T>(line.v0 + line.sv * x), v_low, v_high);
    s.x1 = x;
    offset_u = s.u_after * stride_u + line.base_offset;
    offset_v = s.v_after * stride_v;
    s.after = offset_u + offset_v;
  };
  for (int64_t start = line.slab0; start < line.slab1;) {
    int64_t stop = line.slab1;
    if (bricks) {
      stop = least((start / BRICK + 1) * BRICK, line.slab1);
      if (!line_meets_occupied(p, bricks, line, start, stop, T(0))) {
        start = stop;
        continue;
      }
    }
    column_at(clamp(line.x_of_slab(start), line.first, line.last));
    s.base = volume + start * p.stride[line.m];
    for (s.k = start; s.k < stop; s.k++, s.base += p.stride[line.m]) {
      s.u_before = s.u_after, s.v_before = s.v_after;
      s.x0 = s.x1;
      s.before = s.after;
      const Indices<T> offset_u_before = offset_u, offset_v_before = offset_v;
      column_at(clamp(line.x_of_slab(s.k + 1), line.first, line.last));
      const Indices<T> crosses_u = s.u_before != s.u_after, crosses_v = s.v_before != s.v_after;
      const Values<T> plane_u = to_values<T>(larger(s.u_before, s.u_after));
      const Values<T> plane_v = to_values<T>(larger(s.v_before, s.v_after));
      s.x_u = crosses_u ? clamp((plane_u - line.u0) * inverse_u, s.x0, s.x1) : s.x1;
      s.x_v = crosses_v ? clamp((plane_v - line.v0) * inverse_v, s.x0, s.x1) : s.x1;
      s.u_first = s.x_u < s.x_v;
      s.first = smaller(s.x_u, s.x_v);
      s.second = larger(s.x_u, s.x_v);
      s.between = s.u_first ? offset_u + offset_v_before : offset_u_before + offset_v;
      visit(s);
    }
    start = stop;
  }
}

// Interpolation along one axis between the voxel centres around a coordinate; the volume is zero outside the box.
template <class T>
struct Between {
  Indices<T> below, above;            // the two voxels from `base`, moved into the box where they lie outside
  Values<T> weight_below, weight_above;
  Values<T> slope_below, slope_above;  // derivatives of the weights: -1 and 1, or 0 outside the box

  // The coordinate counts from voxel `base`. With INTERIOR both voxels are known to lie inside the box.
  template <bool INTERIOR>
  RAYGRAD_INLINE void set(Values<T> coordinate, Indices<T> base, int64_t low, int64_t high) {
    const Values<T> zero{}, one = splat<T>(1);
    if constexpr (INTERIOR) {
      const Values<T> x = coordinate - T(0.5);
      below = floor_index<T>(x);
      above = below + 1;
      weight_above = x - to_values<T>(below);
      weight_below = one - weight_above;
      slope_below = -one;
      slope_above = one;
      return;
    }
    const Indices<T> first = splat_index<T>(low) - base, last = splat_index<T>(high - 1) - base;
    const Values<T> x = clamp(coordinate - T(0.5), to_values<T>(first - 2), to_values<T>(last + 2));
    const Indices<T> i = floor_index<T>(x), j = i + 1;
    const Values<T> share = x - to_values<T>(i);
    const Indices<T> below_inside = (i >= first) & (i <= last), above_inside = (j >= first) & (j <= last);
    weight_below = below_inside ? one - share : zero;
    weight_above = above_inside ? share : zero;
    slope_below = below_inside ? -one : zero;
    slope_above = above_inside ? one : zero;
    below = clamp(i, first, last);
    above = clamp(j, first, last);
  }
};

// Joseph: one bilinear sample in the middle of slab k, for the share of the slab that the ray fills.
template <class T>
struct SlabSample {
  int64_t k;
  const T* base;
  Values<T> x, share;
  Between<T> u, v;
  Indices<T> corner[2][2];  // offsets from base, [above in u][above in v]
  bool paired_u, paired_v;  // the voxels below and above are neighbours in memory

  // With INTERIOR all rays fill the slab, between voxels inside the box.
  template <bool INTERIOR>
  RAYGRAD_INLINE void set(const Problem<T>& p, const Line<T>& line, const Box& box, int64_t index) {
    const Values<T> slab = line.x_of_slab(index);
    k = index;
    x = slab + T(0.5);
    if constexpr (INTERIOR) share = splat<T>(1);
    else share = larger(smaller(slab + T(1), line.last) - larger(slab, line.first), Values<T>{});
    u.template set<INTERIOR>(line.u0 + line.su * x, line.u_base, box.low[line.u], box.high[line.u]);
    v.template set<INTERIOR>(line.v0 + line.sv * x, line.v_base, box.low[line.v], box.high[line.v]);
    const Indices<T> stride_u = splat_index<T>(p.stride[line.u]), stride_v = splat_index<T>(p.stride[line.v]);
    const Indices<T> below_u = u.below * stride_u + line.base_offset, above_u = u.above * stride_u + line.base_offset;
    const Indices<T> below_v = v.below * stride_v, above_v = v.above * stride_v;
    corner[0][0] = below_u + below_v, corner[0][1] = below_u + above_v;
    corner[1][0] = above_u + below_v, corner[1][1] = above_u + above_v;
    paired_u = INTERIOR && p.stride[line.u] == 1, paired_v = INTERIOR && p.stride[line.v] == 1;
  }

  RAYGRAD_INLINE void read(Values<T> f[2][2]) const {  // the four voxels
    if (paired_v) {
      gather_pair<T>(base, corner[0][0], f[0][0], f[0][1]);
      gather_pair<T>(base, corner[1][0], f[1][0], f[1][1]);
    } else if (paired_u) {
      gather_pair<T>(base, corner[0][0], f[0][0], f[1][0]);
      gather_pair<T>(base, corner[0][1], f[0][1], f[1][1]);
    } else {
      for (int i = 0; i < 2; i++)
        for (int j = 0; j < 2; j++) f[i][j] = gather<T>(base, corner[i][j]);
    }
  }
};

template <class T, class Visit>
RAYGRAD_INLINE void walk_joseph(const Problem<T>& p, const T* volume, const uint8_t* bricks, const Line<T>& line,
                                const Box& box, Visit visit) {
  SlabSample<T> s;
  auto run = [&](int64_t from, int64_t to, auto interior) __attribute__((always_inline)) {
    s.base = volume + from * p.stride[line.m];
    for (int64_t k = from; k < to; k++, s.base += p.stride[line.m]) {
      s.template set<decltype(interior)::value>(p, line, box, k);
      visit(s);
    }
  };
  for (int64_t start = line.slab0; start < line.slab1;) {
    int64_t stop = line.slab1;
    if (bricks) {
      stop = least((start / BRICK + 1) * BRICK, line.slab1);
      if (!line_meets_occupied(p, bricks, line, start, stop, T(1))) {
        start = stop;
        continue;
      }
    }
    const int64_t inner0 = clamp_to(line.inner0, start, stop), inner1 = clamp_to(line.inner1, inner0, stop);
    run(start, inner0, std::false_type{});
    run(inner0, inner1, std::true_type{});
    run(inner1, stop, std::false_type{});
    start = stop;
  }
}

// Trilinear: sample i of n at the middle of the i-th of n equal steps over [first, last], the part of the ray (as
// fractions of source to target) that can differ from zero.
template <class T>
struct Points {
  static constexpr int N = LANES<T>;
  bool hit;
  bool lane[N];
  double first[N], last[N];
  int8_t first_end[N], last_end[N];  // axis of the face that `first` and `last` lie on, or OWN_END
  Values<T> base[3], step[3];        // coordinates of sample i: base + (i + 1/2) step
  int64_t begin, end;                // samples [begin, end) that can meet the box

  void set(const Problem<T>& p, const Packet<T>& packet, const Box& box) {
    hit = false;
    double earliest = 1e300, latest = -1e300;
    for (int l = 0; l < N; l++) {
      lane[l] = false;
      first[l] = last[l] = 0;
      first_end[l] = last_end[l] = OWN_END;
      for (int a = 0; a < 3; a++) base[a][l] = step[a][l] = 0;
      if (packet.axis[l] < 0) continue;
      double from = 0, to = 1;
      bool entered, left;
      for (int a = 0; a < 3; a++) {
        narrow(packet.start[a][l], packet.step[a][l], -0.5, double(p.shape[a]) + 0.5, from, to, entered, left);
        if (entered) first_end[l] = int8_t(a);
        if (left) last_end[l] = int8_t(a);
      }
      if (!(to > from)) continue;
      first[l] = from, last[l] = to;
      const double width = (to - from) / double(p.n_points);
      for (int a = 0; a < 3; a++) {
        base[a][l] = T(packet.start[a][l] + from * packet.step[a][l]);
        step[a][l] = T(width * packet.step[a][l]);
      }
      double near = from, far = to;
      for (int a = 0; a < 3; a++)
        narrow(packet.start[a][l], packet.step[a][l], double(box.low[a]) - 0.5, double(box.high[a]) + 0.5, near, far,
               entered, left);
      if (!(far > near)) continue;
      lane[l] = hit = true;
      earliest = least(earliest, (near - from) / width), latest = most(latest, (far - from) / width);
    }
    if (!hit) return;
    begin = most(int64_t(std::floor(earliest)) - 1, 0);
    end = least(int64_t(std::ceil(latest)) + 1, p.n_points);
  }
};

template <class T>
struct PointSample {
  int64_t i;
  Between<T> axis[3];
  Indices<T> corner[2][2][2];  // offsets from the volume's first voxel

  RAYGRAD_INLINE void set(const Problem<T>& p, const Points<T>& points, const Box& box, int64_t index) {
    i = index;
    for (int a = 0; a < 3; a++)
      axis[a].template set<false>(points.base[a] + points.step[a] * (T(index) + T(0.5)), Indices<T>{}, box.low[a], box.high[a]);
    for (int x = 0; x < 2; x++)
      for (int y = 0; y < 2; y++)
        for (int z = 0; z < 2; z++)
          corner[x][y][z] = (x ? axis[0].above : axis[0].below) * splat_index<T>(p.stride[0]) +
                            (y ? axis[1].above : axis[1].below) * splat_index<T>(p.stride[1]) +
                            (z ? axis[2].above : axis[2].below) * splat_index<T>(p.stride[2]);
  }
};

template <class T, class Visit>
RAYGRAD_INLINE void walk_trilinear(const Problem<T>& p, const uint8_t* bricks, const Points<T>& points, const Box& box,
                                   Visit visit) {
  PointSample<T> s;
  for (int64_t begin = points.begin; begin < points.end;) {
    int64_t end = points.end;
    if (bricks) {
      end = least(begin + BRICK, points.end);
      int64_t low[3], high[3];
      for (int a = 0; a < 3; a++) {
        T least_of = T(1e30), most_of = T(-1e30);
        for (int l = 0; l < LANES<T>; l++) {
          if (!points.lane[l]) continue;
          const T x = points.base[a][l] + points.step[a][l] * T(begin), y = points.base[a][l] + points.step[a][l] * T(end);
          least_of = x < least_of ? x : least_of, least_of = y < least_of ? y : least_of;
          most_of = x > most_of ? x : most_of, most_of = y > most_of ? y : most_of;
        }
        low[a] = int64_t(std::floor(least_of - 1)), high[a] = int64_t(std::floor(most_of + 1));
      }
      if (!any_occupied(p, bricks, low, high)) {
        begin = end;
        continue;
      }
    }
    for (int64_t i = begin; i < end; i++) {
      s.set(p, points, box, i);
      visit(s);
    }
    begin = end;
  }
}

}  // namespace
}  // namespace raygrad
