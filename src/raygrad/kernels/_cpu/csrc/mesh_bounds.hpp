// What spares a march most triangles and changes nothing: spheres around runs of triangles, and around runs of runs,
// where rays are in no order; where they are the pixels of an image, boxes of pixels that triangles can be seen in.
#pragma once
#include "memory.hpp"
#include "mesh_crossing.hpp"

namespace raygrad {
namespace {

constexpr int RUN_BITS = 3;  // 8 triangles that follow one another make a run, 8 runs a run of the next level

struct Sphere {
  double centre[3], radius;
};

// Around the points that `visit` hands to its argument, a little larger; a negative radius where there is none.
template <class V>
Sphere sphere_around(V visit) {
  double low[3] = {INFINITY, INFINITY, INFINITY}, high[3] = {-INFINITY, -INFINITY, -INFINITY};
  visit([&](const double* point) {
    for (int a = 0; a < 3; a++) low[a] = std::fmin(low[a], point[a]), high[a] = std::fmax(high[a], point[a]);
  });
  Sphere sphere{{0, 0, 0}, -1};
  if (!(high[0] >= low[0])) return sphere;
  double square = 0, size = 0;
  for (int a = 0; a < 3; a++) {
    sphere.centre[a] = 0.5 * (low[a] + high[a]);
    square += (high[a] - low[a]) * (high[a] - low[a]);
    size += std::fabs(low[a]) + std::fabs(high[a]);
  }
  sphere.radius = 0.5 * std::sqrt(square) * (1 + 1e-6) + 1e-12 * size;
  return sphere;
}

template <class T>
Sphere sphere_of_mesh(const MeshProblem<T>& p, const T* vertices) {
  return sphere_around([&](auto see) {
    for (int64_t i = 0; i < p.vertex_count; i++) {
      const double point[3] = {double(vertices[3 * i]), double(vertices[3 * i + 1]), double(vertices[3 * i + 2])};
      see(point);
    }
  });
}

// Whether a ray may meet a sphere at or after its source; `square` is the square of its length.
RAYGRAD_INLINE bool may_meet(const MeshRay& ray, double square, const Sphere& sphere) {
  double way[3], along = 0, size = 0, across = 0;
  for (int a = 0; a < 3; a++) {
    way[a] = sphere.centre[a] - ray.source[a];
    along += way[a] * ray.step[a], size += std::fabs(way[a]);
  }
  for (int a = 0; a < 3; a++) {
    const int b = (a + 1) % 3, c = (a + 2) % 3;
    const double part = way[b] * ray.step[c] - way[c] * ray.step[b];
    across += part * part;
  }
  const double radius = sphere.radius + 1e-12 * size, reach = radius * radius * square;
  return across <= reach && (along >= 0 || along * along <= reach);
}

RAYGRAD_INLINE double square_of(const MeshRay& ray) {
  return ray.step[0] * ray.step[0] + ray.step[1] * ray.step[1] + ray.step[2] * ray.step[2];
}

// The spheres of all runs of a batch entry's triangles, of every level.
template <class T>
struct Runs {
  static constexpr int MOST_LEVELS = 12;
  int64_t triangles, total;
  int levels;
  int64_t begin[MOST_LEVELS];  // of each level in `sphere`
  Buffer<Sphere> sphere;

  explicit Runs(const MeshProblem<T>& p) : triangles(p.triangles), total(plan(p.triangles)), sphere(total) {}

  int64_t count(int level) const { return count_of(triangles, level); }

  void set(const MeshProblem<T>& p, const T* vertices) {
    for (int level = 0; level < levels; level++) {
#pragma omp parallel for schedule(static) num_threads(p.threads)
      for (int64_t run = 0; run < count(level); run++)
        sphere.data[begin[level] + run] = sphere_around([&](auto see) {
          const int64_t size = int64_t(1) << (RUN_BITS * (level + 1));
          for (int64_t t = run * size; t < least((run + 1) * size, triangles); t++) {
            const Triangle triangle = load_triangle(p, vertices, t);
            for (int i = 0; i < 3; i++) see(triangle.corner[i]);
          }
        });
    }
  }

  // Hands the triangles from run to run of a level, [first, last), that a ray may cross to `visit`, in their order.
  template <class V>
  RAYGRAD_INLINE void each_triangle(const MeshRay& ray, int top, int64_t first, int64_t last, V visit) const {
    const double square = square_of(ray);
    const int64_t end = least(last << (RUN_BITS * top), count(0));
    for (int64_t run = first << (RUN_BITS * top); run < end;) {
      int level = top;
      while (run & ((int64_t(1) << (RUN_BITS * level)) - 1)) level--;  // the largest that begins here
      while (level >= 0 && may_meet(ray, square, sphere.data[begin[level] + (run >> (RUN_BITS * level))])) level--;
      if (level >= 0) {
        run += int64_t(1) << (RUN_BITS * level);
        continue;
      }
      for (int64_t t = run << RUN_BITS; t < least((run + 1) << RUN_BITS, triangles); t++) visit(t);
      run++;
    }
  }

 private:
  static int64_t count_of(int64_t triangles, int level) {
    const int bits = RUN_BITS * (level + 1);
    return (triangles + (int64_t(1) << bits) - 1) >> bits;
  }
  int64_t plan(int64_t n) {
    int64_t size = 0;
    for (levels = 0; levels < MOST_LEVELS && (levels == 0 || count_of(n, levels - 1) > 1); levels++)
      begin[levels] = size, size += count_of(n, levels);
    return size;
  }
};

// Pixels, both ends included; none where last is before first.
struct PixelBox {
  int32_t first_row, last_row, first_column, last_column;
  bool empty() const { return last_row < first_row || last_column < first_column; }
};

struct Pinhole {
  const double* matrix;  // (3, 4)
  double row(int i, const double* point) const {
    const double* m = matrix + 4 * i;
    return m[0] * point[0] + m[1] * point[1] + m[2] * point[2] + m[3];
  }
};

// How many pixels beside its own a ray passes in the image of world_to_pixel, at most, where it may meet the mesh and
// the depth is `nearest` or more; infinity if that is no image of these rays. Along a ray the place in such an image
// is monotonic, so the ends of that way are enough.
template <class T>
double error_of_hint(const MeshProblem<T>& p, int64_t batch, const Pinhole& hint, const Sphere& mesh, double nearest) {
  double worst = 0;
#pragma omp parallel for schedule(static) num_threads(p.threads) reduction(max : worst)
  for (int64_t number = 0; number < p.rays; number++) {
    const MeshRay ray = load_mesh_ray(p, batch, number);
    const double square = square_of(ray);
    if (!ray.exists() || !may_meet(ray, square, mesh)) continue;
    double along = 0;
    for (int a = 0; a < 3; a++) along += (mesh.centre[a] - ray.source[a]) * ray.step[a];
    const double middle = along / square, reach = 1.001 * mesh.radius / std::sqrt(square);
    const double depth = hint.row(2, ray.source);
    double deeper = 0;
    for (int a = 0; a < 3; a++) deeper += hint.matrix[8 + a] * ray.step[a];
    double first = most(middle - reach, 0.0);
    const double last = middle + reach;
    if (deeper > 0) first = most(first, (nearest - depth) / deeper);
    if (first > last) continue;  // all of the mesh that it meets is nearer
    const double row = double(number / p.image_width), column = double(number % p.image_width);
    const double ends[2] = {first, last};
    for (const double fraction : ends) {
      double point[3];
      for (int a = 0; a < 3; a++) point[a] = ray.source[a] + fraction * ray.step[a];
      const double here = hint.row(2, point);
      const double off = std::fmax(std::fabs(hint.row(0, point) / here - column),
                                   std::fabs(hint.row(1, point) / here - row));
      worst = here > 0.5 * nearest && off < 1e6 ? std::fmax(worst, off) : INFINITY;
      if (std::isinf(worst)) break;
    }
  }
  return worst;
}

// The boxes of pixels whose rays may cross each triangle, by a hint that was found to be right to `margin` pixels.
// Triangles nearer than `nearest` may be anywhere.
template <class T>
void find_boxes(const MeshProblem<T>& p, const T* vertices, const Pinhole& hint, double nearest, double margin,
                PixelBox* boxes) {
  const int32_t height = int32_t(p.rays / p.image_width), width = int32_t(p.image_width);
#pragma omp parallel for schedule(static) num_threads(p.threads)
  for (int64_t t = 0; t < p.triangles; t++) {
    const Triangle triangle = load_triangle(p, vertices, t);
    double low[2] = {INFINITY, INFINITY}, high[2] = {-INFINITY, -INFINITY};
    bool far = true;
    for (int i = 0; i < 3; i++) {
      const double depth = hint.row(2, triangle.corner[i]);
      far &= depth >= nearest;
      for (int a = 0; a < 2; a++) {
        const double place = hint.row(a, triangle.corner[i]) / depth;
        low[a] = std::fmin(low[a], place), high[a] = std::fmax(high[a], place);
      }
    }
    PixelBox& box = boxes[t];
    box = {0, height - 1, 0, width - 1};
    if (!far) continue;
    box.first_column = int32_t(within(std::ceil(low[0] - margin), 0, width));
    box.last_column = int32_t(within(std::floor(high[0] + margin), -1, width - 1));
    box.first_row = int32_t(within(std::ceil(low[1] - margin), 0, height));
    box.last_row = int32_t(within(std::floor(high[1] + margin), -1, height - 1));
  }
}

// The boxes of a batch entry's triangles; false if there is no hint, or none that the rays agree with.
template <class T>
bool boxes_by_hint(const MeshProblem<T>& p, int64_t batch, const T* vertices, PixelBox* boxes) {
  if (!p.world_to_pixel) return false;
  const Pinhole hint{p.world_to_pixel + 12 * batch};
  const Sphere mesh = sphere_of_mesh(p, vertices);
  double normal = 0;
  for (int a = 0; a < 3; a++) normal += hint.matrix[8 + a] * hint.matrix[8 + a];
  const double farthest = hint.row(2, mesh.centre) + std::sqrt(normal) * mesh.radius;
  if (!(farthest > 0 && std::isfinite(farthest))) return false;
  const double nearest = 1e-3 * farthest;
  const double error = error_of_hint(p, batch, hint, mesh, nearest);
  if (std::isinf(error)) return false;
  find_boxes(p, vertices, hint, nearest, 1.01 * error + 1e-3, boxes);
  return true;
}

}  // namespace
}  // namespace raygrad
