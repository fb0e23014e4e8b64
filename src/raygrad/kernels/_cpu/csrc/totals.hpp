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
#include "packet.hpp"

namespace raygrad {
namespace {

template <class T>
struct Totals {
  T value, u, ux, v, vx;
};

// A ray's place in the outputs.
template <class T>
struct Pixel {
  T* image;
  T* jacobian;  // six numbers, or null
};

// From derivatives in voxel coordinates to the world's. `stretch` is dI/d|world d| divided by |world d|.
template <class T>
RAYGRAD_INLINE void write_jacobian(const Problem<T>& p, const Packet<T>& packet, int l, const double by_source[3],
                                   const double by_target[3], double scale, double stretch, T* jacobian) {
  for (int i = 0; i < 3; i++) {
    double source = 0, target = 0;
    for (int a = 0; a < 3; a++) {
      source += p.world_to_voxel[a][i] * by_source[a];
      target += p.world_to_voxel[a][i] * by_target[a];
    }
    jacobian[i] = T(scale * source - stretch * packet.world_step[i][l]);
    jacobian[3 + i] = T(scale * target + stretch * packet.world_step[i][l]);
  }
}

// Derivatives across u or v from the sums, which are over what one unit of `factor` is worth.
RAYGRAD_INLINE void transverse(double sum, double sum_x, double factor, double start, double step, double& by_source,
                               double& by_target) {
  const double weighted = (sum_x - start * sum) / step;  // the sum weighted by the fraction a = (x - start) / step
  by_target = factor * weighted;
  by_source = factor * (sum - weighted);
}

// The integral of a ray marched along its main axis. `at_first`, `at_last`: f where the ray itself ends, 0 elsewhere.
// `planes`: the transverse sums are jumps at planes (Siddon), not slopes at samples.
template <class T>
void finish_line(const Problem<T>& p, const Packet<T>& packet, const Line<T>& line, int l, const Totals<T>& sums,
                 T at_first, T at_last, bool planes, Pixel<T> pixel) {
  const int m = line.m, u = line.u, v = line.v;
  const double start = packet.start[m][l] - double(line.origin), step = packet.step[m][l], step_u = packet.step[u][l],
               step_v = packet.step[v][l];
  const double per_x = 1 / std::fabs(step), integral = double(sums.value) * per_x, length = packet.length[l];
  *pixel.image = T(length * integral);
  if (!pixel.jacobian) return;
  const double sign = step > 0 ? 1 : -1;
  const double factor_u = planes ? (step_u != 0 ? sign / step_u : 0) : per_x;
  const double factor_v = planes ? (step_v != 0 ? sign / step_v : 0) : per_x;
  double by_source[3], by_target[3];
  transverse(sums.u, sums.ux, factor_u, start, step, by_source[u], by_target[u]);
  transverse(sums.v, sums.vx, factor_v, start, step, by_source[v], by_target[v]);
  const double at_source = step > 0 ? at_first : at_last, at_target = step > 0 ? at_last : at_first;
  by_source[m] = (integral - at_source - step_u * by_source[u] - step_v * by_source[v]) / step;
  by_target[m] = (at_target - integral - step_u * by_target[u] - step_v * by_target[v]) / step;
  write_jacobian(p, packet, l, by_source, by_target, length, integral / length, pixel.jacobian);
}

// The largest sample of a ray marched along its main axis: it lies at x, with slopes u and v of f across the ray.
template <class T>
void finish_line_maximum(const Problem<T>& p, const Packet<T>& packet, const Line<T>& line, int l, T value, T x,
                         T slope_u, T slope_v, Pixel<T> pixel) {
  *pixel.image = value;
  if (!pixel.jacobian) return;
  const int m = line.m, u = line.u, v = line.v;
  const double start = packet.start[m][l] - double(line.origin), step = packet.step[m][l];
  double by_source[3], by_target[3];
  transverse(slope_u, double(slope_u) * x, 1, start, step, by_source[u], by_target[u]);
  transverse(slope_v, double(slope_v) * x, 1, start, step, by_source[v], by_target[v]);
  by_source[m] = -(packet.step[u][l] * by_source[u] + packet.step[v][l] * by_source[v]) / step;
  by_target[m] = -(packet.step[u][l] * by_target[u] + packet.step[v][l] * by_target[v]) / step;
  write_jacobian(p, packet, l, by_source, by_target, 1.0, 0.0, pixel.jacobian);
}

// What trilinear samples add up: values, gradients g, and gradients weighted by each sample's fraction a.
template <class T>
struct PointTotals {
  T value, g[3], ga[3];
};

// `weight` is what one sample counts: the width of its step for an integral, 1 for the largest sample. The samples
// move with the interval [first, last] as well, whose ends lie on faces of the volume: sample i is at the fraction
// a = first + c (last - first), and a face across axis k at fraction a moves by (a - 1) / d_k and -a / d_k.
template <class T>
void finish_points(const Problem<T>& p, const Packet<T>& packet, double first, double last, int8_t first_end,
                   int8_t last_end, int l, const PointTotals<T>& sums, bool maximum, Pixel<T> pixel) {
  const double n = double(p.n_points), width = last - first, length = packet.length[l];
  const double weight = maximum ? 1 : width / n, integral = weight * double(sums.value);
  *pixel.image = T(maximum ? integral : length * integral);
  if (!pixel.jacobian) return;
  double by_source[3], by_target[3], along = 0, along_a = 0;
  for (int a = 0; a < 3; a++) {
    by_source[a] = weight * (double(sums.g[a]) - double(sums.ga[a]));
    by_target[a] = weight * double(sums.ga[a]);
    along += packet.step[a][l] * double(sums.g[a]);
    along_a += packet.step[a][l] * double(sums.ga[a]);
  }
  const double along_c = (along_a - first * along) / width;  // weighted by c
  const double stretch = maximum ? 0 : double(sums.value) / n;
  const double by_first = weight * (along - along_c) - stretch, by_last = weight * along_c + stretch;
  if (first_end != OWN_END) {
    by_source[first_end] += by_first * (first - 1) / packet.step[first_end][l];
    by_target[first_end] -= by_first * first / packet.step[first_end][l];
  }
  if (last_end != OWN_END) {
    by_source[last_end] += by_last * (last - 1) / packet.step[last_end][l];
    by_target[last_end] -= by_last * last / packet.step[last_end][l];
  }
  write_jacobian(p, packet, l, by_source, by_target, maximum ? 1.0 : length, maximum ? 0.0 : integral / length,
                 pixel.jacobian);
}

}  // namespace
}  // namespace raygrad
