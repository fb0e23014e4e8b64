// Where a ray crosses a triangle, decided exactly: nothing leaks along edges (after Woop, Benthin and Wald, "Watertight
// Ray/Triangle Intersection", JCGT 2013). `_mesh_reference.py` says how.
//
// All is computed in double, whatever the dtype, and in single steps: mesh.cpp is compiled without contraction, so a
// vertex is the same point for a ray in all its triangles, and results are the same bits with every instruction set.
#pragma once
#include <cmath>

#include "mesh_problem.hpp"
#include "simd.hpp"

namespace raygrad {
namespace {

// A ray with its main axis z and the two after it, x and y.
struct MeshRay {
  double source[3], step[3];  // in the world's order
  double shear_x, shear_y, along;
  int x, y, z;

  // Whether the ray has a length, and is finite.
  bool exists() const { return along != 0 && finite(); }
  bool finite() const { return std::isfinite(poison()); }
  double poison() const { return 0 * (source[0] + source[1] + source[2] + step[0] + step[1] + step[2]); }
  double length() const { return std::sqrt(step[0] * step[0] + step[1] * step[1] + step[2] * step[2]); }
};

template <class T>
RAYGRAD_INLINE MeshRay load_mesh_ray(const MeshProblem<T>& p, int64_t batch, int64_t number) {
  const T* source = p.source + (batch * p.sources + (p.sources == 1 ? 0 : number)) * 3;
  const T* target = p.target + (batch * p.rays + number) * 3;
  MeshRay ray;
  for (int a = 0; a < 3; a++) {
    ray.source[a] = double(source[a]);
    ray.step[a] = double(target[a]) - ray.source[a];
  }
  int main = 0;
  for (int a = 1; a < 3; a++)
    if (std::fabs(ray.step[a]) > std::fabs(ray.step[main])) main = a;
  ray.x = main == 2 ? 0 : main + 1, ray.y = main == 0 ? 2 : main - 1, ray.z = main;
  ray.along = ray.step[main];
  const double moving = ray.along == 0 ? 1 : ray.along;
  ray.shear_x = ray.step[ray.x] / moving, ray.shear_y = ray.step[ray.y] / moving;
  return ray;
}

struct Triangle {
  double corner[3][3];
};

template <class T>
RAYGRAD_INLINE Triangle load_triangle(const MeshProblem<T>& p, const T* vertices, int64_t number) {
  Triangle triangle;
  for (int i = 0; i < 3; i++)
    for (int a = 0; a < 3; a++) triangle.corner[i][a] = double(vertices[int64_t(p.faces[3 * number + i]) * 3 + a]);
  return triangle;
}

// The part of `side` for products that are rounded to the same number: what rounding took off decides, then the shift
// of the origin by (e, e^2).
RAYGRAD_OUT_OF_LINE int side_of_tie(double ax, double ay, double bx, double by, double product, double& edge) {
  edge = std::fma(ax, by, -product) - std::fma(ay, bx, -product);
  if (edge != 0) return edge > 0 ? 1 : -1;
  if (ay != by) return ay > by ? 1 : -1;
  return bx > ax ? 1 : bx < ax ? -1 : 0;
}

// On which side of the edge from a to b the origin is, 0 if a is b; `edge` is twice the area between.
RAYGRAD_INLINE int side(double ax, double ay, double bx, double by, double& edge) {
  const double left = ax * by, right = ay * bx;
  edge = left - right;
  if (left != right) return left > right ? 1 : -1;
  return side_of_tie(ax, ay, bx, by, left, edge);
}

struct Crossing {
  double fraction;   // of the way from source to target
  int sign;          // 1 where the ray leaves, -1 where it enters
  double weight[3];  // of the corners, not divided by their sum
  double area;       // that sum: twice the triangle's area across the ray, with its sign
  double slope;      // normal . step, with the normal of `normal_of`
};

RAYGRAD_INLINE bool cross(const MeshRay& ray, const Triangle& triangle, Crossing& crossing) {
  double x[3], y[3], z[3];
  for (int i = 0; i < 3; i++) {
    const double(&corner)[3] = triangle.corner[i];
    z[i] = corner[ray.z] - ray.source[ray.z];
    x[i] = (corner[ray.x] - ray.source[ray.x]) - ray.shear_x * z[i];
    y[i] = (corner[ray.y] - ray.source[ray.y]) - ray.shear_y * z[i];
  }
  double(&w)[3] = crossing.weight;
  const int first = side(x[1], y[1], x[2], y[2], w[0]);
  if (first == 0 || side(x[2], y[2], x[0], y[0], w[1]) != first || side(x[0], y[0], x[1], y[1], w[2]) != first)
    return false;
  crossing.area = w[0] + w[1] + w[2];
  crossing.slope = crossing.area * ray.along;
  if (!(crossing.slope != 0)) return false;  // only of numbers too small for products
  crossing.fraction = (w[0] * z[0] + w[1] * z[1] + w[2] * z[2]) / crossing.slope;
  crossing.sign = (first > 0) == (ray.along > 0) ? 1 : -1;
  return true;
}

// The normal, outwards, as long as twice the triangle's area.
RAYGRAD_INLINE void normal_of(const Triangle& triangle, double (&normal)[3]) {
  const double(&c)[3][3] = triangle.corner;
  for (int a = 0; a < 3; a++) {
    const int b = (a + 1) % 3, d = (a + 2) % 3;
    normal[a] = (c[1][b] - c[0][b]) * (c[2][d] - c[0][d]) - (c[1][d] - c[0][d]) * (c[2][b] - c[0][b]);
  }
}

// What a ray adds up over the triangles that it crosses: sign times fraction, and n / |n . step| with and without the
// fraction, n the normal.
template <bool DERIVATIVES>
struct MeshSums {
  double share, plain[DERIVATIVES ? 3 : 1], weighted[DERIVATIVES ? 3 : 1];

  RAYGRAD_INLINE void add(const Triangle& triangle, const Crossing& crossing) {
    const bool inside = crossing.fraction >= 0 && crossing.fraction <= 1;
    share += crossing.sign * (inside ? crossing.fraction : crossing.fraction > 1 ? 1.0 : 0.0);
    if (!DERIVATIVES || !inside) return;
    double normal[3];
    normal_of(triangle, normal);
    const double per_slope = 1 / std::fabs(crossing.slope);
    for (int a = 0; a < (DERIVATIVES ? 3 : 0); a++) {
      const double n = normal[a] * per_slope;
      plain[a] += n, weighted[a] += crossing.fraction * n;
    }
  }

  // The ray's thickness, and with DERIVATIVES its six derivatives.
  template <class T>
  RAYGRAD_INLINE void finish(const MeshRay& ray, double poison, T* thickness, T* jacobian) const {
    const double length = ray.length();
    *thickness = T(length * share + poison);
    for (int a = 0; a < (DERIVATIVES ? 3 : 0); a++) {
      const double along = length > 0 ? ray.step[a] / length * share : 0;
      jacobian[a] = T(length * (weighted[a] - plain[a]) - along + poison);
      jacobian[3 + a] = T(along - length * weighted[a] + poison);
    }
  }
};

}  // namespace
}  // namespace raygrad
