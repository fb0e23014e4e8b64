// The forward march of several volumes on one grid along the same rays, such as the materials of a body: a ray's way
// and its steps are found once for all of them, and only volumes that hold something near a step are read there.
//
// A volume's sums take the very steps that they take when it is marched alone, so its image is the same to the bit.
#pragma once
#include <type_traits>

#include "forward.hpp"

namespace raygrad {
namespace {

// The bricks of several volumes in one byte each: bit i of chunk c tells of volume TOGETHER c + i.
template <class T>
struct BricksTogether {
  int64_t count;  // of one volume's bricks
  Buffer<uint8_t> bytes;

  explicit BricksTogether(const Problem<T>& p)
      : count(p.brick_count[0] * p.brick_count[1] * p.brick_count[2]),
        bytes(p.bricks ? (p.batch + TOGETHER - 1) / TOGETHER * count : 0) {
    if (!p.bricks || !bytes.data) return;
    std::memset(bytes.data, 0, size_t((p.batch + TOGETHER - 1) / TOGETHER * count));
    for (int64_t v = 0; v < p.batch; v++) {
      const uint8_t* own = p.bricks + v * p.bricks_batch_stride;
      uint8_t* bits = bytes.data + v / TOGETHER * count;
      for (int64_t i = 0; i < count; i++) bits[i] |= uint8_t((own[i] != 0) << v % TOGETHER);
    }
  }

  const uint8_t* of_chunk(const Problem<T>& p, int64_t chunk) const {
    return p.bricks ? bytes.data + chunk * count : nullptr;
  }
};

// Looks up the entries of a palette for one read: values[volume][read]. `entry`: of a lane; `wanted`: bits of the volumes
// asked for.
template <class T, int READS, class Entry>
RAYGRAD_INLINE void look_up_entries(const T* palette, Entry entry, int read, unsigned wanted,
                                    Values<T> values[TOGETHER][READS]) {
  for (int row = 0; row < TOGETHER / ROW; row++) {
    if (!(wanted >> row * ROW & ((1u << ROW) - 1))) continue;
    Values<T> found[ROW];
    GatherRows<T>::run(palette + row * PALETTE * ROW, entry, found);
    for (int i = 0; i < ROW; i++) values[row * ROW + i][read] = found[i];
  }
}

// Looks up what volumes hold where a step reads. `ahead`: elements from there to a step that soon follows.
template <class T, class Step>
RAYGRAD_INLINE void look_up(const Problem<T>& p, const Step& step, int reads, unsigned wanted, int64_t ahead,
                            Values<T> values[TOGETHER][Step::READS]) {
  const uint16_t* index = p.palette_index + step.place;
  unsigned done = 0;
  for (int r = 0; r < reads; r++) {
    if (done >> r & 1) continue;
    const Indices<T> voxels = step.read(r);
    Integer<T> at[LANES<T>];
    __builtin_memcpy(at, &voxels, sizeof(voxels));
    if (r == 0 && ahead)  // too far apart for the hardware to guess
      for (int l = 0; l < LANES<T>; l++) __builtin_prefetch(index + ahead + at[l]);
    const auto entry = [&](int l) __attribute__((always_inline)) { return size_t(index[at[l]]) * ROW; };
    look_up_entries<T, Step::READS>(p.palette, entry, r, wanted, values);
    if (const int next = step.neighbour(r)) {
      done |= 1u << next;
      const auto following = [&](int l) __attribute__((always_inline)) { return size_t(index[at[l] + 1]) * ROW; };
      look_up_entries<T, Step::READS>(p.palette, following, next, wanted, values);
    }
  }
}

// Adds up the volumes from `first` on, as many as `bricks` and `p.brick_bits` tell of.
template <template <class> class R, class T, bool DERIVATIVES>
void sum_together(const Problem<T>& p, const uint8_t* bricks, const Rays<T>& rays, const typename R<T>::Way& way,
                  int64_t first, const Output<T>& output) {
  using Sums = typename R<T>::template Sums<DERIVATIVES>;
  Sums sums[TOGETHER] = {{p, way}, {p, way}, {p, way}, {p, way}, {p, way}, {p, way}, {p, way}, {p, way}};
  const int64_t ahead = 4 * R<T>::per_step(p, way);
  unsigned met = 0;
  R<T>::each_stretch_of(p, bricks, way, whole(p), [&](unsigned occupied, auto run) __attribute__((always_inline)) {
    met |= occupied;
    Sums* of[TOGETHER];
    const T* volume[TOGETHER];
    int count = 0;
    for (unsigned bits = occupied; bits; bits &= bits - 1, count++) {
      const int i = __builtin_ctz(bits);
      of[count] = sums + i, volume[count] = p.volume + (first + i) * p.volume_batch_stride;
    }
    if (p.palette) {
      run([&](const auto& step) __attribute__((always_inline)) {
        using Step = std::remove_cv_t<std::remove_reference_t<decltype(step)>>;
        Values<T> values[TOGETHER][Step::READS];
        const int reads = step.reads();
        look_up<T>(p, step, reads, occupied, ahead, values);
        for (int i = 0; i < count; i++) of[i]->take(values[of[i] - sums], step, reads);
      });
    } else {
      run([&](const auto& step) __attribute__((always_inline)) {
        for (int i = 0; i < count; i++) of[i]->add(volume[i], step);
      });
    }
  });
  for (; met; met &= met - 1) {  // the others are 0
    const int i = __builtin_ctz(met);
    for (int l = 0; l < LANES<T>; l++) {
      if (!way.lane[l]) continue;
      typename R<T>::Totals totals = sums[i].lane(l);
      R<T>::finish(p, p.volume + (first + i) * p.volume_batch_stride, rays, way, l, nullptr, &totals, 1, first + i,
                   output);
    }
  }
}

template <template <class> class R, class T>
Status march_together(const Problem<T>& p, T* image, T* jacobian) {
  const Output<T> output{p, image, jacobian};
  const BricksTogether<T> bricks(p);
  Problem<T> once = p;  // the rays, which are scheduled once
  once.batch = 1;
  const Schedule<T> schedule(once);
  if (!schedule.allocated() || !bricks.bytes.data) return OUT_OF_MEMORY;
#pragma omp parallel for schedule(dynamic, 1) num_threads(threads_for(schedule.packets(), p.threads))
  for (int64_t packet = 0; packet < schedule.packets(); packet++) {
    if (ended(p)) continue;
    Rays<T> rays;
    rays.load(p, 0, schedule.tiling.data[0], packet);
    for (int64_t v = 0; v < p.batch; v++)
      for (int l = 0; l < LANES<T>; l++)
        if (rays.ray[l] >= 0) output.clear(v, rays.ray[l]);
    R<T>::each_way(p, rays, whole(p), [&](const auto& way) {
      Problem<T> some = p;
      for (int64_t first = 0; first < p.batch; first += TOGETHER) {
        some.brick_bits = (1u << least(p.batch - first, TOGETHER)) - 1;
        const uint8_t* own = bricks.of_chunk(p, first / TOGETHER);
        if (jacobian) sum_together<R, T, true>(some, own, rays, way, first, output);
        else sum_together<R, T, false>(some, own, rays, way, first, output);
      }
    });
  }
  return OK;
}

// Whether a problem is one for this march.
template <class T>
bool is_together(const Problem<T>& p) {
  return p.same_rays && p.reduction == Reduction::sum && p.label_type == LabelType::none;
}

template <template <class> class R, class T>
Status march_any(const Problem<T>& p, T* image, T* jacobian) {
  return is_together(p) ? march_together<R>(p, image, jacobian) : march<R>(p, image, jacobian);
}

}  // namespace
}  // namespace raygrad
