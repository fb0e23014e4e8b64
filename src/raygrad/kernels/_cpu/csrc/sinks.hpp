// What the marches do with each step of a walk: add it up, differentiate it, keep the largest, or scatter it.
#pragma once
#include "totals.hpp"
#include "walks.hpp"

namespace raygrad {
namespace {

// Reads the labelmap; remembers if it ever met a label that has no channel.
template <class T>
struct LabelReader {
  const Problem<T>& p;
  bool stray = false;

  int64_t at(const int64_t index[3]) {
    const int64_t i = index[0] * p.label_stride[0] + index[1] * p.label_stride[1] + index[2] * p.label_stride[2];
    int64_t label = 0;
    switch (p.label_type) {
      case LabelType::none: break;
      case LabelType::uint8: label = static_cast<const uint8_t*>(p.labels)[i]; break;
      case LabelType::int16: label = static_cast<const int16_t*>(p.labels)[i]; break;
      case LabelType::int32: label = static_cast<const int32_t*>(p.labels)[i]; break;
      case LabelType::int64: label = static_cast<const int64_t*>(p.labels)[i]; break;
    }
    if (label >= 0 && label < p.channels) return label;
    stray = true;
    return 0;
  }

  // The label of a voxel of slab k, at u and v from the bases of the ray in one lane.
  int64_t in_slab(const Line<T>& line, int l, int64_t k, int64_t u, int64_t v) {
    int64_t index[3];
    index[line.m] = k, index[line.u] = line.u_base[l] + u, index[line.v] = line.v_base[l] + v;
    return at(index);
  }

  // The label of the voxel nearest to a coordinate.
  int64_t nearest(const T coordinate[3]) {
    int64_t index[3];
    for (int a = 0; a < 3; a++) {
      const T x = coordinate[a] < 0 ? 0 : coordinate[a];
      index[a] = least(int64_t(x), p.shape[a] - 1);
    }
    return at(index);
  }

  int64_t nearest_on_line(const Line<T>& line, int l, int64_t k, T x) {
    T coordinate[3];
    coordinate[line.m] = T(k) + T(0.5);
    coordinate[line.u] = line.u_at(l, x);
    coordinate[line.v] = line.v_at(l, x);
    return nearest(coordinate);
  }

  int64_t nearest_to_sample(const Points<T>& points, int l, int64_t i) {
    T coordinate[3];
    for (int a = 0; a < 3; a++) coordinate[a] = points.base[a][l] + points.step[a][l] * (T(i) + T(0.5));
    return nearest(coordinate);
  }
};

// Sums over one line's packet, a lane each.
template <class T, bool DERIVATIVES>
struct LineSums {
  Values<T> value{}, u{}, ux{}, v{}, vx{};

  RAYGRAD_INLINE void add(const Slab<T>& s) {
    if (!any(s.before != s.after)) {  // no ray leaves its column: common enough to be worth a branch
      value += (s.x1 - s.x0) * gather<T>(s.base, s.before);
      return;
    }
    const Values<T> f0 = gather<T>(s.base, s.before), f1 = gather<T>(s.base, s.between), f2 = gather<T>(s.base, s.after);
    value += (s.first - s.x0) * f0 + (s.second - s.first) * f1 + (s.x1 - s.second) * f2;
    if constexpr (DERIVATIVES) {  // jumps of f; where a plane is not crossed both sides are the same voxel
      const Values<T> jump_first = f1 - f0, jump_second = f2 - f1;
      const Values<T> jump_u = s.u_first ? jump_first : jump_second, jump_v = s.u_first ? jump_second : jump_first;
      u += jump_u, ux += jump_u * s.x_u;
      v += jump_v, vx += jump_v * s.x_v;
    }
  }

  RAYGRAD_INLINE void add(const SlabSample<T>& s) {
    Values<T> f[2][2];
    s.read(f);
    const Values<T> below = s.v.weight_below * f[0][0] + s.v.weight_above * f[0][1];
    const Values<T> above = s.v.weight_below * f[1][0] + s.v.weight_above * f[1][1];
    value += s.share * (s.u.weight_below * below + s.u.weight_above * above);
    if constexpr (DERIVATIVES) {
      const Values<T> slope_u = s.share * (s.u.slope_below * below + s.u.slope_above * above);
      const Values<T> left = s.u.weight_below * f[0][0] + s.u.weight_above * f[1][0];
      const Values<T> right = s.u.weight_below * f[0][1] + s.u.weight_above * f[1][1];
      const Values<T> slope_v = s.share * (s.v.slope_below * left + s.v.slope_above * right);
      u += slope_u, ux += slope_u * s.x;
      v += slope_v, vx += slope_v * s.x;
    }
  }

  Totals<T> lane(int l) const { return {value[l], u[l], ux[l], v[l], vx[l]}; }
};

// A bilinear sample's value and slopes in one lane.
template <class T>
void read_lane(const SlabSample<T>& s, int l, T& value, T& slope_u, T& slope_v) {
  const T f00 = s.base[s.corner[0][0][l]], f01 = s.base[s.corner[0][1][l]];
  const T f10 = s.base[s.corner[1][0][l]], f11 = s.base[s.corner[1][1][l]];
  const T below = s.v.weight_below[l] * f00 + s.v.weight_above[l] * f01;
  const T above = s.v.weight_below[l] * f10 + s.v.weight_above[l] * f11;
  value = s.u.weight_below[l] * below + s.u.weight_above[l] * above;
  slope_u = s.u.slope_below[l] * below + s.u.slope_above[l] * above;
  slope_v = s.v.slope_below[l] * (s.u.weight_below[l] * f00 + s.u.weight_above[l] * f10) +
            s.v.slope_above[l] * (s.u.weight_below[l] * f01 + s.u.weight_above[l] * f11);
}

// The same sums for each label, [channel][lane]; lane by lane, since every lane has its own labels.
template <class T>
struct LabelSums {
  Totals<T>* totals;
  LabelReader<T>& labels;
  const Line<T>& line;

  Totals<T>& of(int64_t channel, int l) { return totals[channel * LANES<T> + l]; }

  void add(const Slab<T>& s) {
    for (int l = 0; l < LANES<T>; l++) {
      if (!line.lane[l] || !(s.x1[l] > s.x0[l])) continue;
      const bool u_first = s.u_first[l];
      const T f[3] = {s.base[s.before[l]], s.base[s.between[l]], s.base[s.after[l]]};
      const int64_t channel[3] = {
          labels.in_slab(line, l, s.k, s.u_before[l], s.v_before[l]),
          labels.in_slab(line, l, s.k, u_first ? s.u_after[l] : s.u_before[l], u_first ? s.v_before[l] : s.v_after[l]),
          labels.in_slab(line, l, s.k, s.u_after[l], s.v_after[l])};
      of(channel[0], l).value += (s.first[l] - s.x0[l]) * f[0];
      of(channel[1], l).value += (s.second[l] - s.first[l]) * f[1];
      of(channel[2], l).value += (s.x1[l] - s.second[l]) * f[2];
      if (s.before[l] != s.between[l]) jump(l, channel[0], f[0], channel[1], f[1], s.first[l], u_first);
      if (s.between[l] != s.after[l]) jump(l, channel[1], f[1], channel[2], f[2], s.second[l], !u_first);
    }
  }

  void jump(int l, int64_t from, T f_from, int64_t to, T f_to, T x, bool across_u) {
    if (across_u) {
      of(from, l).u -= f_from, of(from, l).ux -= f_from * x;
      of(to, l).u += f_to, of(to, l).ux += f_to * x;
    } else {
      of(from, l).v -= f_from, of(from, l).vx -= f_from * x;
      of(to, l).v += f_to, of(to, l).vx += f_to * x;
    }
  }

  void add(const SlabSample<T>& s) {
    for (int l = 0; l < LANES<T>; l++) {
      if (!line.lane[l] || !(s.share[l] > 0)) continue;
      T value, slope_u, slope_v;
      read_lane(s, l, value, slope_u, slope_v);
      Totals<T>& t = of(labels.nearest_on_line(line, l, s.k, s.x[l]), l);
      t.value += s.share[l] * value;
      t.u += s.share[l] * slope_u, t.ux += s.share[l] * slope_u * s.x[l];
      t.v += s.share[l] * slope_v, t.vx += s.share[l] * slope_v * s.x[l];
    }
  }
};

// The value, and with derivatives the gradient, of a trilinear sample.
template <class T, bool DERIVATIVES>
RAYGRAD_INLINE void read_point(const T* volume, const PointSample<T>& s, Values<T>& value, Values<T> gradient[3]) {
  value = Values<T>{};
  if constexpr (DERIVATIVES)
    for (int a = 0; a < 3; a++) gradient[a] = Values<T>{};
  for (int x = 0; x < 2; x++)
    for (int y = 0; y < 2; y++)
      for (int z = 0; z < 2; z++) {
        const Values<T> f = gather<T>(volume, s.corner[x][y][z]);
        const Values<T> wx = x ? s.axis[0].weight_above : s.axis[0].weight_below;
        const Values<T> wy = y ? s.axis[1].weight_above : s.axis[1].weight_below;
        const Values<T> wz = z ? s.axis[2].weight_above : s.axis[2].weight_below;
        value += f * (wx * wy * wz);
        if constexpr (DERIVATIVES) {
          gradient[0] += f * ((x ? s.axis[0].slope_above : s.axis[0].slope_below) * wy * wz);
          gradient[1] += f * (wx * (y ? s.axis[1].slope_above : s.axis[1].slope_below) * wz);
          gradient[2] += f * (wx * wy * (z ? s.axis[2].slope_above : s.axis[2].slope_below));
        }
      }
}

// Where a reading took its values from: up to eight voxels and their weights. What the adjoint of "max" scatters to.
template <class T>
struct Reading {
  int count = 0;
  int64_t voxel[8];
  T weight[8];

  void add(int64_t at, T w) { voxel[count] = at, weight[count] = w, count++; }

  static Reading of(const T* volume, const SlabSample<T>& s, int l) {
    Reading r;
    const int64_t base = s.base - volume;
    for (int i = 0; i < 2; i++)
      for (int j = 0; j < 2; j++)
        r.add(base + s.corner[i][j][l],
              (i ? s.u.weight_above : s.u.weight_below)[l] * (j ? s.v.weight_above : s.v.weight_below)[l]);
    return r;
  }

  static Reading of(const PointSample<T>& s, int l) {
    Reading r;
    for (int x = 0; x < 2; x++)
      for (int y = 0; y < 2; y++)
        for (int z = 0; z < 2; z++)
          r.add(s.corner[x][y][z][l], (x ? s.axis[0].weight_above : s.axis[0].weight_below)[l] *
                                          (y ? s.axis[1].weight_above : s.axis[1].weight_below)[l] *
                                          (z ? s.axis[2].weight_above : s.axis[2].weight_below)[l]);
    return r;
  }
};

// Add what the lanes hold to the voxels that they name, lane by lane: two of them may name the same voxel.
template <class T>
RAYGRAD_INLINE void scatter(T* base, Indices<T> voxel, Values<T> amount) {
  for (unsigned bits = lane_bits(amount != Values<T>{}); bits; bits &= bits - 1) {
    const int l = __builtin_ctz(bits);
    base[voxel[l]] += amount[l];
  }
}

// The same for pairs of voxels that are neighbours in memory.
template <class T>
RAYGRAD_INLINE void scatter_pairs(T* base, Indices<T> voxel, Values<T> first, Values<T> second) {
  typedef T Pair __attribute__((vector_size(2 * sizeof(T)), aligned(alignof(T)), may_alias));
  for (int l = 0; l < LANES<T>; l++) *reinterpret_cast<Pair*>(base + voxel[l]) += Pair{first[l], second[l]};
}

}  // namespace
}  // namespace raygrad
