// The part of the Python module about meshes: checks what memory safety needs, releases the GIL.
#include <nanobind/stl/optional.h>

#include <cstdlib>
#include <optional>

#include "arrays.hpp"
#include "signals.hpp"

namespace raygrad {
namespace {

template <class T>
const MeshKernels<T>& mesh_kernels() {
  if constexpr (sizeof(T) == 4) return *instruction_set().mesh_float32;
  else return *instruction_set().mesh_float64;
}

template <class T>
MeshProblem<T> make_problem(const ConstArray& vertices, const ConstArray& faces, const ConstArray& source,
                            const ConstArray& target, const std::optional<ConstArray>& world_to_pixel,
                            int64_t image_width, int threads) {
  MeshProblem<T> p{};
  const auto points = [&](const ConstArray& array) {
    return holds(array, 3, nb::dtype<T>()) && array.shape(2) == 3 && is_contiguous(array);
  };
  require(points(target), "target: expected (batch, ray, 3), contiguous");
  require(points(source) && source.shape(0) == target.shape(0) &&
              (source.shape(1) == 1 || source.shape(1) == target.shape(1)),
          "source: expected (batch, 1 or ray, 3) of the targets' dtype, contiguous");
  require(points(vertices) && (vertices.shape(0) == 1 || vertices.shape(0) == target.shape(0)),
          "vertices: expected (1 or batch, vertex, 3) of the targets' dtype, contiguous");
  require(holds(faces, 2, nb::dtype<int32_t>()) && faces.shape(1) == 3 && is_contiguous(faces),
          "faces: expected (triangle, 3) in int32, contiguous");
  p.vertices = static_cast<const T*>(vertices.data());
  p.vertex_batch = int64_t(vertices.shape(0)), p.vertex_count = int64_t(vertices.shape(1));
  p.faces = static_cast<const int32_t*>(faces.data()), p.triangles = int64_t(faces.shape(0));
  for (int64_t i = 0; i < 3 * p.triangles; i++)
    require(p.faces[i] >= 0 && p.faces[i] < p.vertex_count, "Expected faces of vertices that there are.");
  p.source = static_cast<const T*>(source.data()), p.target = static_cast<const T*>(target.data());
  p.sources = int64_t(source.shape(1)), p.batch = int64_t(target.shape(0)), p.rays = int64_t(target.shape(1));
  if (world_to_pixel) {
    require(holds(*world_to_pixel, 3, nb::dtype<double>()) && int64_t(world_to_pixel->shape(0)) == p.batch &&
                world_to_pixel->shape(1) == 3 && world_to_pixel->shape(2) == 4 && is_contiguous(*world_to_pixel),
            "world_to_pixel: expected (batch, 3, 4) in float64, contiguous");
    require(image_width > 0 && p.rays % image_width == 0 && p.rays <= INT32_MAX,
            "image_width: expected the rays to be rows of so many pixels");
    p.world_to_pixel = static_cast<const double*>(world_to_pixel->data());
    p.image_width = image_width;
  }
  p.threads = threads > 0 ? threads : 1;
  return p;
}

template <class A, class X>
void require_output(const A& array, int64_t size, X, const char* message) {
  require(array.dtype() == nb::dtype<X>() && int64_t(array.size()) == size && is_contiguous(array), message);
}

void mesh_march(Array thickness, std::optional<Array> jacobian, ConstArray vertices, ConstArray faces,
                ConstArray source, ConstArray target, std::optional<ConstArray> world_to_pixel, int64_t image_width,
                int threads) {
  with_dtype(thickness, [&](auto zero) {
    using T = decltype(zero);
    auto p = make_problem<T>(vertices, faces, source, target, world_to_pixel, image_width, threads);
    require_output(thickness, p.batch * p.rays, zero, "thickness: expected (batch, ray), contiguous");
    if (jacobian)
      require_output(*jacobian, p.batch * p.rays * 6, zero, "jacobian: expected (batch, ray, 6), contiguous");
    T* derivatives = jacobian ? static_cast<T*>(jacobian->data()) : nullptr;
    Signals signals;
    p.watch = &signals;
    Status status;
    {
      nb::gil_scoped_release released;
      status = mesh_kernels<T>().march(p, static_cast<T*>(thickness.data()), derivatives);
    }
    signals.pass_on();
    raise(status);
  });
}

void mesh_adjoint(ConstArray cotangent, Array gradient, ConstArray vertices, ConstArray faces, ConstArray source,
                  ConstArray target, std::optional<ConstArray> world_to_pixel, int64_t image_width, int threads) {
  with_dtype(gradient, [&](auto zero) {
    using T = decltype(zero);
    auto p = make_problem<T>(vertices, faces, source, target, world_to_pixel, image_width, threads);
    require_output(cotangent, p.batch * p.rays, zero, "cotangent: expected (batch, ray), contiguous");
    require_output(gradient, int64_t(vertices.size()), zero, "gradient: expected the vertices' shape, contiguous");
    Signals signals;
    p.watch = &signals;
    Status status;
    {
      nb::gil_scoped_release released;
      status = mesh_kernels<T>().march_adjoint(p, static_cast<const T*>(cotangent.data()),
                                               static_cast<T*>(gradient.data()));
    }
    signals.pass_on();
    raise(status);
  });
}

// `allocate` makes what hits are written to, once it is known how many there are: batch, ray, triangle, fraction and
// sign, all but the fraction in int64.
void find_mesh_hits(nb::callable allocate, ConstArray vertices, ConstArray faces, ConstArray source, ConstArray target,
                    std::optional<ConstArray> world_to_pixel, int64_t image_width, int threads) {
  with_dtype(target, [&](auto zero) {
    using T = decltype(zero);
    auto p = make_problem<T>(vertices, faces, source, target, world_to_pixel, image_width, threads);
    struct Found {
      MeshHit<T>* hits = nullptr;
      int64_t count = 0;
      ~Found() { std::free(hits); }
    } found;
    Signals signals;
    p.watch = &signals;
    Status status;
    {
      nb::gil_scoped_release released;
      status = mesh_kernels<T>().find_hits(p, &found.hits, &found.count);
    }
    signals.pass_on();
    raise(status);
    const nb::object made = allocate(found.count);
    const auto column = [&](int i, auto number) {
      const auto array = nb::cast<Array>(made[i]);
      require_output(array, found.count, number, "allocate: expected one number a hit");
      return static_cast<decltype(number)*>(array.data());
    };
    int64_t *batch = column(0, int64_t{}), *ray = column(1, int64_t{}), *triangle = column(2, int64_t{});
    T* fraction = column(3, zero);
    int64_t* sign = column(4, int64_t{});
    nb::gil_scoped_release released;
    for (int64_t i = 0; i < found.count; i++) {
      const MeshHit<T>& hit = found.hits[i];
      batch[i] = hit.ray / p.rays, ray[i] = hit.ray % p.rays, triangle[i] = hit.triangle;
      fraction[i] = hit.fraction, sign[i] = hit.sign;
    }
  });
}

}  // namespace

void define_meshes(nb::module_& m) {
  m.def("mesh_march", &mesh_march, nb::arg(), nb::arg().none(), nb::arg(), nb::arg(), nb::arg(), nb::arg(),
        nb::arg().none(), nb::arg(), nb::arg());
  m.def("mesh_adjoint", &mesh_adjoint, nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(),
        nb::arg().none(), nb::arg(), nb::arg());
  m.def("find_mesh_hits", &find_mesh_hits, nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg().none(),
        nb::arg(), nb::arg());
}

}  // namespace raygrad
