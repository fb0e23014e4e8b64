// Siddon's march: exact for voxels of constant value.
//
// Within slab k of the main axis a ray crosses at most one plane across u and one across v, so it meets at most three
// voxels: before the first crossing, between the two, after the second. All of it has a closed form in k: rounding does
// not build up along a ray.
#pragma once
#include "labels.hpp"
#include "lines.hpp"
#include "totals.hpp"

namespace raygrad {
namespace {

// What a packet's rays meet in one slab.
template <class T>
struct Slab {
  int64_t k, place;                                 // the slab, and its first voxel's place in the volume
  Values<T> x0, first, second, x1;                  // x where the three voxels' parts begin and end
  Indices<T> before, between, after;                // the three voxels, as offsets from `place`
  Indices<T> u_before, v_before, u_after, v_after;  // and their indices across u and v, from the line's bases
  Values<T> x_u, x_v;                               // x of the crossings; x1 where there is none
  Indices<T> u_first;                               // whether the crossing of u comes first

  // What is read there: one voxel where no ray leaves its column, which is common enough to be worth a branch.
  static constexpr int READS = 3;
  RAYGRAD_INLINE int reads() const { return any(before != after) ? READS : 1; }
  RAYGRAD_INLINE Indices<T> read(int i) const { return i == 0 ? before : i == 1 ? between : after; }
  RAYGRAD_INLINE int neighbour(int) const { return 0; }
};

// Calls visit(occupied, run) for every stretch between empty bricks; run(step) calls step(slab) for each of its slabs.
template <class T, class Visit>
RAYGRAD_INLINE void cross_slabs(const Problem<T>& p, const uint8_t* bricks, const Line<T>& line, const Box& box,
                                Visit visit) {
  const int u = line.u, v = line.v;
  const Indices<T> stride_u = splat_index<T>(p.stride[u]), stride_v = splat_index<T>(p.stride[v]);
  const Indices<T> u_low = splat_index<T>(box.low[u]) - line.u_base;
  const Indices<T> u_high = splat_index<T>(box.high[u] - 1) - line.u_base;
  const Indices<T> v_low = splat_index<T>(box.low[v]) - line.v_base;
  const Indices<T> v_high = splat_index<T>(box.high[v] - 1) - line.v_base;
  const Values<T> zero{}, one = splat<T>(1);
  const Values<T> inverse_u = line.su == zero ? zero : one / line.su;
  const Values<T> inverse_v = line.sv == zero ? zero : one / line.sv;
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
  auto cross = [&](int64_t start, int64_t stop, auto step) __attribute__((always_inline)) {
    column_at(clamp(line.x_of_slab(start), line.first, line.last));
    s.place = start * p.stride[line.m];
    for (s.k = start; s.k < stop; s.k++, s.place += p.stride[line.m]) {
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
      step(s);
    }
  };
  each_stretch(p, bricks, line, T(0),
               [&](int64_t start, int64_t stop, unsigned occupied) __attribute__((always_inline)) {
                 visit(occupied, [&](auto step) __attribute__((always_inline)) { cross(start, stop, step); });
               });
}

template <class T>
struct Siddon {
  using Way = Line<T>;
  using Totals = LineTotals<T>;
  static constexpr int N = LANES<T>;

  template <class Visit>
  static RAYGRAD_INLINE void each_way(const Problem<T>& p, const Rays<T>& rays, const Box& box, Visit visit) {
    each_line(p, rays, box, 0.0, visit);
  }

  template <class Visit>
  static RAYGRAD_INLINE void each_stretch_of(const Problem<T>& p, const uint8_t* bricks, const Line<T>& line,
                                             const Box& box, Visit visit) {
    cross_slabs(p, bricks, line, box, visit);
  }

  template <bool DERIVATIVES>
  struct Sums {
    Values<T> value{}, u{}, ux{}, v{}, vx{};

    Sums(const Problem<T>&, const Line<T>&) {}

    RAYGRAD_INLINE void add(const T* volume, const Slab<T>& s) {
      const T* base = volume + s.place;
      Values<T> f[3];
      f[0] = gather<T>(base, s.before);
      const int reads = s.reads();
      if (reads > 1) f[1] = gather<T>(base, s.between), f[2] = gather<T>(base, s.after);
      take(f, s, reads);
    }

    RAYGRAD_INLINE void take(const Values<T>* f, const Slab<T>& s, int reads) {
      if (reads == 1) {
        value += (s.x1 - s.x0) * f[0];
        return;
      }
      const Values<T> f0 = f[0], f1 = f[1], f2 = f[2];
      value += (s.first - s.x0) * f0 + (s.second - s.first) * f1 + (s.x1 - s.second) * f2;
      if constexpr (DERIVATIVES) {  // jumps of f; where a plane is not crossed both sides are the same voxel
        const Values<T> jump_first = f1 - f0, jump_second = f2 - f1;
        const Values<T> jump_u = s.u_first ? jump_first : jump_second, jump_v = s.u_first ? jump_second : jump_first;
        u += jump_u, ux += jump_u * s.x_u;
        v += jump_v, vx += jump_v * s.x_v;
      }
    }

    Totals lane(int l) const { return {value[l], u[l], ux[l], v[l], vx[l]}; }
  };

  static void add_by_label(const Problem<T>&, const T* volume, const Line<T>& line, const Slab<T>& s,
                           LabelReader<T>& labels, Totals* totals) {
    const T* base = volume + s.place;
    for (int l = 0; l < N; l++) {
      if (!line.lane[l] || !(s.x1[l] > s.x0[l])) continue;
      const bool u_first = s.u_first[l];
      const T f[3] = {base[s.before[l]], base[s.between[l]], base[s.after[l]]};
      const int64_t channel[3] = {label_before(line, s, l, labels), label_between(line, s, l, labels),
                                  label_after(line, s, l, labels)};
      totals[channel[0] * N + l].value += (s.first[l] - s.x0[l]) * f[0];
      totals[channel[1] * N + l].value += (s.second[l] - s.first[l]) * f[1];
      totals[channel[2] * N + l].value += (s.x1[l] - s.second[l]) * f[2];
      const auto jump = [&](int from, T x, bool across_u) {
        Totals &leaves = totals[channel[from] * N + l], &comes = totals[channel[from + 1] * N + l];
        if (across_u) {
          leaves.u -= f[from], leaves.ux -= f[from] * x;
          comes.u += f[from + 1], comes.ux += f[from + 1] * x;
        } else {
          leaves.v -= f[from], leaves.vx -= f[from] * x;
          comes.v += f[from + 1], comes.vx += f[from + 1] * x;
        }
      };
      if (s.before[l] != s.between[l]) jump(0, s.first[l], u_first);
      if (s.between[l] != s.after[l]) jump(1, s.second[l], !u_first);
    }
  }

  static void finish(const Problem<T>& p, const T* volume, const Rays<T>& rays, const Line<T>& line, int l,
                     LabelReader<T>* labels, Totals* totals, int64_t pitch, int64_t batch, const Output<T>& output) {
    OwnEnds<T> ends;
    for (int e = 0; output.jacobian && e < 2; e++) {
      const int axis = e == 0 ? line.first_face[l] : line.last_face[l];
      if (axis == line.m) continue;
      const LineEnd<T> end(p, line, l, e == 1);
      int64_t channel;
      const T value = value_at(p, volume, line, l, end, labels, channel);
      if (axis == OWN_END) {
        ends.value[e] = value, ends.channel[e] = channel;
      } else {  // the ray comes in, or leaves, through a plane across u or v: the jump from or to nothing
        const T jump = e == 0 ? value : -value;
        Totals& t = totals[channel * pitch];
        if (axis == line.u) t.u += jump, t.ux += jump * end.x;
        else t.v += jump, t.vx += jump * end.x;
      }
    }
    for (int64_t c = 0; c < p.channels; c++)
      finish_line(p, rays, line, l, totals[c * pitch], ends.first(c), ends.last(c), true,
                  output.at(batch, c, rays.ray[l]));
  }

  struct Largest {
    T value[N]{};

    RAYGRAD_INLINE void meet(const Problem<T>&, const T* volume, const Line<T>& line, const Slab<T>& s,
                             Reading<T>* reading) {
      const T* base = volume + s.place;
      for (int l = 0; l < N; l++) {
        const int64_t at[3] = {s.before[l], s.between[l], s.after[l]};
        const bool met[3] = {s.first[l] > s.x0[l], s.second[l] > s.first[l], s.x1[l] > s.second[l]};
        for (int i = 0; i < 3; i++) {
          if (!met[i] || !line.lane[l] || base[at[i]] <= value[l]) continue;
          value[l] = base[at[i]];
          if (reading) reading[l].count = 0, reading[l].add(s.place + at[i], 1);
        }
      }
    }

    void finish(const Problem<T>& p, const Rays<T>& rays, const Line<T>& line, int l, Pixel<T> pixel) const {
      finish_line_maximum(p, rays, line, l, value[l], T(0), T(0), T(0), pixel);
    }
  };

  static int64_t per_step(const Problem<T>& p, const Line<T>& line) { return p.stride[line.m]; }

  static T millimetres(const Problem<T>&, const Rays<T>& rays, const Line<T>& line, int l) {
    return T(rays.length[l] / std::fabs(rays.step[line.m][l]));
  }

  template <class Weights>
  static RAYGRAD_INLINE void scatter_to(T* gradient, const Line<T>& line, const Slab<T>& s, Weights& weights,
                                        LabelReader<T>& labels) {
    T* base = gradient + s.place;
    weights.look_up([&](int l) { return label_before(line, s, l, labels); });
    scatter<T>(base, s.before, (s.first - s.x0) * weights.weight);
    if (!any(s.first < s.x1)) return;
    weights.look_up([&](int l) { return label_between(line, s, l, labels); });
    scatter<T>(base, s.between, (s.second - s.first) * weights.weight);
    weights.look_up([&](int l) { return label_after(line, s, l, labels); });
    scatter<T>(base, s.after, (s.x1 - s.second) * weights.weight);
  }

 private:
  // The voxel that a ray is in at one of its ends, and its label's channel.
  static T value_at(const Problem<T>& p, const T* volume, const Line<T>& line, int l, const LineEnd<T>& end,
                    LabelReader<T>* labels, int64_t& channel) {
    const int64_t u_high = p.shape[line.u] - 1 - line.u_base[l], v_high = p.shape[line.v] - 1 - line.v_base[l];
    const T at_u = line.u0[l] + line.su[l] * end.x, at_v = line.v0[l] + line.sv[l] * end.x;
    const int64_t u = clamp_to(int64_t(std::floor(at_u)), -int64_t(line.u_base[l]), u_high);
    const int64_t v = clamp_to(int64_t(std::floor(at_v)), -int64_t(line.v_base[l]), v_high);
    channel = labels ? label_of(line, l, end.k, u, v, *labels) : 0;
    return volume[end.k * p.stride[line.m] + line.base_offset[l] + u * p.stride[line.u] + v * p.stride[line.v]];
  }

  // The label of a voxel of slab k, at u and v from the bases of the ray in one lane.
  static int64_t label_of(const Line<T>& line, int l, int64_t k, int64_t u, int64_t v, LabelReader<T>& labels) {
    int64_t index[3];
    index[line.m] = k, index[line.u] = line.u_base[l] + u, index[line.v] = line.v_base[l] + v;
    return labels.at(index);
  }

  static int64_t label_before(const Line<T>& line, const Slab<T>& s, int l, LabelReader<T>& labels) {
    return label_of(line, l, s.k, s.u_before[l], s.v_before[l], labels);
  }

  static int64_t label_between(const Line<T>& line, const Slab<T>& s, int l, LabelReader<T>& labels) {
    return s.u_first[l] ? label_of(line, l, s.k, s.u_after[l], s.v_before[l], labels)
                        : label_of(line, l, s.k, s.u_before[l], s.v_after[l], labels);
  }

  static int64_t label_after(const Line<T>& line, const Slab<T>& s, int l, LabelReader<T>& labels) {
    return label_of(line, l, s.k, s.u_after[l], s.v_after[l], labels);
  }
};

}  // namespace
}  // namespace raygrad
