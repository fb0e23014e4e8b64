// What a march is given: plain data, the same for every instruction set.
//
// Coordinates inside the C++ code put voxel i over [i, i + 1), so that the voxel of a coordinate is its floor:
// they are voxel coordinates (centres at integers) plus one half.
#pragma once
#include <cstdint>

#include "watch.hpp"

namespace raygrad {

constexpr int BRICK = 16;    // voxels along each side of the bricks that a march can skip
constexpr int TOGETHER = 8;  // volumes that one walk reads at most: a bit each in a byte that says what a brick holds
constexpr int ROW = 4;       // values that are looked up together in a palette
constexpr int64_t PALETTE = 65536;  // sets of values that one holds at most

enum class Reduction { sum, max };
enum class LabelType { none, uint8, int16, int32, int64 };

// Why a march refused its input; 0 is success.
enum Status { OK = 0, LABEL_OUTSIDE_CHANNELS = 1, OUT_OF_MEMORY = 2 };

template <class T>
struct Problem {
  const T* volume;
  int64_t volume_batch_stride;  // 0 for one volume shared by the batch
  int64_t shape[3], stride[3];  // voxels along x, y, z, and elements between neighbours

  const T *source, *target;
  int64_t source_stride[3], target_stride[3];  // batch, ray, xyz; 0 where sources are shared
  int64_t batch, rays;
  bool same_rays;  // the batch are several volumes along the same rays, whose strides of the batch are 0
  int64_t image_width;          // columns of the image that the rays are, or 0
  double world_to_voxel[3][4];  // to coordinates with voxel centres at integers

  const void* labels;
  LabelType label_type;
  int64_t label_stride[3], channels;

  const uint8_t* bricks;  // 1 where occupied, contiguous; null: march through everything
  int64_t bricks_batch_stride, brick_count[3];
  const uint16_t* palette_index;  // each voxel's number in the palette, in the memory order of a volume; or null
  const T* palette;               // (TOGETHER / ROW, PALETTE, ROW), see palette.hpp
  unsigned brick_bits;  // of which volumes a brick tells: 1, or the lowest bits where several are read together

  Reduction reduction;
  int64_t n_points;
  int threads;
  Watch* watch;  // or null
};

// A voxel-driven back projection, added to `volume`.
template <class T>
struct VoxelDriven {
  const T* images;
  int64_t views, height, width, image_stride[3];  // view, row, column
  const double* voxel_to_pixel;                   // (view, 3, 4), contiguous
  const double* distance;                         // one per view
  T* volume;
  int64_t shape[3], stride[3];
  int threads;
  Watch* watch;  // or null
};

// Whether what is computed will not be wanted.
template <class P>
inline bool ended(const P& p) { return p.watch && p.watch->ended(); }

// A renderer's march and its adjoint. `jacobian` may be null. All arrays written are contiguous but for `gradient`,
// which has the volume's strides.
template <class T>
struct Renderer {
  const char* name;
  Status (*march)(const Problem<T>&, T* image, T* jacobian);
  Status (*march_adjoint)(const Problem<T>&, const T* cotangent, T* gradient);
};

// One instruction set's kernels.
template <class T>
struct Kernels {
  const Renderer<T>* renderers;
  int renderer_count;
  bool (*occupied_bricks)(const T* volume, const int64_t shape[3], const int64_t stride[3], uint8_t* bricks,
                          int threads);  // false if a voxel is NaN or infinite
  bool (*find_palette)(const T* volumes, int64_t count, int64_t stride, int64_t size, T* palette, uint16_t* index,
                       int threads);  // false if there are too many sets of values
  Status (*add_voxel_driven)(const VoxelDriven<T>&);
};

}  // namespace raygrad
