// How marches and hits go through rays and triangles: bands of an image's rows, or rays in any order.
#pragma once
#include "mesh_bounds.hpp"

namespace raygrad {
namespace {

constexpr int64_t BAND = 16;  // rows of an image that one thread owns

template <class T>
const T* vertices_of(const MeshProblem<T>& p, int64_t batch) {
  return p.vertices + (p.vertex_batch > 1 ? batch : 0) * p.vertex_count * 3;
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

// The part of a band that triangles are seen in; places of pixels count from the band's first.
struct BandWindow {
  int64_t width, top, bottom, left, right;
  int64_t place(int64_t row, int64_t column) const { return (row - top) * width + column; }
};

template <class T>
BandWindow window_of(const MeshProblem<T>& p, const PixelBox* boxes, const Bands& bands, int64_t band) {
  const int64_t width = p.image_width, top = band * BAND;
  BandWindow window{width, top, least(p.rays / width, top + BAND), width, 0};
  for (int64_t i = bands.begin[band]; i < bands.begin[band + 1]; i++) {
    const PixelBox& box = boxes[bands.triangle[i]];
    window.left = least(window.left, box.first_column), window.right = most(window.right, int64_t(box.last_column) + 1);
  }
  return window;
}

// Loads the rays of a band's window, and hands their crossings, triangle by triangle, to `visit` with their places.
template <class T, class V>
RAYGRAD_INLINE void cross_band(const MeshProblem<T>& p, int64_t batch, const T* vertices, const PixelBox* boxes,
                               const Bands& bands, int64_t band, const BandWindow& window, MeshRay* rays, V visit) {
  for (int64_t row = window.top; row < window.bottom; row++)
    for (int64_t column = window.left; column < window.right; column++)
      rays[window.place(row, column)] = load_mesh_ray(p, batch, row * window.width + column);
  for (int64_t i = bands.begin[band]; i < bands.begin[band + 1]; i++) {
    const int64_t number = bands.triangle[i];
    const Triangle triangle = load_triangle(p, vertices, number);
    const PixelBox& box = boxes[number];
    for (int64_t row = most(window.top, box.first_row); row < least(window.bottom, box.last_row + 1); row++)
      for (int64_t column = box.first_column; column <= box.last_column; column++) {
        const int64_t place = window.place(row, column);
        Crossing crossing;
        if (rays[place].along != 0 && cross(rays[place], triangle, crossing)) visit(place, number, triangle, crossing);
      }
  }
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

}  // namespace
}  // namespace raygrad
