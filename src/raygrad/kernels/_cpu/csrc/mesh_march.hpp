// Marches through closed meshes: thickness with derivatives, the adjoint by vertices, and hits.
//
// What a ray or a triangle adds up it adds in the order of triangles, or of rays: the same bits with and without a hint
// and for any number of threads.
#pragma once
#ifdef _OPENMP
#include <omp.h>
#endif

#include "mesh_bounds.hpp"

namespace raygrad {
namespace {

constexpr int64_t BAND = 16;  // rows of an image that one thread owns

template <class T>
const T* vertices_of(const MeshProblem<T>& p, int64_t batch) {
  return p.vertices + (p.vertex_batch > 1 ? batch : 0) * p.vertex_count * 3;
}

// 0, or NaN where a vertex is not finite: such a mesh has no thickness.
template <class T>
double poison_of(const MeshProblem<T>& p, const T* vertices) {
  T poison = 0;
  for (int64_t i = 0; i < 3 * p.vertex_count; i++) poison += 0 * vertices[i];
  return double(poison);
}

// A batch entry's triangles by bands of rows: those of band i, in their order, are begin[i] to begin[i + 1] of
// `triangle`.
struct Bands {
  int64_t count;
  int64_t *begin, *triangle;

  Bands(const PixelBox* boxes, int64_t triangles, int64_t height)
      : count((height + BAND - 1) / BAND), triangle(nullptr) {
    begin = static_cast<int64_t*>(std::calloc(size_t(count + 2), sizeof(int64_t)));
    if (!begin) return;
    each_band(boxes, triangles, [&](int64_t, int64_t band) { begin[band + 2]++; });
    for (int64_t band = 0; band < count; band++) begin[band + 2] += begin[band + 1];
    triangle = static_cast<int64_t*>(std::malloc(size_t(most(1, begin[count + 1])) * sizeof(int64_t)));
    if (triangle) each_band(boxes, triangles, [&](int64_t t, int64_t band) { triangle[begin[band + 1]++] = t; });
  }
  ~Bands() { std::free(begin), std::free(triangle); }
  Bands(const Bands&) = delete;
  Bands& operator=(const Bands&) = delete;

  bool allocated() const { return begin && triangle; }

 private:
  template <class F>
  static void each_band(const PixelBox* boxes, int64_t triangles, F f) {
    for (int64_t t = 0; t < triangles; t++) {
      if (boxes[t].empty()) continue;
      for (int64_t band = boxes[t].first_row / BAND; band <= boxes[t].last_row / BAND; band++) f(t, band);
    }
  }
};

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
  const int64_t width = p.image_width, top = band * BAND, bottom = least(p.rays / width, top + BAND);
  const int64_t *first = bands.triangle + bands.begin[band], *last = bands.triangle + bands.begin[band + 1];
  int64_t left = width, right = 0;
  for (const int64_t* t = first; t < last; t++) {
    left = least(left, boxes[*t].first_column), right = most(right, int64_t(boxes[*t].last_column) + 1);
  }
  const auto place = [&](int64_t row, int64_t column) { return (row - top) * width + column; };
  for (int64_t row = top; row < bottom; row++)
    for (int64_t column = left; column < right; column++) {
      memory.rays.data[place(row, column)] = load_mesh_ray(p, batch, row * width + column);
      memory.sums.data[place(row, column)] = {};
    }
  for (const int64_t* t = first; t < last; t++) {
    const Triangle triangle = load_triangle(p, vertices, *t);
    const PixelBox& box = boxes[*t];
    for (int64_t row = most(top, box.first_row); row < least(bottom, box.last_row + 1); row++)
      for (int64_t column = box.first_column; column <= box.last_column; column++) {
        const MeshRay& ray = memory.rays.data[place(row, column)];
        Crossing crossing;
        if (ray.along != 0 && cross(ray, triangle, crossing))
          memory.sums.data[place(row, column)].add(triangle, crossing);
      }
  }
  for (int64_t row = top; row < bottom; row++)
    for (int64_t column = 0; column < width; column++) {
      const int64_t number = row * width + column, output = batch * p.rays + number;
      T* own = DERIVATIVES ? jacobian + output * 6 : nullptr;
      if (column >= left && column < right) {
        const MeshRay& ray = memory.rays.data[place(row, column)];
        memory.sums.data[place(row, column)].finish(ray, poison + ray.poison(), thickness + output, own);
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
      if (memory.allocated())
        march_band(p, batch, vertices, poison, boxes, bands, band, memory, thickness, jacobian);
  }
  return Status(status);
}

// Hands a ray's crossings, in the order of triangles, to `visit`.
template <class T, class V>
RAYGRAD_INLINE void each_crossing(const MeshProblem<T>& p, const T* vertices, const Runs<T>& runs, const MeshRay& ray,
                                  V visit) {
  if (!ray.exists()) return;
  runs.each_triangle(ray, runs.levels - 1, 0, runs.count(runs.levels - 1), [&](int64_t t) {
    const Triangle triangle = load_triangle(p, vertices, t);
    Crossing crossing;
    if (cross(ray, triangle, crossing)) visit(t, triangle, crossing);
  });
}

template <bool DERIVATIVES, class T>
void march_rays(const MeshProblem<T>& p, int64_t batch, const T* vertices, const Runs<T>& runs, T* thickness,
                T* jacobian) {
  const double poison = poison_of(p, vertices);
#pragma omp parallel for schedule(dynamic, 64) num_threads(p.threads)
  for (int64_t number = 0; number < p.rays; number++) {
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
    if (boxes[t].empty()) continue;
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
      if (weight == 0) continue;
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

// --- hits

RAYGRAD_INLINE bool is_hit(const Crossing& crossing) { return crossing.fraction >= 0 && crossing.fraction <= 1; }

// Calls f(batch entry, its vertices, its runs, number of a ray) for all rays.
template <class T, class F>
Status each_ray(const MeshProblem<T>& p, F f) {
  Runs<T> runs(p);
  if (!runs.sphere.data) return OUT_OF_MEMORY;
  for (int64_t b = 0; b < p.batch; b++) {
    const T* vertices = vertices_of(p, b);
    if (b == 0 || p.vertex_batch > 1) runs.set(p, vertices);
#pragma omp parallel for schedule(dynamic, 64) num_threads(p.threads)
    for (int64_t number = 0; number < p.rays; number++) f(b, vertices, runs, number);
  }
  return OK;
}

template <class T>
Status count_mesh_hits(const MeshProblem<T>& p, int64_t* counts) {
  return each_ray(p, [&](int64_t batch, const T* vertices, const Runs<T>& runs, int64_t number) {
    int64_t count = 0;
    each_crossing(p, vertices, runs, load_mesh_ray(p, batch, number),
                  [&](int64_t, const Triangle&, const Crossing& crossing) { count += is_hit(crossing); });
    counts[batch * p.rays + number] = count;
  });
}

template <class T>
Status list_mesh_hits(const MeshProblem<T>& p, const int64_t* begin, int64_t* triangle, T* fraction, int64_t* sign) {
  return each_ray(p, [&](int64_t batch, const T* vertices, const Runs<T>& runs, int64_t number) {
    const int64_t first = begin[batch * p.rays + number];
    int64_t last = first;
    each_crossing(p, vertices, runs, load_mesh_ray(p, batch, number),
                  [&](int64_t t, const Triangle&, const Crossing& crossing) {
                    if (!is_hit(crossing)) return;
                    const T here = T(crossing.fraction);
                    int64_t i = last++;
                    for (; i > first && fraction[i - 1] > here; i--)
                      fraction[i] = fraction[i - 1], triangle[i] = triangle[i - 1], sign[i] = sign[i - 1];
                    fraction[i] = here, triangle[i] = t, sign[i] = crossing.sign;
                  });
  });
}

}  // namespace
}  // namespace raygrad
