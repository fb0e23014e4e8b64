// Images whose columns stand along an axis of the volume: whether they do, and the rays of one column as a whole.
#pragma once
#include "schedule.hpp"

namespace raygrad {
namespace {

// An image as columns of rays along axis `along` of the volume.
struct ColumnLayout {
  int along;
  int64_t height, width;
};

// The rays of one column, in voxel coordinates (with voxel i over [i, i + 1)), as functions of the row.
template <class T>
struct Column {
  int m, u;                                             // the main axis, and the one across both it and the column
  double start_m, step_m;                               // the same for all rows
  double base_u, slope_u;                               // u = base_u + slope_u x, for x along the main axis
  double start, step, start_per_row, step_per_row;      // along the column: of row 0, and what each row adds
  double world_step[3], world_per_row[3];               // from source to target, in mm

  // False if the rays have not one main axis across the column.
  bool set(const Problem<T>& p, int64_t batch, int64_t column, const ColumnLayout& layout) {
    double from[2][3], way[2][3], start_of[2][3], step_of[2][3];
    for (int end = 0; end < 2; end++) {
      const int64_t ray = end * (layout.height - 1) * layout.width + column;
      const T* s = p.source + batch * p.source_stride[0] + ray * p.source_stride[1];
      const T* t = p.target + batch * p.target_stride[0] + ray * p.target_stride[1];
      for (int i = 0; i < 3; i++) {
        from[end][i] = s[i * p.source_stride[2]];
        way[end][i] = double(t[i * p.target_stride[2]]) - from[end][i];
      }
      for (int i = 0; i < 3; i++) {
        const double* row = p.world_to_voxel[i];
        start_of[end][i] = row[0] * from[end][0] + row[1] * from[end][1] + row[2] * from[end][2] + row[3] + 0.5;
        step_of[end][i] = row[0] * way[end][0] + row[1] * way[end][1] + row[2] * way[end][2];
      }
    }
    const double rows = double(layout.height - 1);
    const int a = layout.along, b = (a + 1) % 3, c = (a + 2) % 3;
    const auto mean = [](const double (&of)[2][3], int axis) { return 0.5 * (of[0][axis] + of[1][axis]); };
    const int low = b < c ? b : c, high = b < c ? c : b;
    m = std::fabs(mean(step_of, high)) > std::fabs(mean(step_of, low)) ? high : low;
    u = b + c - m;
    start_m = mean(start_of, m), step_m = mean(step_of, m);
    if (!(std::fabs(step_m) > most(std::fabs(step_of[0][a]), std::fabs(step_of[1][a])))) return false;
    slope_u = mean(step_of, u) / step_m;
    base_u = mean(start_of, u) - start_m * slope_u;
    start = start_of[0][a], start_per_row = (start_of[1][a] - start) / rows;
    step = step_of[0][a], step_per_row = (step_of[1][a] - step) / rows;
    for (int i = 0; i < 3; i++) world_step[i] = way[0][i], world_per_row[i] = (way[1][i] - way[0][i]) / rows;
    return true;
  }

  double millimetres_per_slab(int64_t row) const {
    double square = 0;
    for (int i = 0; i < 3; i++) {
      const double way = world_step[i] + double(row) * world_per_row[i];
      square += way * way;
    }
    return std::sqrt(square) / std::fabs(step_m);
  }
};

// How far a coordinate may be from where its column has it: what rounding leaves.
template <class T>
double rounding_of(const Problem<T>& p, int64_t batch, const ColumnLayout& layout) {
  double largest = 0;
  const int64_t corners[4] = {0, layout.width - 1, (layout.height - 1) * layout.width, p.rays - 1};
  for (const int64_t ray : corners)
    for (int i = 0; i < 3; i++) {
      const T* s = p.source + batch * p.source_stride[0] + ray * p.source_stride[1];
      const T* t = p.target + batch * p.target_stride[0] + ray * p.target_stride[1];
      const double from = s[i * p.source_stride[2]], to = t[i * p.target_stride[2]];
      largest = most(largest, std::fabs(from) + std::fabs(to));
    }
  return 2 * (sizeof(T) == 4 ? 1.2e-7 : 2.3e-16) * largest;
}

// Whether the ends of a row's rays lie where the first and last row have them, to `tolerance`.
template <class T>
bool row_lies_between(const T* ends, const int64_t stride[3], int64_t row, const ColumnLayout& layout,
                      double tolerance) {
  const double share = double(row) / double(layout.height - 1);
  const int64_t bottom = (layout.height - 1) * layout.width;
  double worst = 0;
  for (int64_t column = 0; column < layout.width; column++)
    for (int i = 0; i < 3; i++) {
      const T* at = ends + column * stride[1] + i * stride[2];
      const double first = at[0], last = at[bottom * stride[1]], here = at[row * layout.width * stride[1]];
      worst = most(worst, std::fabs(first + share * (last - first) - here));
    }
  return worst <= tolerance;
}

// Whether the steps from the first to the last row run along the layout's axis, to `tolerance` mm.
template <class T>
bool columns_stand(const Problem<T>& p, const T* ends, const int64_t stride[3], const ColumnLayout& layout,
                   double tolerance) {
  const int64_t bottom = (layout.height - 1) * layout.width;
  for (int64_t column = 0; column < layout.width; column++) {
    double way[3];
    for (int i = 0; i < 3; i++) {
      const T* at = ends + column * stride[1] + i * stride[2];
      way[i] = double(at[bottom * stride[1]]) - double(at[0]);
    }
    for (int i = 0; i < 3; i++) {
      if (i == layout.along) continue;
      const double* row = p.world_to_voxel[i];
      const double scale = std::sqrt(row[0] * row[0] + row[1] * row[1] + row[2] * row[2]);
      if (!(std::fabs(row[0] * way[0] + row[1] * way[1] + row[2] * way[2]) <= tolerance * scale)) return false;
    }
  }
  return true;
}

// Whether this march can be done by columns; and how.
template <class T>
bool find_columns(const Problem<T>& p, ColumnLayout& layout) {
  if (p.reduction != Reduction::sum || p.label_type != LabelType::none) return false;
  if (p.image_width <= 0 || p.rays % p.image_width != 0) return false;
  layout = {-1, p.rays / p.image_width, p.image_width};
  if (layout.height < LANES<T>) return false;
  for (int a = 0; a < 3; a++)
    if (p.stride[a] == 1 && p.shape[a] >= LANES<T>) layout.along = a;
  if (layout.along < 0) return false;
  if (p.shape[0] * p.shape[1] * p.shape[2] == p.shape[layout.along]) return false;  // a single line
  for (int a = 0; a < 3; a++)
    if (a != layout.along && p.stride[a] < p.shape[layout.along]) return false;
  int bent = 0;
#pragma omp parallel for num_threads(threads_for(p.batch* layout.height, p.threads)) reduction(| : bent)
  for (int64_t i = 0; i < p.batch * layout.height; i++) {
    if (bent) continue;
    const int64_t batch = i / layout.height, row = i % layout.height;
    const double tolerance = rounding_of(p, batch, layout);
    const T* source = p.source + batch * p.source_stride[0];
    const T* target = p.target + batch * p.target_stride[0];
    bool stands = row_lies_between(target, p.target_stride, row, layout, tolerance);
    if (row == 0) stands &= columns_stand(p, target, p.target_stride, layout, tolerance);
    if (p.source_stride[1]) {
      stands &= row_lies_between(source, p.source_stride, row, layout, tolerance);
      if (row == 0) stands &= columns_stand(p, source, p.source_stride, layout, tolerance);
    }
    Column<T> column;
    for (int64_t c = 0; row == 0 && stands && c < layout.width; c++) stands &= column.set(p, batch, c, layout);
    bent |= !stands;
  }
  return !bent;
}

}  // namespace
}  // namespace raygrad
