// The Python module: checks nothing but what memory safety needs (the public functions check the rest), chooses the
// instruction set, releases the GIL.
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <string>

#include "arrays.hpp"
#include "signals.hpp"
#ifdef __linux__
#include <sys/mman.h>
#endif

namespace raygrad {

#define RAYGRAD_DECLARE(isa)                     \
  namespace isa {                                \
  extern const Kernels<float> float32;           \
  extern const Kernels<double> float64;          \
  extern const MeshKernels<float> mesh_float32;  \
  extern const MeshKernels<double> mesh_float64; \
  }
RAYGRAD_DECLARE(baseline)
#ifdef RAYGRAD_HAS_AVX2
RAYGRAD_DECLARE(avx2)
#endif
#ifdef RAYGRAD_HAS_AVX512
RAYGRAD_DECLARE(avx512)
#endif

namespace {

const InstructionSet INSTRUCTION_SETS[] = {
#ifdef RAYGRAD_HAS_AVX512
    {"avx512",
     [] {
       return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
              __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("fma");
     },
     &avx512::float32, &avx512::float64, &avx512::mesh_float32, &avx512::mesh_float64},
#endif
#ifdef RAYGRAD_HAS_AVX2
    {"avx2", [] { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }, &avx2::float32,
     &avx2::float64, &avx2::mesh_float32, &avx2::mesh_float64},
#endif
    {"baseline", [] { return true; }, &baseline::float32, &baseline::float64, &baseline::mesh_float32,
     &baseline::mesh_float64},
};

}  // namespace

const InstructionSet& instruction_set() {
  static const InstructionSet& chosen = []() -> const InstructionSet& {
    const char* wanted = std::getenv("RAYGRAD_INSTRUCTION_SET");
    for (const auto& set : INSTRUCTION_SETS)
      if (wanted ? std::strcmp(wanted, set.name) == 0 && set.supported() : set.supported()) return set;
    throw std::invalid_argument(std::string("RAYGRAD_INSTRUCTION_SET names one that this machine or build lacks: ") +
                                wanted);
  }();
  return chosen;
}

namespace {

template <class T>
const Kernels<T>& kernels() {
  if constexpr (sizeof(T) == 4) return *instruction_set().float32;
  else return *instruction_set().float64;
}

// The renderer of that name, in the chosen instruction set.
template <class T>
const Renderer<T>& renderer_named(const std::string& name) {
  for (int i = 0; i < kernels<T>().renderer_count; i++)
    if (name == kernels<T>().renderers[i].name) return kernels<T>().renderers[i];
  throw std::invalid_argument("renderer: unknown");
}

nb::tuple renderers() {
  nb::list names;
  for (int i = 0; i < kernels<float>().renderer_count; i++) names.append(kernels<float>().renderers[i].name);
  return nb::tuple(names);
}

// Whether each element has memory of its own, as in every view of a tensor but those that repeat elements. What is left
// after sorting by strides must reach farther with each axis; a layout that interleaves axes in another way is refused.
bool shares_no_memory(const Array& array) {
  size_t order[4] = {0, 1, 2, 3};
  std::sort(order, order + array.ndim(), [&](size_t a, size_t b) { return array.stride(a) < array.stride(b); });
  int64_t reach = 0;  // of the axes so far: from their first element to their last
  for (size_t i = 0; i < array.ndim(); i++) {
    if (array.shape(order[i]) == 1) continue;
    if (array.stride(order[i]) <= reach) return false;
    reach += int64_t(array.shape(order[i]) - 1) * array.stride(order[i]);
  }
  return true;
}

void require_own_memory(const Array& output) {
  if (shares_no_memory(output)) return;
  std::string shape, strides;
  for (size_t i = 0; i < output.ndim(); i++) {
    shape += (i ? ", " : "") + std::to_string(output.shape(i));
    strides += (i ? ", " : "") + std::to_string(output.stride(i));
  }
  throw std::invalid_argument("Expected an output with memory of its own for every voxel. Got strides (" + strides +
                              ") for a volume of shape (" + shape + ").");
}

// Entries of the images: those of the rays, or where one entry of rays is for several volumes, those.
size_t batch_of(const ConstArray& volume, const ConstArray& target) {
  require(volume.ndim() == 4 && target.ndim() == 3, "expected a volume (batch, x, y, z) and targets (batch, ray, 3)");
  return target.shape(0) == 1 ? volume.shape(0) : target.shape(0);
}

// Where bricks, the palette and each voxel's number in it lie in one array of bytes.
struct PaletteLayout {
  int64_t voxels = 1, bricks = 1;  // of one volume
  int64_t palette, index, bytes;

  template <class A>
  PaletteLayout(const A& volume, size_t item) {
    for (size_t a = 1; a < 4; a++) {
      voxels *= int64_t(volume.shape(a));
      bricks *= (int64_t(volume.shape(a)) + BRICK - 1) / BRICK;
    }
    palette = (int64_t(volume.shape(0)) * bricks + 63) / 64 * 64;
    index = palette + TOGETHER * PALETTE * int64_t(item);
    bytes = index + (voxels * 2 + 63) / 64 * 64;
  }
};

// Everything but the outputs, with pointers into the arrays that the caller holds.
template <class T>
Problem<T> make_problem(const ConstArray& volume, const ConstArray& source, const ConstArray& target,
                        const ConstArray& world_to_voxel, const std::optional<ConstArray>& labels, int64_t channels,
                        const std::optional<ConstArray>& bricks, int64_t n_points, const std::string& reducefn,
                        int64_t image_width, int threads) {
  Problem<T> p{};
  require(holds(volume, 4, nb::dtype<T>()), "volume: expected 4 dimensions of the image's dtype");
  require(holds(source, 3, nb::dtype<T>()) && source.shape(2) == 3, "source: expected (batch, ray, 3)");
  require(holds(target, 3, nb::dtype<T>()) && target.shape(2) == 3, "target: expected (batch, ray, 3)");
  require(holds(world_to_voxel, 2, nb::dtype<double>()) && world_to_voxel.shape(0) == 4 && world_to_voxel.shape(1) == 4,
          "world_to_voxel: expected (4, 4) in float64");
  p.batch = int64_t(batch_of(volume, target)), p.rays = int64_t(target.shape(1));
  p.same_rays = target.shape(0) == 1 && volume.shape(0) > 1;
  require(source.shape(0) == target.shape(0), "source: expected the targets' batch");
  require(source.shape(1) == 1 || int64_t(source.shape(1)) == p.rays, "source: expected one, or one per target");
  require(volume.shape(0) == 1 || int64_t(volume.shape(0)) == p.batch, "volume: expected one, or one per batch entry");
  p.volume = static_cast<const T*>(volume.data());
  p.volume_batch_stride = volume.shape(0) == 1 ? 0 : volume.stride(0);
  int64_t farthest = 0;
  for (int a = 0; a < 3; a++) {
    p.shape[a] = int64_t(volume.shape(size_t(a) + 1)), p.stride[a] = volume.stride(size_t(a) + 1);
    farthest += (p.shape[a] - 1) * p.stride[a];
  }
  if (sizeof(T) == 4 && farthest > INT32_MAX)
    throw std::invalid_argument("a float32 volume of over 2^31 elements: use float64 or backend='reference'");
  p.source = static_cast<const T*>(source.data()), p.target = static_cast<const T*>(target.data());
  for (size_t i = 0; i < 3; i++) p.source_stride[i] = source.stride(i), p.target_stride[i] = target.stride(i);
  if (source.shape(1) == 1) p.source_stride[1] = 0;
  if (p.same_rays) p.source_stride[0] = p.target_stride[0] = 0;
  p.image_width = image_width;
  const double* matrix = static_cast<const double*>(world_to_voxel.data());
  for (int a = 0; a < 3; a++)
    for (int i = 0; i < 4; i++)
      p.world_to_voxel[a][i] = matrix[a * world_to_voxel.stride(0) + i * world_to_voxel.stride(1)];
  p.channels = channels;
  p.label_type = LabelType::none;
  if (labels) {
    require(labels->ndim() == 3, "labels: expected (x, y, z)");
    for (int a = 0; a < 3; a++) {
      require(int64_t(labels->shape(size_t(a))) == p.shape[a], "labels: expected the volume's shape");
      p.label_stride[a] = labels->stride(size_t(a));
    }
    p.labels = labels->data();
    p.label_type = labels->dtype() == nb::dtype<uint8_t>()   ? LabelType::uint8
                   : labels->dtype() == nb::dtype<int16_t>() ? LabelType::int16
                   : labels->dtype() == nb::dtype<int32_t>() ? LabelType::int32
                   : labels->dtype() == nb::dtype<int64_t>() ? LabelType::int64
                                                             : LabelType::none;
    require(p.label_type != LabelType::none, "labels: expected uint8, int16, int32 or int64");
  } else {
    require(channels == 1, "channels without labels");
  }
  p.brick_bits = 1;
  if (bricks && bricks->ndim() == 1) {  // with a palette: see find_palette
    const PaletteLayout layout(volume, sizeof(T));
    require(holds(*bricks, 1, nb::dtype<uint8_t>()) && is_contiguous(*bricks) &&
                int64_t(bricks->size()) == layout.bytes,
            "palette: expected that of the volumes");
    const uint8_t* bytes = static_cast<const uint8_t*>(bricks->data());
    p.bricks = bytes, p.bricks_batch_stride = layout.bricks;
    for (int a = 0; a < 3; a++) p.brick_count[a] = (p.shape[a] + BRICK - 1) / BRICK;
    p.palette = reinterpret_cast<const T*>(bytes + layout.palette);
    p.palette_index = reinterpret_cast<const uint16_t*>(bytes + layout.index);
  } else if (bricks) {
    require(holds(*bricks, 4, nb::dtype<uint8_t>()) && bricks->shape(0) == volume.shape(0) && is_contiguous(*bricks),
            "bricks: expected (batch, x, y, z), contiguous");
    p.bricks = static_cast<const uint8_t*>(bricks->data());
    for (int a = 0; a < 3; a++) {
      p.brick_count[a] = int64_t(bricks->shape(size_t(a) + 1));
      require(p.brick_count[a] == (p.shape[a] + BRICK - 1) / BRICK, "bricks: expected those of the volume");
    }
    p.bricks_batch_stride = bricks->shape(0) == 1 ? 0 : p.brick_count[0] * p.brick_count[1] * p.brick_count[2];
  }
  require(reducefn == "sum" || reducefn == "max", "reducefn: unknown");
  p.reduction = reducefn == "sum" ? Reduction::sum : Reduction::max;
  require(n_points > 0, "n_points: expected at least 1");
  p.n_points = n_points;
  p.threads = threads > 0 ? threads : 1;
  return p;
}

void march_with_jacobian(Array image, std::optional<Array> jacobian, ConstArray volume, ConstArray source,
                         ConstArray target, ConstArray world_to_voxel, std::optional<ConstArray> labels,
                         std::optional<ConstArray> bricks, int64_t image_width, const std::string& renderer,
                         int64_t n_points, const std::string& reducefn, int threads) {
  with_dtype(image, [&](auto zero) {
    using T = decltype(zero);
    require(image.ndim() == 3 && image.shape(0) == batch_of(volume, target) && image.shape(2) == target.shape(1) &&
                is_contiguous(image),
            "image: expected (batch, channel, ray), contiguous");
    require(!jacobian || (holds(*jacobian, 4, nb::dtype<T>()) && jacobian->size() == 6 * image.size() &&
                          is_contiguous(*jacobian)),
            "jacobian: expected (batch, channel, ray, 6), contiguous");
    const Renderer<T>& chosen = renderer_named<T>(renderer);
    Problem<T> p = make_problem<T>(volume, source, target, world_to_voxel, labels, int64_t(image.shape(1)),
                                         bricks, n_points, reducefn, image_width, threads);
    T* derivatives = jacobian ? static_cast<T*>(jacobian->data()) : nullptr;
    Signals signals;
    p.watch = &signals;
    Status status;
    {
      nb::gil_scoped_release released;
      status = chosen.march(p, static_cast<T*>(image.data()), derivatives);
    }
    signals.pass_on();
    raise(status);
  });
}

void march(Array image, ConstArray volume, ConstArray source, ConstArray target, ConstArray world_to_voxel,
           std::optional<ConstArray> labels, std::optional<ConstArray> bricks, int64_t image_width,
           const std::string& renderer, int64_t n_points, const std::string& reducefn, int threads) {
  march_with_jacobian(std::move(image), std::nullopt, std::move(volume), std::move(source), std::move(target),
                      std::move(world_to_voxel), std::move(labels), std::move(bricks), image_width, renderer, n_points,
                      reducefn, threads);
}

// Ask for large pages under memory that is about to be written for the first time: a fresh volume costs the kernel
// tens of thousands of page faults otherwise, which is half of the adjoint's time. Only a hint, ignored elsewhere.
void prefer_large_pages([[maybe_unused]] void* data, [[maybe_unused]] size_t bytes) {
#if defined(__linux__) && defined(MADV_HUGEPAGE)
  constexpr uintptr_t LARGE = uintptr_t(2) << 20;
  const uintptr_t begin = (reinterpret_cast<uintptr_t>(data) + LARGE - 1) / LARGE * LARGE;
  const uintptr_t end = (reinterpret_cast<uintptr_t>(data) + bytes) / LARGE * LARGE;
  if (end > begin) madvise(reinterpret_cast<void*>(begin), end - begin, MADV_HUGEPAGE);
#endif
}

void march_adjoint(ConstArray cotangent, Array gradient, ConstArray volume, ConstArray source, ConstArray target,
                   ConstArray world_to_voxel, std::optional<ConstArray> labels, int64_t image_width,
                   const std::string& renderer, int64_t n_points, const std::string& reducefn, int threads) {
  with_dtype(gradient, [&](auto zero) {
    using T = decltype(zero);
    require(holds(cotangent, 3, nb::dtype<T>()) && cotangent.shape(0) == batch_of(volume, target) &&
                cotangent.shape(2) == target.shape(1) && is_contiguous(cotangent),
            "cotangent: expected (batch, channel, ray), contiguous");
    const Renderer<T>& chosen = renderer_named<T>(renderer);
    Problem<T> p = make_problem<T>(volume, source, target, world_to_voxel, labels, int64_t(cotangent.shape(1)),
                                         std::nullopt, n_points, reducefn, image_width, threads);
    require(gradient.ndim() == 4, "gradient: expected (batch, x, y, z)");
    for (size_t a = 0; a < 4; a++) {
      const bool in_step = gradient.shape(a) == 1 || gradient.stride(a) == volume.stride(a);
      require(gradient.shape(a) == volume.shape(a) && in_step, "gradient: expected the volume's shape and strides");
    }
    require_own_memory(gradient);
    prefer_large_pages(gradient.data(), gradient.nbytes());
    Signals signals;
    p.watch = &signals;
    Status status;
    {
      nb::gil_scoped_release released;
      status = chosen.march_adjoint(p, static_cast<const T*>(cotangent.data()), static_cast<T*>(gradient.data()));
    }
    signals.pass_on();
    raise(status);
  });
}

bool occupied_bricks(ConstArray volume, Array bricks, int threads) {
  bool finite = true;
  with_dtype(volume, [&](auto zero) {
    using T = decltype(zero);
    require(volume.ndim() == 4 && holds(bricks, 4, nb::dtype<uint8_t>()),
            "expected volume and bricks (batch, x, y, z)");
    int64_t shape[3], stride[3], size = 1;
    for (int a = 0; a < 3; a++) {
      shape[a] = int64_t(volume.shape(size_t(a) + 1)), stride[a] = volume.stride(size_t(a) + 1);
      size *= (shape[a] + BRICK - 1) / BRICK;
    }
    require(int64_t(bricks.size()) == size * int64_t(volume.shape(0)) && is_contiguous(bricks),
            "bricks: expected those of the volume, contiguous");
    nb::gil_scoped_release released;
    for (int64_t b = 0; b < int64_t(volume.shape(0)); b++)
      finite &= kernels<T>().occupied_bricks(static_cast<const T*>(volume.data()) + b * volume.stride(0), shape, stride,
                                             static_cast<uint8_t*>(bricks.data()) + b * size, threads);
  });
  return finite;
}

int64_t palette_bytes(ConstArray volume) {
  require(volume.ndim() == 4, "expected volumes (volume, x, y, z)");
  return PaletteLayout(volume, volume.itemsize()).bytes;
}

// Fills in palette and numbers behind the bricks; false if the volumes hold too many sets of values.
bool find_palette(ConstArray volume, Array bytes, int threads) {
  bool found = false;
  with_dtype(volume, [&](auto zero) {
    using T = decltype(zero);
    require(volume.ndim() == 4 && volume.shape(0) <= TOGETHER && holds(bytes, 1, nb::dtype<uint8_t>()),
            "expected at most 8 volumes (volume, x, y, z) and bytes");
    const PaletteLayout layout(volume, sizeof(T));
    require(int64_t(bytes.size()) == layout.bytes && is_contiguous(bytes), "palette: expected that of the volumes");
    int64_t farthest = 0;
    for (size_t a = 1; a < 4; a++) farthest += int64_t(volume.shape(a) - 1) * volume.stride(a);
    require(farthest == layout.voxels - 1, "expected volumes without gaps");
    uint8_t* data = static_cast<uint8_t*>(bytes.data());
    nb::gil_scoped_release released;
    found = kernels<T>().find_palette(static_cast<const T*>(volume.data()), int64_t(volume.shape(0)), volume.stride(0),
                                      layout.voxels, reinterpret_cast<T*>(data + layout.palette),
                                      reinterpret_cast<uint16_t*>(data + layout.index), threads);
  });
  return found;
}

void add_voxel_driven(Array volume, ConstArray images, ConstArray voxel_to_pixel, ConstArray distance, int threads) {
  with_dtype(volume, [&](auto zero) {
    using T = decltype(zero);
    require(volume.ndim() == 3, "volume: expected (x, y, z)");
    require_own_memory(volume);
    require(holds(images, 3, nb::dtype<T>()), "images: expected (view, height, width) of the volume's dtype");
    require(holds(voxel_to_pixel, 3, nb::dtype<double>()) && voxel_to_pixel.shape(0) == images.shape(0) &&
                voxel_to_pixel.shape(1) == 3 && voxel_to_pixel.shape(2) == 4 && is_contiguous(voxel_to_pixel),
            "voxel_to_pixel: expected (view, 3, 4) in float64, contiguous");
    require(holds(distance, 1, nb::dtype<double>()) && distance.shape(0) == images.shape(0) && is_contiguous(distance),
            "distance: expected one per view in float64, contiguous");
    if ((images.shape(1) + 4) * (images.shape(2) + 32) > INT32_MAX)
      throw std::invalid_argument("an image of over 2^31 pixels: use backend='reference'");
    VoxelDriven<T> p{};
    p.images = static_cast<const T*>(images.data());
    p.views = int64_t(images.shape(0)), p.height = int64_t(images.shape(1)), p.width = int64_t(images.shape(2));
    p.voxel_to_pixel = static_cast<const double*>(voxel_to_pixel.data());
    p.distance = static_cast<const double*>(distance.data());
    p.volume = static_cast<T*>(volume.data());
    for (size_t a = 0; a < 3; a++) {
      p.image_stride[a] = images.stride(a);
      p.shape[a] = int64_t(volume.shape(a)), p.stride[a] = volume.stride(a);
    }
    p.threads = threads > 0 ? threads : 1;
    Signals signals;
    p.watch = &signals;
    Status status;
    {
      nb::gil_scoped_release released;
      status = kernels<T>().add_voxel_driven(p);
    }
    signals.pass_on();
    raise(status);
  });
}

std::string threading() {
#ifdef _OPENMP
  return "OpenMP threads";
#else
  return "one thread (built without OpenMP)";
#endif
}

}  // namespace
}  // namespace raygrad

NB_MODULE(_march, m) {
  using namespace raygrad;
  m.attr("BRICK") = BRICK;
  m.def("instruction_set", [] { return std::string(instruction_set().name); });
  m.def("threading", &threading);
  m.def("renderers", &renderers);
  m.def("occupied_bricks", &occupied_bricks);
  m.def("palette_bytes", &palette_bytes);
  m.def("find_palette", &find_palette);
  m.def("march", &march, nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg().none(), nb::arg().none(),
        nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg());
  m.def("march_with_jacobian", &march_with_jacobian, nb::arg(), nb::arg().none(), nb::arg(), nb::arg(), nb::arg(),
        nb::arg(), nb::arg().none(), nb::arg().none(), nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg());
  m.def("march_adjoint", &march_adjoint, nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(),
        nb::arg().none(), nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg());
  m.def("add_voxel_driven", &add_voxel_driven);
  define_meshes(m);
}
