// Voxel-driven back projection: every voxel reads each image where it projects to, weighted by its distance.
//
// Voxels are taken in runs along one axis. Where that axis runs along the detector's columns (a circular scan about
// it) a run falls on one line of the image at one depth: the two image lines beside it are blended once, and what is
// left is linear interpolation at equal steps. All other views divide and read four pixels for every voxel.
//
// Coordinates here are those of the caller: voxel and pixel centres at integers.
#pragma once
#include <cmath>
#ifdef _OPENMP
#include <omp.h>
#endif

#include "memory.hpp"

namespace raygrad {
namespace {

constexpr int64_t TILE_FAST = 16, TILE_SLOW = 8, TILE_RUN = 256;  // voxels of a tile, which stays in the L2 cache
constexpr int64_t COPIED_BYTES = int64_t(16) << 20;               // images at a time, which stay in the L3 cache
constexpr int64_t CHUNK = 64;                                     // voxels of a run that share a base in double
constexpr double LONGEST_PERMUTED_STEP = 1.9;                     // pixels per voxel for which two vectors suffice


// floor for numbers that fit an index
RAYGRAD_INLINE int64_t floor_of(double x) {
  const int64_t i = int64_t(x);
  return i - (double(i) > x);
}

// One image as the kernel reads it: lines of pixels with zeros around, copied so that a line runs the way the voxels'
// runs do. The maps are rows of voxel_to_pixel, their columns in the order slow, fast, run, 1.
template <class T>
struct View {
  static constexpr int64_t BEFORE = 1, AFTER = LANES<T> + 1;  // zeros around each line; one line before, two after

  T* copy;
  int64_t lines, length, pitch;
  double to_line[4], to_along[4], to_depth[4];
  double weight;  // the squared distance from the source to the axis
  bool transposed, steady;

  static int64_t copied(int64_t lines, int64_t length) { return (lines + 3) * (length + BEFORE + AFTER); }
  T* pixel(int64_t line, int64_t along) const { return copy + (line + 1) * pitch + along + BEFORE; }
};

struct Homogeneous {
  double line, along, depth;
};

template <class T>
RAYGRAD_INLINE Homogeneous at(const View<T>& v, double slow, double fast, double run) {
  const auto row = [&](const double (&m)[4]) { return m[0] * slow + m[1] * fast + m[2] * run + m[3]; };
  return {row(v.to_line), row(v.to_along), row(v.to_depth)};
}

// The order of axes in which a tile is taken: `run` is what runs go along.
struct AxisOrder {
  int slow, fast, run;
};

template <class T>
void lay_out(View<T>& view, const VoxelDriven<T>& p, int64_t index, const AxisOrder& order, bool transposed) {
  view.transposed = transposed;
  view.lines = transposed ? p.width : p.height, view.length = transposed ? p.height : p.width;
  view.pitch = view.length + View<T>::BEFORE + View<T>::AFTER;
  view.weight = p.distance[index] * p.distance[index];
  const double* matrix = p.voxel_to_pixel + 12 * index;
  const int from[4] = {order.slow, order.fast, order.run, 3};
  for (int i = 0; i < 4; i++) {
    view.to_line[i] = matrix[(transposed ? 0 : 4) + from[i]];
    view.to_along[i] = matrix[(transposed ? 4 : 0) + from[i]];
    view.to_depth[i] = matrix[8 + from[i]];
  }
}

// Whether line and depth stay the same along every run. Poses are rounded, so a drift of pixels that the dtype can
// hardly tell is let pass, and shared out to both ends by taking the middle of the run for all of it.
template <class T>
bool is_steady(const View<T>& view, const int64_t (&size)[3]) {
  double nearest = INFINITY;
  for (int corner = 0; corner < 8; corner++) {
    const auto end = [&](int axis) { return corner >> axis & 1 ? double(size[axis] - 1) : 0.0; };
    nearest = std::fmin(nearest, at(view, end(0), end(1), end(2)).depth);
  }
  if (!(nearest > 0)) return false;
  const double farthest = double(view.lines > view.length ? view.lines : view.length);
  const double drift = std::fabs(view.to_line[2]) + farthest * std::fabs(view.to_depth[2]);
  return drift * double(size[2]) <= (sizeof(T) == 4 ? 1e-4 : 1e-10) * nearest;
}

template <class T>
void copy_image(const View<T>& view, const VoxelDriven<T>& p, int64_t index) {
  const T* image = p.images + index * p.image_stride[0];
  const int64_t across = p.image_stride[view.transposed ? 2 : 1], along = p.image_stride[view.transposed ? 1 : 2];
  for (int64_t i = 0; i < View<T>::copied(view.lines, view.length); i++) view.copy[i] = 0;
  constexpr int64_t BLOCK = 32;
  for (int64_t l0 = 0; l0 < view.lines; l0 += BLOCK)
    for (int64_t a0 = 0; a0 < view.length; a0 += BLOCK)
      for (int64_t l = l0; l < least(l0 + BLOCK, view.lines); l++) {
        T* to = view.pixel(l, 0);
        const T* from = image + l * across;
        for (int64_t a = a0; a < least(a0 + BLOCK, view.length); a++) to[a] = from[a * along];
      }
}

// A thread's lines between two of an image's, with enough zeros around for any vector that touches the line: one for
// images taken by rows and one for those taken by columns, whose zeros begin elsewhere.
template <class T>
struct BlendedLines {
  static constexpr int64_t MARGIN = 6 * LANES<T>;
  T *row, *column;  // position 0

  static int64_t size(int64_t height, int64_t width) { return height + width + 4 * MARGIN; }
  BlendedLines(T* memory, int64_t height, int64_t width)
      : row(memory + MARGIN), column(memory + width + 3 * MARGIN) {
    for (int64_t i = 0; i < size(height, width); i++) memory[i] = 0;
  }
};

// Adds to a run's sums the line between image lines, read at along, along + step, ...
template <class T>
void add_steady_run(T* sums, int64_t count, const View<T>& view, double line, double along, double step, double weight,
                    T* blended) {
  constexpr int64_t N = LANES<T>;
  const double length = double(view.length);
  if (!(line > -1 && line < double(view.lines))) return;
  int64_t first = 0, last = count;
  if (std::fabs(step) * double(count) > 1e-6) {  // voxels from which the line can be seen
    const double a = (-1 - along) / step, b = (length - along) / step;
    const double begin = std::fmin(a, b), end = std::fmax(a, b);
    if (!(begin < double(count) && end > 0)) return;
    if (begin > 0) first = floor_of(begin) / N * N;
    if (end < double(count)) last = floor_of(end) + 1;
  } else if (!(along > -2 && along < length + 1)) {
    return;
  }
  const double ends[2] = {along + double(first) * step,
                          along + double((last - first + N - 1) / N * N + first - 1) * step};
  const int64_t low = floor_of(within(std::fmin(ends[0], ends[1]), 0.0, length));
  const int64_t high = floor_of(within(std::fmax(ends[0], ends[1]), -2.0, length - 2)) + 2;
  const int64_t below = floor_of(line);
  const T share = T(line - double(below));
  const Values<T> weight_below = splat(T(weight) * (1 - share)), weight_above = splat(T(weight) * share);
  const T *pixels_below = view.pixel(below, 0), *pixels_above = view.pixel(below + 1, 0);
  for (int64_t i = low; i < high; i += N)
    store<T>(blended + i, weight_below * load<T>(pixels_below + i) + weight_above * load<T>(pixels_above + i));

  const Values<T> steps = lane_numbers<T>() * splat(T(step));
  if (std::fabs(step) <= LONGEST_PERMUTED_STEP) {
    const double to_lowest = step < 0 ? double(N - 1) * step : 0;
    for (int64_t t = first; t < last; t += N) {
      const double start = along + double(t) * step;
      const int64_t base = floor_of(start + to_lowest);
      const Values<T> position = splat(T(start - double(base))) + steps;
      const Indices<T> index = floor_index<T>(position);
      const Window<T, 2> pixels(blended + base);
      const Values<T> f0 = pixels[index], f1 = pixels[index + 1];
      store<T>(sums + t, load<T>(sums + t) + (f0 + (position - to_values<T>(index)) * (f1 - f0)));
    }
    return;
  }
  for (int64_t t = first; t < last; t += N) {
    const double start = along + double(t) * step;
    const int64_t base = floor_of(within(start, -1.0, length));
    const Values<T> position =
        clamp(splat(T(start - double(base))) + steps, splat(T(-1 - base)), splat(T(view.length - base)));
    const Indices<T> index = floor_index<T>(position);
    Values<T> f0, f1;
    gather_pair<T>(blended + base, index, f0, f1);
    store<T>(sums + t, load<T>(sums + t) + (f0 + (position - to_values<T>(index)) * (f1 - f0)));
  }
}

// Adds to a chunk's sums what the image holds at start, start + step, ...: one division and four pixels a voxel.
template <class T>
void add_chunk(T* sums, int64_t count, const View<T>& view, const Homogeneous& start, const Homogeneous& step) {
  constexpr int64_t N = LANES<T>;
  const auto after = [&](double n) -> Homogeneous {
    return {start.line + n * step.line, start.along + n * step.along, start.depth + n * step.depth};
  };
  const Homogeneous end = after(double(count - 1));
  const double lines = double(view.lines), length = double(view.length);
  if (start.depth <= 0 && end.depth <= 0) return;
  if (start.depth > 0 && end.depth > 0) {  // a straight piece of the image: outside if both ends are, on the same side
    const auto outside = [&](double a, double b, double size) {
      return (a <= -start.depth && b <= -end.depth) || (a >= size * start.depth && b >= size * end.depth);
    };
    if (outside(start.line, end.line, lines) || outside(start.along, end.along, length)) return;
  }
  // Positions are counted from a pixel nearby, so that float has digits enough for them.
  const Homogeneous middle = after(0.5 * double(count));
  int64_t base_line = 0, base_along = 0;
  if (middle.depth > 0) {
    base_line = floor_of(within(middle.line / middle.depth, -1.0, lines));
    base_along = floor_of(within(middle.along / middle.depth, -1.0, length));
  }
  const Values<T> line0 = splat(T(start.line - double(base_line) * start.depth));
  const Values<T> line_step = splat(T(step.line - double(base_line) * step.depth));
  const Values<T> along0 = splat(T(start.along - double(base_along) * start.depth));
  const Values<T> along_step = splat(T(step.along - double(base_along) * step.depth));
  const Values<T> depth0 = splat(T(start.depth)), depth_step = splat(T(step.depth));
  const Values<T> lowest_line = splat(T(-1 - base_line)), highest_line = splat(T(view.lines - base_line));
  const Values<T> lowest_along = splat(T(-1 - base_along)), highest_along = splat(T(view.length - base_along));
  const Values<T> weight = splat(T(view.weight)), zero{};
  const Indices<T> pitch = splat_index<T>(view.pitch);
  const T* pixels = view.pixel(base_line, base_along);
  Values<T> n = lane_numbers<T>();
  for (int64_t t = 0; t < count; t += N, n += splat(T(N))) {
    const Values<T> depth = depth0 + n * depth_step;
    const Values<T> per_depth = splat(T(1)) / depth;
    const Values<T> line = clamp((line0 + n * line_step) * per_depth, lowest_line, highest_line);
    const Values<T> along = clamp((along0 + n * along_step) * per_depth, lowest_along, highest_along);
    const Indices<T> i = floor_index<T>(line), j = floor_index<T>(along);
    const Values<T> share_line = line - to_values<T>(i), share_along = along - to_values<T>(j);
    Values<T> f00, f01, f10, f11;
    const Indices<T> corner = i * pitch + j;
    gather_pair<T>(pixels, corner, f00, f01);
    gather_pair<T>(pixels + view.pitch, corner, f10, f11);
    const Values<T> below = f00 + share_along * (f01 - f00), above = f10 + share_along * (f11 - f10);
    const Values<T> factor = depth > zero ? weight * per_depth * per_depth : zero;
    store<T>(sums + t, load<T>(sums + t) + factor * (below + share_line * (above - below)));
  }
}

template <class T>
void add_run(T* sums, int64_t count, const View<T>& view, double slow, double fast, double begin,
             const BlendedLines<T>& blended) {
  const Homogeneous step = {view.to_line[2], view.to_along[2], view.to_depth[2]};
  if (view.steady) {
    const Homogeneous start = at(view, slow, fast, begin), middle = at(view, slow, fast, begin + 0.5 * double(count));
    const double per_depth = 1 / middle.depth;
    add_steady_run(sums, count, view, middle.line * per_depth, start.along * per_depth, step.along * per_depth,
                   view.weight * per_depth * per_depth, view.transposed ? blended.column : blended.row);
    return;
  }
  for (int64_t t = 0; t < count; t += CHUNK)
    add_chunk(sums + t, least(CHUNK, count - t), view, at(view, slow, fast, begin + double(t)), step);
}

// The axis along which most views are steady, or else that of contiguous memory.
template <class T>
AxisOrder choose_axes(const VoxelDriven<T>& p) {
  const auto ordered = [&](int run) -> AxisOrder {
    const int a = (run + 1) % 3, b = (run + 2) % 3;
    return std::llabs(p.stride[a]) < std::llabs(p.stride[b]) ? AxisOrder{b, a, run} : AxisOrder{a, b, run};
  };
  AxisOrder best = ordered(0);
  for (int run = 1; run < 3; run++)
    if (std::llabs(p.stride[run]) < std::llabs(p.stride[best.run])) best = ordered(run);
  int64_t most = 0;
  for (int run = 0; run < 3; run++) {
    const AxisOrder order = ordered(run);
    const int64_t size[3] = {p.shape[order.slow], p.shape[order.fast], p.shape[run]};
    int64_t steady = 0;
    for (int64_t i = 0; i < 2 * p.views; i++) {
      View<T> view{};
      lay_out(view, p, i / 2, order, i % 2 == 1);
      steady += is_steady(view, size);
    }
    if (steady > most) most = steady, best = order;
  }
  return best;
}

template <class T>
Status add_voxel_driven(const VoxelDriven<T>& p) {
  const AxisOrder order = choose_axes(p);
  const int64_t size[3] = {p.shape[order.slow], p.shape[order.fast], p.shape[order.run]};
  const int64_t stride[3] = {p.stride[order.slow], p.stride[order.fast], p.stride[order.run]};
  const int64_t larger_copy = View<T>::copied(p.height, p.width) > View<T>::copied(p.width, p.height)
                                  ? View<T>::copied(p.height, p.width)
                                  : View<T>::copied(p.width, p.height);
  const int64_t at_once = int64_t(clamp_to(COPIED_BYTES / (larger_copy * int64_t(sizeof(T))), 1, p.views));
  const int64_t run_pitch = least(TILE_RUN, (size[2] + LANES<T> - 1) / LANES<T> * LANES<T>) + LANES<T>;
  const int64_t own = TILE_FAST * TILE_SLOW * run_pitch + BlendedLines<T>::size(p.height, p.width);
  const int64_t tiles[3] = {(size[0] + TILE_SLOW - 1) / TILE_SLOW, (size[1] + TILE_FAST - 1) / TILE_FAST,
                            (size[2] + TILE_RUN - 1) / TILE_RUN};
  const int64_t tile_count = tiles[0] * tiles[1] * tiles[2];
  const int threads = int(clamp_to(tile_count, 1, p.threads));
  Buffer<View<T>> views(at_once);
  Buffer<T> copies(at_once * larger_copy), scratch(threads * own);
  if (!views.data || !copies.data || !scratch.data) return OUT_OF_MEMORY;

  for (int64_t begin = 0; begin < p.views; begin += at_once) {
    const int64_t count = least(at_once, p.views - begin);
#pragma omp parallel num_threads(threads)
    {
#ifdef _OPENMP
      T* const memory = scratch.data + omp_get_thread_num() * own;
#else
      T* const memory = scratch.data;
#endif
      const BlendedLines<T> blended(memory + TILE_FAST * TILE_SLOW * run_pitch, p.height, p.width);
#pragma omp for schedule(static)
      for (int64_t i = 0; i < count; i++) {
        View<T>& view = views.data[i];
        view.copy = copies.data + i * larger_copy;
        lay_out(view, p, begin + i, order, true);
        view.steady = is_steady(view, size);
        if (!view.steady) lay_out(view, p, begin + i, order, false), view.steady = is_steady(view, size);
        copy_image(view, p, begin + i);
      }
#pragma omp for schedule(dynamic, 1)
      for (int64_t tile = 0; tile < tile_count; tile++) {
        if (ended(p)) continue;
        const int64_t first[3] = {tile / (tiles[1] * tiles[2]) * TILE_SLOW, tile / tiles[2] % tiles[1] * TILE_FAST,
                                  tile % tiles[2] * TILE_RUN};
        const int64_t n[3] = {least(TILE_SLOW, size[0] - first[0]), least(TILE_FAST, size[1] - first[1]),
                              least(TILE_RUN, size[2] - first[2])};
        for (int64_t i = 0; i < TILE_FAST * TILE_SLOW * run_pitch; i++) memory[i] = 0;
        for (int64_t v = 0; v < count; v++)
          for (int64_t s = 0; s < n[0]; s++)
            for (int64_t f = 0; f < n[1]; f++)
              add_run(memory + (s * TILE_FAST + f) * run_pitch, n[2], views.data[v], double(first[0] + s),
                      double(first[1] + f), double(first[2]), blended);
        for (int64_t s = 0; s < n[0]; s++) {
          T* plane = p.volume + (first[0] + s) * stride[0] + first[1] * stride[1] + first[2] * stride[2];
          const T* sums = memory + s * TILE_FAST * run_pitch;
          if (stride[2] == 1)
            for (int64_t f = 0; f < n[1]; f++)
              for (int64_t r = 0; r < n[2]; r++) plane[f * stride[1] + r] += sums[f * run_pitch + r];
          else
            for (int64_t r = 0; r < n[2]; r++)
              for (int64_t f = 0; f < n[1]; f++) plane[f * stride[1] + r * stride[2]] += sums[f * run_pitch + r];
        }
      }
    }
  }
  return OK;
}

}  // namespace
}  // namespace raygrad
