// From what a march adds up along a ray to the line integral and its derivatives by the ray's two ends.
//
// With source s and target t = s + d in voxel coordinates, J(s, t) = integral of f(s + a d) over a in [0, 1], and
// I = |world d| J. Two facts make the derivatives cheap:
// - Across u and v the march adds up what changes when the ray is shifted: for Siddon the jump of f at each plane
//   that is crossed, for interpolation the slope of f at each sample. A shift of the source by e moves the point at
//   fraction a by (1 - a) e, one of the target by a e, so two sums per axis (plain, and weighted by x) are enough.
// - Along the ray nothing needs to be added up: moving the source by e d leaves the line where it is, shortens it and
//   loses e f(s): d . dJ/ds = J - f(s), and likewise d . dJ/dt = f(t) - J. That gives the derivative along m.
#pragma once
#include "lines.hpp"

namespace raygrad {
namespace {

// What a march by slabs adds up along a ray: values over x, and what changes across u and v, plain and by x.
template <class T>
struct LineTotals {
  T value, u, ux, v, vx;
};

// A ray's place in the outputs.
template <class T>
struct Pixel {
  T* image;
  T* jacobian;  // six numbers, or null
};

// The outputs of a march, all contiguous.
template <class T>
struct Output {
  const Problem<T>& p;
  T *image, *jacobian;

  Pixel<T> at(int64_t batch, int64_t channel, int64_t ray) const {
    const int64_t i = (batch * p.channels + channel) * p.rays + ray;
    return {image + i, jacobian ? jacobian + 6 * i : nullptr};
  }

  void clear(int64_t batch, int64_t ray) const {
    for (int64_t c = 0; c < p.channels; c++) {
      const Pixel<T> pixel = at(batch, c, ray);
      *pixel.image = 0;
      if (pixel.jacobian) std::memset(pixel.jacobian, 0, 6 * sizeof(T));
    }
  }
};

// The values of f where a ray itself begins and ends inside the volume, and their labels' channels; zeros where it runs
// on, or comes in from outside.
template <class T>
struct OwnEnds {
  T value[2]{0, 0};
  int64_t channel[2]{0, 0};

  T first(int64_t c) const { return channel[0] == c ? value[0] : T(0); }
  T last(int64_t c) const { return channel[1] == c ? value[1] : T(0); }
};

// Where a reading took its values from: up to eight voxels and their weights. What the adjoint of "max" scatters to.
template <class T>
struct Reading {
  int count = 0;
  int64_t voxel[8];
  T weight[8];

  void add(int64_t at, T w) { voxel[count] = at, weight[count] = w, count++; }
};

// From derivatives in voxel coordinates to the world's. `stretch` is dI/d|world d| divided by |world d|.
template <class T>
RAYGRAD_INLINE void write_jacobian(const Problem<T>& p, const Rays<T>& rays, int l, const double by_source[3],
                                   const double by_target[3], double scale, double stretch, T* jacobian) {
  for (int i = 0; i < 3; i++) {
    double source = 0, target = 0;
    for (int a = 0; a < 3; a++) {
      source += p.world_to_voxel[a][i] * by_source[a];
      target += p.world_to_voxel[a][i] * by_target[a];
    }
    jacobian[i] = T(scale * source - stretch * rays.world_step[i][l]);
    jacobian[3 + i] = T(scale * target + stretch * rays.world_step[i][l]);
  }
}

// Derivatives across u or v from the sums, which are over what one unit of `factor` is worth.
RAYGRAD_INLINE void across(double sum, double sum_x, double factor, double start, double step, double& by_source,
                               double& by_target) {
  const double weighted = (sum_x - start * sum) / step;  // the sum weighted by the fraction a = (x - start) / step
  by_target = factor * weighted;
  by_source = factor * (sum - weighted);
}

// The integral of a ray marched along its main axis. `at_first`, `at_last`: f where the ray itself ends, 0 elsewhere.
// `planes`: the sums across u and v are jumps at planes (Siddon), not slopes at samples.
template <class T>
void finish_line(const Problem<T>& p, const Rays<T>& rays, const Line<T>& line, int l, const LineTotals<T>& sums,
                 T at_first, T at_last, bool planes, Pixel<T> pixel) {
  const int m = line.m, u = line.u, v = line.v;
  const double start = rays.start[m][l] - double(line.origin), step = rays.step[m][l], step_u = rays.step[u][l],
               step_v = rays.step[v][l];
  const double per_x = 1 / std::fabs(step), integral = double(sums.value) * per_x, length = rays.length[l];
  *pixel.image = T(length * integral);
  if (!pixel.jacobian) return;
  const double sign = step > 0 ? 1 : -1;
  const double factor_u = planes ? (step_u != 0 ? sign / step_u : 0) : per_x;
  const double factor_v = planes ? (step_v != 0 ? sign / step_v : 0) : per_x;
  double by_source[3], by_target[3];
  across(sums.u, sums.ux, factor_u, start, step, by_source[u], by_target[u]);
  across(sums.v, sums.vx, factor_v, start, step, by_source[v], by_target[v]);
  const double at_source = step > 0 ? at_first : at_last, at_target = step > 0 ? at_last : at_first;
  by_source[m] = (integral - at_source - step_u * by_source[u] - step_v * by_source[v]) / step;
  by_target[m] = (at_target - integral - step_u * by_target[u] - step_v * by_target[v]) / step;
  write_jacobian(p, rays, l, by_source, by_target, length, integral / length, pixel.jacobian);
}

// The largest sample of a ray marched along its main axis: it lies at x, with slopes u and v of f across the ray.
template <class T>
void finish_line_maximum(const Problem<T>& p, const Rays<T>& rays, const Line<T>& line, int l, T value, T x,
                         T slope_u, T slope_v, Pixel<T> pixel) {
  *pixel.image = value;
  if (!pixel.jacobian) return;
  const int m = line.m, u = line.u, v = line.v;
  const double start = rays.start[m][l] - double(line.origin), step = rays.step[m][l];
  double by_source[3], by_target[3];
  across(slope_u, double(slope_u) * x, 1, start, step, by_source[u], by_target[u]);
  across(slope_v, double(slope_v) * x, 1, start, step, by_source[v], by_target[v]);
  by_source[m] = -(rays.step[u][l] * by_source[u] + rays.step[v][l] * by_source[v]) / step;
  by_target[m] = -(rays.step[u][l] * by_target[u] + rays.step[v][l] * by_target[v]) / step;
  write_jacobian(p, rays, l, by_source, by_target, 1.0, 0.0, pixel.jacobian);
}

}  // namespace
}  // namespace raygrad
