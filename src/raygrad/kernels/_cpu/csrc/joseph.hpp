// Joseph's march: one bilinear sample in the middle of every slab of the main axis.
#pragma once
#include <type_traits>

#include "interpolation.hpp"
#include "labels.hpp"
#include "lines.hpp"
#include "totals.hpp"

namespace raygrad {
namespace {

// The samples of a packet's rays in the middle of slab k, for the share of the slab that each ray fills.
template <class T>
struct SlabSample {
  int64_t k, place;  // the slab, and its first voxel's place in the volume
  Values<T> x, share;
  Between<T> u, v;
  Indices<T> corner[2][2];  // offsets from `place`, [above in u][above in v]
  bool paired_u, paired_v;  // the voxels below and above are neighbours in memory

  static constexpr int READS = 4;
  RAYGRAD_INLINE int reads() const { return READS; }
  RAYGRAD_INLINE Indices<T> read(int i) const { return corner[i / 2][i % 2]; }
  // The read of the voxels that follow those of read i in memory; 0 for none.
  RAYGRAD_INLINE int neighbour(int i) const {
    return paired_v ? (i % 2 == 0 ? i + 1 : 0) : paired_u ? (i < 2 ? i + 2 : 0) : 0;
  }

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
};

// Calls visit(occupied, run) for every stretch between empty bricks; run(step) calls step(sample) for each slab of it.
template <class T, class Visit>
RAYGRAD_INLINE void sample_slabs(const Problem<T>& p, const uint8_t* bricks, const Line<T>& line, const Box& box,
                                 Visit visit) {
  SlabSample<T> s;
  auto sample = [&](int64_t from, int64_t to, auto interior, auto step) __attribute__((always_inline)) {
    s.place = from * p.stride[line.m];
    for (int64_t k = from; k < to; k++, s.place += p.stride[line.m]) {
      s.template set<decltype(interior)::value>(p, line, box, k);
      step(s);
    }
  };
  each_stretch(p, bricks, line, T(1),
               [&](int64_t start, int64_t stop, unsigned occupied) __attribute__((always_inline)) {
                 const int64_t inner0 = clamp_to(line.inner0, start, stop);
                 const int64_t inner1 = clamp_to(line.inner1, inner0, stop);
                 visit(occupied, [&](auto step) __attribute__((always_inline)) {
                   sample(start, inner0, std::false_type{}, step);
                   sample(inner0, inner1, std::true_type{}, step);
                   sample(inner1, stop, std::false_type{}, step);
                 });
               });
}

template <class T>
struct Joseph {
  using Way = Line<T>;
  using Totals = LineTotals<T>;
  static constexpr int N = LANES<T>;

  template <class Visit>
  static RAYGRAD_INLINE void each_way(const Problem<T>& p, const Rays<T>& rays, const Box& box, Visit visit) {
    each_line(p, rays, box, 0.5, visit);
  }

  template <class Visit>
  static RAYGRAD_INLINE void each_stretch_of(const Problem<T>& p, const uint8_t* bricks, const Line<T>& line,
                                             const Box& box, Visit visit) {
    sample_slabs(p, bricks, line, box, visit);
  }

  template <bool DERIVATIVES>
  struct Sums {
    Values<T> value{}, u{}, ux{}, v{}, vx{};

    Sums(const Problem<T>&, const Line<T>&) {}

    RAYGRAD_INLINE void add(const T* volume, const SlabSample<T>& s) {
      Values<T> f[2][2];
      read_corners(volume, s, f);
      take(f[0], s, 4);
    }

    RAYGRAD_INLINE void take(const Values<T>* corners, const SlabSample<T>& s, int) {
      const Values<T> f[2][2] = {{corners[0], corners[1]}, {corners[2], corners[3]}};
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

    Totals lane(int l) const { return {value[l], u[l], ux[l], v[l], vx[l]}; }
  };

  static void add_by_label(const Problem<T>&, const T* volume, const Line<T>& line, const SlabSample<T>& s,
                           LabelReader<T>& labels, Totals* totals) {
    for (int l = 0; l < N; l++) {
      if (!line.lane[l] || !(s.share[l] > 0)) continue;
      T value, slope_u, slope_v;
      read_sample(volume, s, l, value, slope_u, slope_v);
      Totals& t = totals[label_of(line, l, s.k, s.x[l], labels) * N + l];
      t.value += s.share[l] * value;
      t.u += s.share[l] * slope_u, t.ux += s.share[l] * slope_u * s.x[l];
      t.v += s.share[l] * slope_v, t.vx += s.share[l] * slope_v * s.x[l];
    }
  }

  static void finish(const Problem<T>& p, const T* volume, const Rays<T>& rays, const Line<T>& line, int l,
                     LabelReader<T>* labels, Totals* totals, int64_t pitch, int64_t batch, const Output<T>& output) {
    OwnEnds<T> ends;
    for (int e = 0; output.jacobian && e < 2; e++) {
      if ((e == 0 ? line.first_face[l] : line.last_face[l]) != OWN_END) continue;
      const LineEnd<T> end(p, line, l, e == 1);
      SlabSample<T> s;  // of the slab that the end lies in
      s.place = end.k * p.stride[line.m];
      s.template set<false>(p, line, whole(p), end.k);
      T slope_u, slope_v;
      read_sample(volume, s, l, ends.value[e], slope_u, slope_v);
      if (labels) ends.channel[e] = label_of(line, l, end.k, s.x[l], *labels);
    }
    for (int64_t c = 0; c < p.channels; c++)
      finish_line(p, rays, line, l, totals[c * pitch], ends.first(c), ends.last(c), false,
                  output.at(batch, c, rays.ray[l]));
  }

  struct Largest {
    T value[N]{}, x[N]{}, slope_u[N]{}, slope_v[N]{};

    RAYGRAD_INLINE void meet(const Problem<T>&, const T* volume, const Line<T>& line, const SlabSample<T>& s,
                             Reading<T>* reading) {
      for (int l = 0; l < N; l++) {
        if (!line.lane[l] || !(s.share[l] > 0)) continue;
        T f, u, v;
        read_sample(volume, s, l, f, u, v);
        if (f <= value[l]) continue;
        value[l] = f, x[l] = s.x[l], slope_u[l] = u, slope_v[l] = v;
        if (reading) reading[l] = reading_of(s, l);
      }
    }

    void finish(const Problem<T>& p, const Rays<T>& rays, const Line<T>& line, int l, Pixel<T> pixel) const {
      finish_line_maximum(p, rays, line, l, value[l], x[l], slope_u[l], slope_v[l], pixel);
    }
  };

  static int64_t per_step(const Problem<T>& p, const Line<T>& line) { return p.stride[line.m]; }

  static T millimetres(const Problem<T>&, const Rays<T>& rays, const Line<T>& line, int l) {
    return T(rays.length[l] / std::fabs(rays.step[line.m][l]));
  }

  template <class Weights>
  static RAYGRAD_INLINE void scatter_to(T* gradient, const Line<T>& line, const SlabSample<T>& s, Weights& weights,
                                        LabelReader<T>& labels) {
    T* base = gradient + s.place;
    weights.look_up([&](int l) { return label_of(line, l, s.k, s.x[l], labels); });
    const Values<T> amount = s.share * weights.weight;
    const Values<T> below = amount * s.u.weight_below, above = amount * s.u.weight_above;
    const Values<T> parts[2][2] = {{below * s.v.weight_below, below * s.v.weight_above},
                                   {above * s.v.weight_below, above * s.v.weight_above}};
    if (s.paired_v) {
      scatter_pairs<T>(base, s.corner[0][0], parts[0][0], parts[0][1]);
      scatter_pairs<T>(base, s.corner[1][0], parts[1][0], parts[1][1]);
    } else if (s.paired_u) {
      scatter_pairs<T>(base, s.corner[0][0], parts[0][0], parts[1][0]);
      scatter_pairs<T>(base, s.corner[0][1], parts[0][1], parts[1][1]);
    } else {
      for (int i = 0; i < 2; i++)
        for (int j = 0; j < 2; j++) scatter<T>(base, s.corner[i][j], parts[i][j]);
    }
  }

 private:
  static RAYGRAD_INLINE void read_corners(const T* volume, const SlabSample<T>& s, Values<T> f[2][2]) {
    const T* base = volume + s.place;
    if (s.paired_v) {
      gather_pair<T>(base, s.corner[0][0], f[0][0], f[0][1]);
      gather_pair<T>(base, s.corner[1][0], f[1][0], f[1][1]);
    } else if (s.paired_u) {
      gather_pair<T>(base, s.corner[0][0], f[0][0], f[1][0]);
      gather_pair<T>(base, s.corner[0][1], f[0][1], f[1][1]);
    } else {
      for (int i = 0; i < 2; i++)
        for (int j = 0; j < 2; j++) f[i][j] = gather<T>(base, s.corner[i][j]);
    }
  }

  // A sample's value and slopes in one lane.
  RAYGRAD_OUT_OF_LINE static void read_sample(const T* volume, const SlabSample<T>& s, int l, T& value, T& slope_u,
                                              T& slope_v) {
    const T* base = volume + s.place;
    const T f00 = base[s.corner[0][0][l]], f01 = base[s.corner[0][1][l]];
    const T f10 = base[s.corner[1][0][l]], f11 = base[s.corner[1][1][l]];
    const T below = s.v.weight_below[l] * f00 + s.v.weight_above[l] * f01;
    const T above = s.v.weight_below[l] * f10 + s.v.weight_above[l] * f11;
    value = s.u.weight_below[l] * below + s.u.weight_above[l] * above;
    slope_u = s.u.slope_below[l] * below + s.u.slope_above[l] * above;
    slope_v = s.v.slope_below[l] * (s.u.weight_below[l] * f00 + s.u.weight_above[l] * f10) +
              s.v.slope_above[l] * (s.u.weight_below[l] * f01 + s.u.weight_above[l] * f11);
  }

  static Reading<T> reading_of(const SlabSample<T>& s, int l) {
    Reading<T> reading;
    for (int i = 0; i < 2; i++)
      for (int j = 0; j < 2; j++)
        reading.add(s.place + s.corner[i][j][l], s.u.weight(i)[l] * s.v.weight(j)[l]);
    return reading;
  }

  // The label of the voxel nearest to the sample of slab k.
  static int64_t label_of(const Line<T>& line, int l, int64_t k, T x, LabelReader<T>& labels) {
    T coordinate[3];
    coordinate[line.m] = T(k) + T(0.5);
    coordinate[line.u] = line.u_at(l, x);
    coordinate[line.v] = line.v_at(l, x);
    return labels.nearest(coordinate);
  }
};

}  // namespace
}  // namespace raygrad
