// Marches through closed meshes: thickness with derivatives, and the adjoint by vertices.
//
// What a ray or a triangle adds up it adds in the order of triangles, or of rays: the same bits with and without a hint
// and for any number of threads.
#pragma once
#ifdef _OPENMP
#include <omp.h>
#endif

#include "mesh_bands.hpp"

namespace raygrad {
namespace {

// 0, or NaN where a vertex is not finite: such a mesh has no thickness.
template <class T>
double poison_of(const MeshProblem<T>& p, const T* vertices) {
  T poison = 0;
  for (int64_t i = 0; i < 3 * p.vertex_count; i++) poison += 0 * vertices[i];
  return double(poison);
}

// What a thread needs for a band of an image.
template <bool DERIVATIVES>
struct BandMemory {
  Buffer<MeshRay> rays;
  Buffer<MeshSums<DERIVATIVES>> sums;

  explicit BandMemory(int64_t width) : rays(BAND * width), sums(BAND * width) {}
  bool allocated() const { return rays.data && sums.data; }
};

template <bool DERIVATIVES, class T>
void march_band(const MeshProblem<T>& p, int64_t batch, const T* vertices, double poison, const PixelBox* boxes,
                const Bands& bands, int64_t band, const BandMemory<DERIVATIVES>& memory, T* thickness, T* jacobian) {
  const BandWindow window = window_of(p, boxes, bands, band);
  const MeshRay* rays = memory.rays.data;
  MeshSums<DERIVATIVES>* sums = memory.sums.data;
  for (int64_t row = window.top; row < window.bottom; row++)
    for (int64_t column = window.left; column < window.right; column++) sums[window.place(row, column)] = {};
  cross_band(p, batch, vertices, boxes, bands, band, window, memory.rays.data,
             [&](int64_t place, int64_t, const Triangle& triangle, const Crossing& crossing) {
               sums[place].add(triangle, crossing);
             });
  for (int64_t row = window.top; row < window.bottom; row++)
    for (int64_t column = 0; column < window.width; column++) {
      const int64_t number = row * window.width + column, output = batch * p.rays + number;
      T* own = DERIVATIVES ? jacobian + output * 6 : nullptr;
      if (column >= window.left && column < window.right) {
        const int64_t place = window.place(row, column);
        sums[place].finish(rays[place], poison + rays[place].poison(), thickness + output, own);
      } else {
        const double value = poison + load_mesh_ray(p, batch, number).poison();
        thickness[output] = T(value);
        for (int i = 0; i < (DERIVATIVES ? 6 : 0); i++) own[i] = T(value);
      }
    }
}

template <bool DERIVATIVES, class T>
Status march_image(const MeshProblem<T>& p, int64_t batch, const T* vertices, const PixelBox* boxes, T* thickness,
                   T* jacobian) {
  const Bands bands(boxes, p.triangles, p.rays / p.image_width);
  if (!bands.allocated()) return OUT_OF_MEMORY;
  const double poison = poison_of(p, vertices);
  int status = OK;
#pragma omp parallel num_threads(p.threads) reduction(| : status)
  {
    const BandMemory<DERIVATIVES> memory(p.image_width);
    if (!memory.allocated()) status |= OUT_OF_MEMORY;
#pragma omp for schedule(dynamic, 1)
    for (int64_t band = 0; band < bands.count; band++)
      if (memory.allocated() && !ended(p))
        march_band(p, batch, vertices, poison, boxes, bands, band, memory, thickness, jacobian);
  }
  return Status(status);
}

template <bool DERIVATIVES, class T>
void march_rays(const MeshProblem<T>& p, int64_t batch, const T* vertices, const Runs<T>& runs, T* thickness,
                T* jacobian) {
  const double poison = poison_of(p, vertices);
#pragma omp parallel for schedule(dynamic, 64) num_threads(p.threads)
  for (int64_t number = 0; number < p.rays; number++) {
    if (ended(p)) continue;
    const MeshRay ray = load_mesh_ray(p, batch, number);
    MeshSums<DERIVATIVES> sums{};
    each_crossing(p, vertices, runs, ray, [&](int64_t, const Triangle& triangle, const Crossing& crossing) {
      sums.add(triangle, crossing);
    });
    const int64_t output = batch * p.rays + number;
    sums.finish(ray, poison + ray.poison(), thickness + output, DERIVATIVES ? jacobian + output * 6 : nullptr);
  }
}

template <bool DERIVATIVES, class T>
Status march_mesh(const MeshProblem<T>& p, T* thickness, T* jacobian) {
  Buffer<PixelBox> boxes(p.world_to_pixel ? p.triangles : 0);
  Runs<T> runs(p);
  if (!boxes.data || !runs.sphere.data) return OUT_OF_MEMORY;
  Status status = OK;
  for (int64_t b = 0; b < p.batch && status == OK; b++) {
    const T* vertices = vertices_of(p, b);
    if (boxes_by_hint(p, b, vertices, boxes.data)) {
      status = march_image<DERIVATIVES>(p, b, vertices, boxes.data, thickness, jacobian);
    } else {
      if (b == 0 || p.vertex_batch > 1 || p.world_to_pixel) runs.set(p, vertices);
      march_rays<DERIVATIVES>(p, b, vertices, runs, thickness, jacobian);
    }
  }
  return status;
}

template <class T>
Status march_mesh(const MeshProblem<T>& p, T* thickness, T* jacobian) {
  return jacobian ? march_mesh<true>(p, thickness, jacobian) : march_mesh<false>(p, thickness, jacobian);
}

// --- the adjoint by vertices: a thread owns triangles, and goes through all rays that may cross them

// What a triangle's corners receive is a multiple of its normal: cotangent times length times the corner's weight.
struct CornerSums {
  double corner[3];

  RAYGRAD_INLINE void add(const MeshRay& ray, const Triangle& triangle, double cotangent) {
    Crossing crossing;
    if (!cross(ray, triangle, crossing) || !(crossing.fraction >= 0 && crossing.fraction <= 1)) return;
    const double weight = cotangent * ray.length() / (std::fabs(crossing.slope) * crossing.area);
    for (int i = 0; i < 3; i++) corner[i] += weight * crossing.weight[i];
  }
};

template <class T>
void spread_image(const MeshProblem<T>& p, int64_t batch, const T* vertices, const PixelBox* boxes, const T* cotangent,
                  CornerSums* sums) {
#pragma omp parallel for schedule(dynamic, 64) num_threads(p.threads)
  for (int64_t t = 0; t < p.triangles; t++) {
    if (boxes[t].empty() || ended(p)) continue;
    const Triangle triangle = load_triangle(p, vertices, t);
    for (int64_t row = boxes[t].first_row; row <= boxes[t].last_row; row++)
      for (int64_t column = boxes[t].first_column; column <= boxes[t].last_column; column++) {
        const int64_t number = row * p.image_width + column;
        const double weight = double(cotangent[batch * p.rays + number]);
        if (weight == 0) continue;
        const MeshRay ray = load_mesh_ray(p, batch, number);
        if (ray.along != 0) sums[t].add(ray, triangle, weight);
      }
  }
}

template <class T>
void spread_rays(const MeshProblem<T>& p, int64_t batch, const T* vertices, const Runs<T>& runs, const T* cotangent,
                 CornerSums* sums) {
  const int level = runs.levels > 1 ? 1 : 0;
#pragma omp parallel for schedule(dynamic, 1) num_threads(p.threads)
  for (int64_t run = 0; run < runs.count(level); run++)
    for (int64_t number = 0; number < p.rays; number++) {
      const double weight = double(cotangent[batch * p.rays + number]);
      if (weight == 0 || ended(p)) continue;
      const MeshRay ray = load_mesh_ray(p, batch, number);
      if (!ray.exists()) continue;
      runs.each_triangle(ray, level, run, run + 1,
                         [&](int64_t t) { sums[t].add(ray, load_triangle(p, vertices, t), weight); });
    }
}

// Adds what triangles have for their corners to the vertices, one triangle after the other.
template <class T>
void add_to_vertices(const MeshProblem<T>& p, const T* vertices, const CornerSums* sums, double* gradient) {
  for (int64_t t = 0; t < p.triangles; t++) {
    double normal[3];
    normal_of(load_triangle(p, vertices, t), normal);
    for (int i = 0; i < 3; i++) {
      const double weight = sums[t].corner[i];
      if (weight == 0) continue;
      for (int a = 0; a < 3; a++) gradient[int64_t(p.faces[3 * t + i]) * 3 + a] += weight * normal[a];
    }
  }
}

template <class T>
Status march_mesh_adjoint(const MeshProblem<T>& p, const T* cotangent, T* gradient) {
  Buffer<PixelBox> boxes(p.world_to_pixel ? p.triangles : 0);
  Runs<T> runs(p);
  Buffer<CornerSums> sums(p.triangles);
  Buffer<double> total(p.vertex_count * 3);
  if (!boxes.data || !runs.sphere.data || !sums.data || !total.data) return OUT_OF_MEMORY;
  const int64_t size = p.vertex_count * 3;
  for (int64_t b = 0; b < p.batch; b++) {
    const T* vertices = vertices_of(p, b);
    if (b == 0 || p.vertex_batch > 1)
      for (int64_t i = 0; i < size; i++) total.data[i] = 0;
    for (int64_t t = 0; t < p.triangles; t++) sums.data[t] = {};
    if (boxes_by_hint(p, b, vertices, boxes.data)) {
      spread_image(p, b, vertices, boxes.data, cotangent, sums.data);
    } else {
      runs.set(p, vertices);
      spread_rays(p, b, vertices, runs, cotangent, sums.data);
    }
    add_to_vertices(p, vertices, sums.data, total.data);
    if (p.vertex_batch > 1 || b == p.batch - 1)
      for (int64_t i = 0; i < size; i++) gradient[(p.vertex_batch > 1 ? b : 0) * size + i] = T(total.data[i]);
  }
  if (p.batch == 0)
    for (int64_t i = 0; i < p.vertex_batch * size; i++) gradient[i] = 0;
  return OK;
}

}  // namespace
}  // namespace raygrad
