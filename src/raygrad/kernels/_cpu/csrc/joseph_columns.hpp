// Joseph's march, and its adjoint, for images whose columns stand along the volume's contiguous axis, as in a scan
// about that axis; other images go by packets.
//
// The rays of one column of pixels then differ along that axis alone: they meet a slab of their main axis at one place
// across it, between the same two lines of voxels. What is left of the bilinear sample is a linear one along the two
// lines' mean, at equal steps from row to row. So the lines are blended once for all rows, and in the adjoint a voxel
// looks up the few rows that reach it: no two lanes write to one voxel, and lines are read and written in vectors.
#pragma once
#include <cstring>
#include <type_traits>

#include "adjoint.hpp"
#include "columns.hpp"
#include "joseph.hpp"
#include "together.hpp"

namespace raygrad {
namespace {

// A column's pixels, and a line's voxels, lie between so many zeros, which whatever reads beyond them finds.
template <class T>
constexpr int64_t PADDING = 4 * LANES<T>;

// Where a column's rays cross one slab of their main axis.
struct Crossing {
  int64_t line;         // the voxel before it, across the column, whose neighbour is the other one
  double before, after;  // weights of the two lines: 0 beyond the box, times the share of the slab that the rays fill
  double first, per_row;  // where the rays are along the column, with voxel centres at integers
};

// Ask for the two lines of voxels that a column crosses a few slabs on: they lie too far apart for the hardware to
// guess.
template <class T>
RAYGRAD_INLINE void prefetch_lines(const Problem<T>& p, const T* volume, const Column<T>& column, const Box& box,
                                   int64_t k, int64_t begin, int64_t end) {
  constexpr int64_t AHEAD = 2, CACHE_LINE = 64 / int64_t(sizeof(T));
  if (k + AHEAD >= box.high[column.m]) return;
  const int64_t line = int64_t(std::floor(column.base_u + column.slope_u * (double(k + AHEAD) + 0.5) - 0.5));
  if (line < box.low[column.u] || line + 1 >= box.high[column.u]) return;
  const T* from = volume + (k + AHEAD) * p.stride[column.m] + line * p.stride[column.u];
  for (int64_t i = begin; i < end; i += CACHE_LINE) {
    __builtin_prefetch(from + i);
    __builtin_prefetch(from + p.stride[column.u] + i);
  }
}

// Visit the slabs that a column's rays cross inside a box: visit(k, crossing).
template <class T, class Visit>
RAYGRAD_INLINE void walk_column(const Column<T>& column, const Box& box, Visit visit) {
  const int m = column.m, u = column.u;
  const double from = most(least(column.start_m, column.start_m + column.step_m), double(box.low[m]));
  const double to = least(most(column.start_m, column.start_m + column.step_m), double(box.high[m]));
  double near = std::floor(from), far = std::ceil(to);
  bool entered, left;
  narrow(column.base_u, column.slope_u, double(box.low[u]) - 0.5, double(box.high[u]) + 0.5, near, far, entered, left);
  if (!(to > from && far > near)) return;
  const int64_t begin = most(int64_t(std::floor(near)), box.low[m]), end = least(int64_t(std::ceil(far)), box.high[m]);
  for (int64_t k = begin; k < end; k++) {
    const double x = double(k) + 0.5, share = least(double(k + 1), to) - most(double(k), from);
    const double at = column.base_u + column.slope_u * x - 0.5, whole = std::floor(at);
    Crossing crossing;
    crossing.line = int64_t(whole);
    const bool has_before = crossing.line >= box.low[u] && crossing.line < box.high[u];
    const bool has_after = crossing.line + 1 >= box.low[u] && crossing.line + 1 < box.high[u];
    if (!(share > 0) || !(has_before || has_after)) continue;
    crossing.before = has_before ? (1 - (at - whole)) * share : 0;
    crossing.after = has_after ? (at - whole) * share : 0;
    const double fraction = (x - column.start_m) / column.step_m;
    crossing.first = column.start + fraction * column.step - 0.5;
    crossing.per_row = column.start_per_row + fraction * column.step_per_row;
    visit(k, crossing);
  }
}

// The rows, of `height`, that can be between voxels -1 and `length` of a line; false if there are none.
RAYGRAD_INLINE bool rows_that_meet(const Crossing& c, int64_t length, int64_t height, int64_t& first, int64_t& last) {
  double low = 0, high = double(height - 1);
  bool entered, left;
  narrow(c.first, c.per_row, -1.0, double(length), low, high, entered, left);
  if (!(high >= low)) return false;
  first = int64_t(low), last = least(int64_t(high) + 1, height - 1);
  return true;
}

// Adds a blended line, read between its voxels, to the rows' sums.
template <class T>
RAYGRAD_INLINE void read_line(const Crossing& c, const T* blended, int64_t length, int64_t first, int64_t last,
                              T* sums) {
  constexpr int64_t N = LANES<T>;
  const Values<T> steps = lane_numbers<T>() * T(c.per_row);
  const double to_lowest = c.per_row < 0 ? double(N - 1) * c.per_row : 0;
  const bool near = std::fabs(c.per_row) * double(N - 1) <= double(2 * N - 3);
  for (int64_t row = first; row <= last; row += N) {
    const double at = c.first + c.per_row * double(row);
    const double base = least(most(std::floor(at + to_lowest), -1.0), double(length - 1));
    const Values<T> position = clamp(steps + T(at - base), splat<T>(T(-1 - base)), splat<T>(T(double(length) - base)));
    const Indices<T> voxel = smaller(floor_index<T>(position), splat_index<T>(length - 1 - int64_t(base)));
    const T* from = blended + int64_t(base);
    Values<T> below, above;
    if (near) {
      const Window<T, 2> voxels(from);
      below = voxels[voxel], above = voxels[voxel + 1];
    } else {
      gather_pair<T>(from, voxel, below, above);
    }
    store<T>(sums + row, load<T>(sums + row) + below + (position - to_values<T>(voxel)) * (above - below));
  }
}

template <class T>
void blend(T* blended, const T* before, const T* after, T weight_before, T weight_after, int64_t begin, int64_t end) {
  int64_t i = begin;
  for (; i + LANES<T> <= end; i += LANES<T>)
    store<T>(blended + i, load<T>(before + i) * weight_before + load<T>(after + i) * weight_after);
  for (; i < end; i++) blended[i] = before[i] * weight_before + after[i] * weight_after;
}

// Line integrals of one column of pixels: sums[row].
template <class T>
void sum_column(const Problem<T>& p, const T* volume, const uint8_t* bricks, const Column<T>& column,
                const ColumnLayout& layout, T* blended, T* sums) {
  const int64_t length = p.shape[layout.along], stride = p.stride[column.u];
  walk_column(column, whole(p), [&](int64_t k, const Crossing& c) {
    int64_t first, last;
    if (!rows_that_meet(c, length, layout.height, first, last)) return;
    const double ends[2] = {c.first + c.per_row * double(first), c.first + c.per_row * double(last)};
    const int64_t begin = most(int64_t(std::floor(most(least(ends[0], ends[1]), -1.0))), 0);
    const int64_t end = least(int64_t(std::floor(least(most(ends[0], ends[1]), double(length)))) + 2, length);
    if (bricks) {
      int64_t low[3], high[3];
      low[column.m] = high[column.m] = k;
      low[column.u] = c.line, high[column.u] = c.line + 1;
      low[layout.along] = begin, high[layout.along] = end - 1;
      if (!occupied_between(p, bricks, low, high)) return;
    }
    prefetch_lines(p, volume, column, whole(p), k, begin, end);
    const T* before = volume + k * p.stride[column.m] + c.line * stride;
    const T* after = before + stride;
    if (c.before == 0) before = after;  // which may be outside the volume
    if (c.after == 0) after = before;
    blend(blended, before, after, T(c.before), T(c.after), begin, end);
    read_line(c, blended, length, first, last, sums);
  });
}

// Line integrals of all columns.
template <class T>
Status march_columns(const Problem<T>& p, const ColumnLayout& layout, T* image) {
  const int64_t length = p.shape[layout.along];
  int status = OK;
#pragma omp parallel num_threads(threads_for(p.batch* layout.width, p.threads)) reduction(| : status)
  {
    Buffer<T> line(length + 2 * PADDING<T>), sums(layout.height + LANES<T>);
    if (!line.data || !sums.data) status |= OUT_OF_MEMORY;
    else std::memset(line.data, 0, size_t(length + 2 * PADDING<T>) * sizeof(T));
#pragma omp for schedule(dynamic, 4)
    for (int64_t i = 0; i < p.batch * layout.width; i++) {
      if (!line.data || !sums.data || ended(p)) continue;
      const int64_t batch = i / layout.width, number = i % layout.width;
      std::memset(sums.data, 0, size_t(layout.height) * sizeof(T));
      Column<T> column;
      column.set(p, batch, number, layout);
      const uint8_t* bricks = p.bricks ? p.bricks + batch * p.bricks_batch_stride : nullptr;
      const T* volume = p.volume + batch * p.volume_batch_stride;
      sum_column(p, volume, bricks, column, layout, line.data + PADDING<T>, sums.data);
      for (int64_t row = 0; row < layout.height; row++)
        image[batch * p.rays + row * layout.width + number] = sums.data[row] * T(column.millimetres_per_slab(row));
    }
  }
  return Status(status);
}

template <class T>
RAYGRAD_INLINE Values<T> hat(Values<T> x) {
  const Values<T> zero{};
  return larger(T(1) - (x < zero ? -x : x), zero);
}

// What the rows leave in a vector of voxels, from `begin` on: each row's weight times the hat of its distance. The rows
// that reach voxel j are those between (j - 1 - first) / per_row and (j + 1 - first) / per_row, at most `taps`.
template <class T>
struct RowsOfLine {
  const Crossing& c;
  const T* weights;  // between zeros, PADDING on both sides
  int64_t height, taps;
  double inverse, to_lowest;  // rows per voxel, and what takes the first voxel's first row to the lowest of a vector's
  int vectors;                // of weights that a vector of voxels can need

  RowsOfLine(const Crossing& crossing, const T* weights_of_rows, int64_t rows)
      : c(crossing), weights(weights_of_rows), height(rows) {
    constexpr int N = LANES<T>;
    inverse = 1 / c.per_row;
    vectors = 0;
    if (!(2 * std::fabs(inverse) < double(height))) return;  // every row may reach every voxel
    taps = int64_t(std::ceil(2 * std::fabs(inverse)));
    to_lowest = inverse < 0 ? double(N - 1) * inverse : 0;
    const double span = double(N - 1) * std::fabs(inverse) + double(taps) + 1;
    vectors = span <= 2 * N ? 2 : span <= 4 * N ? 4 : -1;
  }

  RAYGRAD_INLINE Values<T> at(int64_t begin) const {
    if (vectors == 0) {
      Values<T> sum{};
      for (int64_t row = 0; row < height; row++)
        sum += hat<T>(T(c.first + c.per_row * double(row) - double(begin)) - lane_numbers<T>()) * weights[row];
      return sum;
    }
    const double earliest = (double(begin) - (c.per_row > 0 ? 1 : -1) - c.first) * inverse;
    const double base = std::floor(earliest + to_lowest) + 1;
    if (base > double(height - 1) || base + double(4 * LANES<T>) <= 0) {
      if (vectors > 0) return Values<T>{};
    }
    if (vectors == 2) return sum<Window<T, 2>>(begin, earliest, base);
    if (vectors == 4) return sum<Window<T, 4>>(begin, earliest, base);
    return sum<Clamped>(begin, earliest, base);
  }

 private:
  struct Clamped {};

  template <class Source>
  RAYGRAD_INLINE Values<T> sum(int64_t begin, double earliest, double base) const {
    Indices<T> row = floor_index<T>(lane_numbers<T>() * T(inverse) + T(earliest - base)) + 1;
    Values<T> distance = to_values<T>(row) * T(c.per_row) +
                         (T(c.first + c.per_row * base - double(begin)) - lane_numbers<T>());
    Values<T> sum{};
    if constexpr (std::is_same_v<Source, Clamped>) {
      const Indices<T> low = splat_index<T>(-1) - Integer<T>(base), high = splat_index<T>(height) - Integer<T>(base);
      for (int64_t tap = 0; tap < taps; tap++, row += 1, distance += T(c.per_row))
        sum += hat<T>(distance) * gather<T>(weights + int64_t(base), clamp(row, low, high));
    } else {
      const Source source(weights + int64_t(base));
      for (int64_t tap = 0; tap < taps; tap++, row += 1, distance += T(c.per_row))
        sum += hat<T>(distance) * source[row];
    }
    return sum;
  }
};

// Adds what a column of rays leaves in the lines of a box.
template <class T>
void scatter_column(const Problem<T>& p, T* gradient, const Column<T>& column, const ColumnLayout& layout,
                    const Box& box, const T* weights) {
  constexpr int64_t N = LANES<T>;
  const int64_t length = p.shape[layout.along], stride = p.stride[column.u];
  walk_column(column, box, [&](int64_t k, const Crossing& c) {
    const RowsOfLine<T> rows(c, weights, layout.height);
    const double ends[2] = {c.first, c.first + c.per_row * double(layout.height - 1)};
    const int64_t begin = most(int64_t(std::floor(most(least(ends[0], ends[1]), -1.0))), 0);
    const int64_t end = least(int64_t(std::floor(least(most(ends[0], ends[1]), double(length)))) + 2, length);
    prefetch_lines(p, static_cast<const T*>(gradient), column, box, k, begin, end);
    T* before = gradient + k * p.stride[column.m] + c.line * stride;
    T* after = before + stride;
    const T weight_before = T(c.before), weight_after = T(c.after);
    for (int64_t i = begin; i < end; i += N) {
      const Values<T> sum = rows.at(i);
      if (i + N <= length) {
        if (weight_before != 0) store<T>(before + i, load<T>(before + i) + sum * weight_before);
        if (weight_after != 0) store<T>(after + i, load<T>(after + i) + sum * weight_after);
        continue;
      }
      for (int64_t l = 0; i + l < length; l++) {
        if (weight_before != 0) before[i + l] += sum[l] * weight_before;
        if (weight_after != 0) after[i + l] += sum[l] * weight_after;
      }
    }
  });
}

// The cotangents column by column, times the length that a ray has in a slab, and padded with zeros: row r of column c
// of image b at (b width + c) (height + 2 PADDING) + PADDING + r.
template <class T>
void weigh_columns(const Problem<T>& p, const ColumnLayout& layout, const T* cotangent, T* weights) {
  constexpr int64_t BLOCK = 16;
  const int64_t blocks = (layout.width + BLOCK - 1) / BLOCK;
#pragma omp for schedule(static)
  for (int64_t i = 0; i < p.batch * blocks; i++) {
    const int64_t batch = i / blocks, begin = i % blocks * BLOCK, end = least(begin + BLOCK, layout.width);
    Column<T> column[BLOCK];
    T* to[BLOCK];
    for (int64_t c = begin; c < end; c++) {
      column[c - begin].set(p, batch, c, layout);
      T* padded = weights + (batch * layout.width + c) * (layout.height + 2 * PADDING<T>);
      std::memset(padded, 0, size_t(PADDING<T>) * sizeof(T));
      std::memset(padded + PADDING<T> + layout.height, 0, size_t(PADDING<T>) * sizeof(T));
      to[c - begin] = padded + PADDING<T>;
    }
    for (int64_t row = 0; row < layout.height; row++)
      for (int64_t c = 0; c < end - begin; c++)
        to[c][row] = cotangent[batch * p.rays + row * layout.width + begin + c] *
                         T(column[c].millimetres_per_slab(row));
  }
}

// The adjoint of march_columns. A thread owns a box of the volume, cut across the axis whose neighbours are farthest
// apart in memory, and goes through all columns in their order.
template <class T>
Status scatter_columns(const Problem<T>& p, const ColumnLayout& layout, const T* cotangent, T* gradient) {
  const Cut cut = cut_volume(p);
  const int64_t volumes = p.volume_batch_stride ? p.batch : 1, per_volume = p.batch / volumes;
  const int64_t pitch = layout.height + 2 * PADDING<T>;
  Buffer<T> weights(p.batch * layout.width * pitch);
  if (!weights.data) return OUT_OF_MEMORY;
#pragma omp parallel num_threads(threads_for(p.batch* layout.width, p.threads))
  {
    weigh_columns(p, layout, cotangent, weights.data);
#pragma omp for schedule(dynamic, 1) collapse(2)
    for (int64_t i = 0; i < volumes; i++)
      for (int64_t j = 0; j < cut.boxes; j++) {
        T* own = gradient + i * p.volume_batch_stride;
        const Box box = box_of(p, cut, j);
        clear(p, box, own);
        for (int64_t b = i * per_volume; b < (i + 1) * per_volume; b++)
          for (int64_t c = 0; c < layout.width && !ended(p); c++) {
            Column<T> column;
            column.set(p, b, c, layout);
            scatter_column(p, own, column, layout, box,
                           weights.data + (b * layout.width + c) * pitch + PADDING<T>);
          }
      }
  }
  return OK;
}

template <class T>
Status march_joseph(const Problem<T>& p, T* image, T* jacobian) {
  ColumnLayout layout;
  if (!jacobian && find_columns(p, layout)) return march_columns(p, layout, image);
  return march_any<Joseph>(p, image, jacobian);
}

template <class T>
Status march_joseph_adjoint(const Problem<T>& p, const T* cotangent, T* gradient) {
  ColumnLayout layout;
  if (find_columns(p, layout)) return scatter_columns(p, layout, cotangent, gradient);
  return march_adjoint<Joseph>(p, cotangent, gradient);
}

}  // namespace
}  // namespace raygrad
