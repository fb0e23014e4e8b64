// The trilinear march: samples in the middles of equal steps, where a ray's values can differ from 0.
#pragma once
#include "interpolation.hpp"
#include "labels.hpp"
#include "memory.hpp"
#include "occupancy.hpp"
#include "rays.hpp"
#include "totals.hpp"

namespace raygrad {
namespace {

// Sample i of n lies at the middle of the i-th of n equal steps over [first, last], the part of the ray (as fractions
// of source to target) that can differ from zero.
template <class T>
struct Points {
  static constexpr int N = LANES<T>;
  bool hit;
  bool lane[N];
  double first[N], last[N];
  int8_t first_face[N], last_face[N];  // axis of the face that `first` and `last` lie on, or OWN_END
  Values<T> base[3], move[3];          // coordinates of sample i: base + (i + 1/2) move
  int64_t begin, end;                  // samples [begin, end) that can meet the box

  void set(const Problem<T>& p, const Rays<T>& rays, const Box& box) {
    hit = false;
    double earliest = 1e300, latest = -1e300;
    for (int l = 0; l < N; l++) {
      lane[l] = false;
      first[l] = last[l] = 0;
      first_face[l] = last_face[l] = OWN_END;
      for (int a = 0; a < 3; a++) base[a][l] = move[a][l] = 0;
      if (rays.axis[l] < 0) continue;
      double from = 0, to = 1;
      bool entered, left;
      for (int a = 0; a < 3; a++) {
        narrow(rays.start[a][l], rays.step[a][l], -0.5, double(p.shape[a]) + 0.5, from, to, entered, left);
        if (entered) first_face[l] = int8_t(a);
        if (left) last_face[l] = int8_t(a);
      }
      if (!(to > from)) continue;
      first[l] = from, last[l] = to;
      const double width = (to - from) / double(p.n_points);
      for (int a = 0; a < 3; a++) {
        base[a][l] = T(rays.start[a][l] + from * rays.step[a][l]);
        move[a][l] = T(width * rays.step[a][l]);
      }
      double near = from, far = to;
      for (int a = 0; a < 3; a++)
        narrow(rays.start[a][l], rays.step[a][l], double(box.low[a]) - 0.5, double(box.high[a]) + 0.5, near, far,
               entered, left);
      if (!(far > near)) continue;
      lane[l] = hit = true;
      earliest = least(earliest, (near - from) / width), latest = most(latest, (far - from) / width);
    }
    if (!hit) return;
    begin = most(int64_t(std::floor(earliest)) - 1, 0);
    end = least(int64_t(std::ceil(latest)) + 1, p.n_points);
  }

  // What the bricks hold that the packet's rays can meet between samples `from` and `to`.
  unsigned occupied_along(const Problem<T>& p, const uint8_t* bricks, int64_t from, int64_t to) const {
    int64_t low[3], high[3];
    for (int a = 0; a < 3; a++) {
      T least_of = T(1e30), most_of = T(-1e30);
      for (int l = 0; l < N; l++) {
        if (!lane[l]) continue;
        const T x = base[a][l] + move[a][l] * T(from), y = base[a][l] + move[a][l] * T(to);
        least_of = x < least_of ? x : least_of, least_of = y < least_of ? y : least_of;
        most_of = x > most_of ? x : most_of, most_of = y > most_of ? y : most_of;
      }
      low[a] = int64_t(std::floor(least_of - 1)), high[a] = int64_t(std::floor(most_of + 1));
    }
    return occupied_between(p, bricks, low, high);
  }
};

// One sample of each ray.
template <class T>
struct PointSample {
  int64_t i;
  Between<T> axis[3];
  Indices<T> corner[2][2][2];  // offsets from the volume's first voxel
  static constexpr int64_t place = 0;

  static constexpr int READS = 8;
  RAYGRAD_INLINE int reads() const { return READS; }
  RAYGRAD_INLINE Indices<T> read(int i) const { return corner[i / 4][i / 2 % 2][i % 2]; }
  RAYGRAD_INLINE int neighbour(int) const { return 0; }

  RAYGRAD_INLINE void set(const Problem<T>& p, const Points<T>& points, const Box& box, int64_t index) {
    i = index;
    const T middle = T(index) + T(0.5);
    for (int a = 0; a < 3; a++)
      axis[a].template set<false>(points.base[a] + points.move[a] * middle, Indices<T>{}, box.low[a], box.high[a]);
    for (int x = 0; x < 2; x++)
      for (int y = 0; y < 2; y++)
        for (int z = 0; z < 2; z++)
          corner[x][y][z] = axis[0].voxel(x) * splat_index<T>(p.stride[0]) +
                            axis[1].voxel(y) * splat_index<T>(p.stride[1]) +
                            axis[2].voxel(z) * splat_index<T>(p.stride[2]);
  }
};

// What samples add up: values, gradients g, and gradients weighted by each sample's fraction a.
template <class T>
struct PointTotals {
  T value, g[3], ga[3];
};

// The integral of samples, or the largest of them. `weight` is what one sample counts: the width of its step for an
// integral, 1 for the largest. The samples move with the interval [first, last] as well, whose ends lie on faces of the
// volume: sample i is at the fraction a = first + c (last - first), and a face across axis k at fraction a moves by
// (a - 1) / d_k and -a / d_k.
template <class T>
void finish_points(const Problem<T>& p, const Rays<T>& rays, const Points<T>& points, int l, const PointTotals<T>& sums,
                   Pixel<T> pixel) {
  const bool maximum = p.reduction == Reduction::max;
  const double first = points.first[l], last = points.last[l];
  const double n = double(p.n_points), width = last - first, length = rays.length[l];
  const double weight = maximum ? 1 : width / n, integral = weight * double(sums.value);
  *pixel.image = T(maximum ? integral : length * integral);
  if (!pixel.jacobian) return;
  double by_source[3], by_target[3], along = 0, along_a = 0;
  for (int a = 0; a < 3; a++) {
    by_source[a] = weight * (double(sums.g[a]) - double(sums.ga[a]));
    by_target[a] = weight * double(sums.ga[a]);
    along += rays.step[a][l] * double(sums.g[a]);
    along_a += rays.step[a][l] * double(sums.ga[a]);
  }
  const double along_c = (along_a - first * along) / width;  // weighted by c
  const double stretch = maximum ? 0 : double(sums.value) / n;
  const double by_first = weight * (along - along_c) - stretch, by_last = weight * along_c + stretch;
  const int8_t first_face = points.first_face[l], last_face = points.last_face[l];
  if (first_face != OWN_END) {
    by_source[first_face] += by_first * (first - 1) / rays.step[first_face][l];
    by_target[first_face] -= by_first * first / rays.step[first_face][l];
  }
  if (last_face != OWN_END) {
    by_source[last_face] += by_last * (last - 1) / rays.step[last_face][l];
    by_target[last_face] -= by_last * last / rays.step[last_face][l];
  }
  write_jacobian(p, rays, l, by_source, by_target, maximum ? 1.0 : length, maximum ? 0.0 : integral / length,
                 pixel.jacobian);
}

template <class T>
struct Trilinear {
  using Way = Points<T>;
  using Totals = PointTotals<T>;
  static constexpr int N = LANES<T>;

  template <class Visit>
  static RAYGRAD_INLINE void each_way(const Problem<T>& p, const Rays<T>& rays, const Box& box, Visit visit) {
    Points<T> points;
    points.set(p, rays, box);
    if (points.hit) visit(points);
  }

  template <class Visit>
  static RAYGRAD_INLINE void each_stretch_of(const Problem<T>& p, const uint8_t* bricks, const Points<T>& points,
                                             const Box& box, Visit visit) {
    PointSample<T> s;
    for (int64_t begin = points.begin; begin < points.end;) {
      int64_t end = points.end;
      unsigned occupied = p.brick_bits;
      if (bricks) {
        end = least(begin + BRICK, points.end);
        occupied = points.occupied_along(p, bricks, begin, end);
        if (!occupied) {
          begin = end;
          continue;
        }
      }
      visit(occupied, [&](auto step) __attribute__((always_inline)) {
        for (int64_t i = begin; i < end; i++) {
          s.set(p, points, box, i);
          step(s);
        }
      });
      begin = end;
    }
  }

  template <bool DERIVATIVES>
  struct Sums {
    Values<T> value{}, g[3]{}, ga[3]{}, first, width;

    Sums(const Problem<T>& p, const Points<T>& points) {
      for (int l = 0; l < N; l++) {
        first[l] = T(points.first[l]);
        width[l] = T((points.last[l] - points.first[l]) / double(p.n_points));
      }
    }

    RAYGRAD_INLINE void add(const T* volume, const PointSample<T>& s) {
      add_between(s, [&](int i) __attribute__((always_inline)) { return gather<T>(volume, s.read(i)); });
    }

    RAYGRAD_INLINE void take(const Values<T>* corners, const PointSample<T>& s, int) {
      add_between(s, [&](int i) __attribute__((always_inline)) { return corners[i]; });
    }

    template <class Corner>
    RAYGRAD_INLINE void add_between(const PointSample<T>& s, Corner corner) {
      Values<T> f, gradient[3];
      interpolate<DERIVATIVES>(s, corner, f, gradient);
      value += f;
      if constexpr (DERIVATIVES) {
        const Values<T> fraction = first + width * (T(s.i) + T(0.5));
        for (int a = 0; a < 3; a++) g[a] += gradient[a], ga[a] += gradient[a] * fraction;
      }
    }

    Totals lane(int l) const { return {value[l], {g[0][l], g[1][l], g[2][l]}, {ga[0][l], ga[1][l], ga[2][l]}}; }
  };

  static void add_by_label(const Problem<T>& p, const T* volume, const Points<T>& points, const PointSample<T>& s,
                           LabelReader<T>& labels, Totals* totals) {
    each_lane(p, volume, points, s, [&](int l, T value, const T g[3], T fraction) {
      Totals& t = totals[label_of(points, l, s.i, labels) * N + l];
      t.value += value;
      for (int a = 0; a < 3; a++) t.g[a] += g[a], t.ga[a] += g[a] * fraction;
    });
  }

  static void finish(const Problem<T>& p, const T*, const Rays<T>& rays, const Points<T>& points, int l,
                     LabelReader<T>*, Totals* totals, int64_t pitch, int64_t batch, const Output<T>& output) {
    for (int64_t c = 0; c < p.channels; c++)
      finish_points(p, rays, points, l, totals[c * pitch], output.at(batch, c, rays.ray[l]));
  }

  struct Largest {
    Totals best[N]{};

    RAYGRAD_INLINE void meet(const Problem<T>& p, const T* volume, const Points<T>& points, const PointSample<T>& s,
                             Reading<T>* reading) {
      each_lane(p, volume, points, s, [&](int l, T value, const T g[3], T fraction) {
        if (value <= best[l].value) return;
        best[l].value = value;
        for (int a = 0; a < 3; a++) best[l].g[a] = g[a], best[l].ga[a] = g[a] * fraction;
        if (reading) reading[l] = reading_of(s, l);
      });
    }

    void finish(const Problem<T>& p, const Rays<T>& rays, const Points<T>& points, int l, Pixel<T> pixel) const {
      finish_points(p, rays, points, l, best[l], pixel);
    }
  };

  static int64_t per_step(const Problem<T>&, const Points<T>&) { return 0; }

  static T millimetres(const Problem<T>& p, const Rays<T>& rays, const Points<T>& points, int l) {
    return T(rays.length[l] * (points.last[l] - points.first[l]) / double(p.n_points));
  }

  template <class Weights>
  static RAYGRAD_INLINE void scatter_to(T* gradient, const Points<T>& points, const PointSample<T>& s, Weights& weights,
                                        LabelReader<T>& labels) {
    weights.look_up([&](int l) { return label_of(points, l, s.i, labels); });
    for (int x = 0; x < 2; x++)
      for (int y = 0; y < 2; y++)
        for (int z = 0; z < 2; z++)
          scatter<T>(gradient, s.corner[x][y][z],
                     weights.weight * s.axis[0].weight(x) * s.axis[1].weight(y) * s.axis[2].weight(z));
  }

 private:
  // The value, and with derivatives the gradient, of a sample between the values at its corners.
  template <bool DERIVATIVES, class Corner>
  static RAYGRAD_INLINE void interpolate(const PointSample<T>& s, Corner corner, Values<T>& value,
                                         Values<T> gradient[3]) {
    value = Values<T>{};
    if constexpr (DERIVATIVES)
      for (int a = 0; a < 3; a++) gradient[a] = Values<T>{};
    for (int x = 0; x < 2; x++)
      for (int y = 0; y < 2; y++)
        for (int z = 0; z < 2; z++) {
          const Values<T> f = corner(4 * x + 2 * y + z);
          const Values<T> wx = s.axis[0].weight(x), wy = s.axis[1].weight(y), wz = s.axis[2].weight(z);
          value += f * (wx * wy * wz);
          if constexpr (DERIVATIVES) {
            gradient[0] += f * (s.axis[0].slope(x) * wy * wz);
            gradient[1] += f * (wx * s.axis[1].slope(y) * wz);
            gradient[2] += f * (wx * wy * s.axis[2].slope(z));
          }
        }
  }

  RAYGRAD_OUT_OF_LINE static void read_point(const T* volume, const PointSample<T>& s, Values<T>& value,
                                             Values<T> gradient[3]) {
    interpolate<true>(
        s, [&](int i) __attribute__((always_inline)) { return gather<T>(volume, s.read(i)); }, value, gradient);
  }

  // Visits a sample lane by lane: visit(lane, value, gradient, fraction of the way from source to target).
  template <class Visit>
  static RAYGRAD_INLINE void each_lane(const Problem<T>& p, const T* volume, const Points<T>& points,
                                       const PointSample<T>& s, Visit visit) {
    Values<T> f, gradient[3];
    read_point(volume, s, f, gradient);
    for (int l = 0; l < N; l++) {
      if (!points.lane[l]) continue;
      const double c = (double(s.i) + 0.5) / double(p.n_points);
      const T g[3] = {gradient[0][l], gradient[1][l], gradient[2][l]};
      visit(l, f[l], g, T(points.first[l] + c * (points.last[l] - points.first[l])));
    }
  }

  static Reading<T> reading_of(const PointSample<T>& s, int l) {
    Reading<T> reading;
    for (int x = 0; x < 2; x++)
      for (int y = 0; y < 2; y++)
        for (int z = 0; z < 2; z++)
          reading.add(s.corner[x][y][z][l], s.axis[0].weight(x)[l] * s.axis[1].weight(y)[l] * s.axis[2].weight(z)[l]);
    return reading;
  }

  // The label of the voxel nearest to sample i.
  static int64_t label_of(const Points<T>& points, int l, int64_t i, LabelReader<T>& labels) {
    T coordinate[3];
    for (int a = 0; a < 3; a++) coordinate[a] = points.base[a][l] + points.move[a][l] * (T(i) + T(0.5));
    return labels.nearest(coordinate);
  }
};

}  // namespace
}  // namespace raygrad
