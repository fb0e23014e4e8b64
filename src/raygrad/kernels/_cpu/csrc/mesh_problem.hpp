// What a march through meshes is given: plain data, the same for every instruction set.
#pragma once
#include "problem.hpp"

namespace raygrad {

// All arrays are contiguous.
template <class T>
struct MeshProblem {
  const T* vertices;              // (1 or batch, vertex, 3)
  int64_t vertex_batch, vertex_count;
  const int32_t* faces;           // (triangle, 3), all of them vertices that there are
  int64_t triangles;
  const T *source, *target;       // (batch, 1 or ray, 3) and (batch, ray, 3)
  int64_t sources;                // of each batch entry: 1 or rays
  int64_t batch, rays;
  const double* world_to_pixel;   // (batch, 3, 4), or null
  int64_t image_width;            // columns of the image that the rays are, where world_to_pixel is given
  int threads;
  Watch* watch;  // or null
};

template <class T>
struct MeshHit {
  int64_t ray, triangle;  // the ray counted across the batch
  T fraction;
  int32_t sign;
};

template <class T>
struct MeshKernels {
  // `jacobian` may be null.
  Status (*march)(const MeshProblem<T>&, T* thickness, T* jacobian);
  // `gradient` is of the vertices' shape.
  Status (*march_adjoint)(const MeshProblem<T>&, const T* cotangent, T* gradient);
  // All hits, by ray, then by fraction, then by triangle. `hits` is to be freed by the caller, also where this fails.
  Status (*find_hits)(const MeshProblem<T>&, MeshHit<T>** hits, int64_t* count);
};

}  // namespace raygrad
