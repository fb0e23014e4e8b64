// The forward marches, of any renderer: line integrals or maxima, with derivatives, by label.
//
// A renderer is a struct template over the dtype (siddon.hpp, joseph.hpp, trilinear.hpp) that says how a packet's rays
// read a volume:
//   Way                   the packet's rays inside a box, lane[l] where ray l meets it
//   each_way              visits the ways of a packet: one, or one for each main axis
//   each_stretch_of       visits the stretches of a way between empty bricks, with what is occupied there and what runs
//                         through the steps: slabs or samples, in their order
//   Sums<DERIVATIVES>     adds up steps in lanes; lane(l) are one ray's Totals
//   Totals, add_by_label  the same sums for each label, [channel][lane]
//   finish                from a ray's totals to its pixels: the integral and its derivatives, in each channel
//   Largest               keeps the largest value that each ray meets, and where it was read
//   millimetres           what a step of unit weight stands for
//   scatter_to            the adjoint of adding a step
#pragma once
#include <cstring>

#include "labels.hpp"
#include "schedule.hpp"
#include "totals.hpp"

namespace raygrad {
namespace {

// Visits the steps of a way, past empty bricks.
template <template <class> class R, class T, class Visit>
RAYGRAD_INLINE void walk(const Problem<T>& p, const uint8_t* bricks, const typename R<T>::Way& way, const Box& box,
                         Visit visit) {
  R<T>::each_stretch_of(p, bricks, way, box, [&](unsigned, auto run) __attribute__((always_inline)) { run(visit); });
}

template <template <class> class R, class T, bool DERIVATIVES>
void sum(const Problem<T>& p, const T* volume, const uint8_t* bricks, const Rays<T>& rays,
         const typename R<T>::Way& way, int64_t batch, const Output<T>& output) {
  typename R<T>::template Sums<DERIVATIVES> sums(p, way);
  walk<R>(p, bricks, way, whole(p),
          [&](const auto& step) __attribute__((always_inline)) { sums.add(volume, step); });
  for (int l = 0; l < LANES<T>; l++) {
    if (!way.lane[l]) continue;
    typename R<T>::Totals totals = sums.lane(l);
    R<T>::finish(p, volume, rays, way, l, nullptr, &totals, 1, batch, output);
  }
}

template <template <class> class R, class T>
void sum_by_label(const Problem<T>& p, const T* volume, const uint8_t* bricks, const Rays<T>& rays,
                  const typename R<T>::Way& way, int64_t batch, const Output<T>& output, LabelReader<T>& labels,
                  typename R<T>::Totals* totals) {
  constexpr int N = LANES<T>;
  std::memset(static_cast<void*>(totals), 0, size_t(p.channels) * N * sizeof(*totals));
  walk<R>(p, bricks, way, whole(p),
          [&](const auto& step) { R<T>::add_by_label(p, volume, way, step, labels, totals); });
  for (int l = 0; l < N; l++)
    if (way.lane[l]) R<T>::finish(p, volume, rays, way, l, &labels, totals + l, N, batch, output);
}

// The largest value along each ray; `reading`, where given, says where it was read.
template <template <class> class R, class T>
typename R<T>::Largest largest(const Problem<T>& p, const T* volume, const uint8_t* bricks,
                               const typename R<T>::Way& way, Reading<T>* reading) {
  typename R<T>::Largest found;
  walk<R>(p, bricks, way, whole(p), [&](const auto& step) { found.meet(p, volume, way, step, reading); });
  return found;
}

template <template <class> class R, class T>
void march_packet(const Problem<T>& p, const Rays<T>& rays, int64_t batch, const Output<T>& output,
                  LabelReader<T>& labels, typename R<T>::Totals* scratch) {
  const T* volume = p.volume + batch * p.volume_batch_stride;
  const uint8_t* bricks = p.bricks ? p.bricks + batch * p.bricks_batch_stride : nullptr;
  for (int l = 0; l < LANES<T>; l++)
    if (rays.ray[l] >= 0) output.clear(batch, rays.ray[l]);
  R<T>::each_way(p, rays, whole(p), [&](const auto& way) {
    if (p.reduction == Reduction::max) {
      const auto found = largest<R>(p, volume, bricks, way, static_cast<Reading<T>*>(nullptr));
      for (int l = 0; l < LANES<T>; l++)
        if (way.lane[l]) found.finish(p, rays, way, l, output.at(batch, 0, rays.ray[l]));
    } else if (p.label_type != LabelType::none) {
      sum_by_label<R>(p, volume, bricks, rays, way, batch, output, labels, scratch);
    } else if (output.jacobian) {
      sum<R, T, true>(p, volume, bricks, rays, way, batch, output);
    } else {
      sum<R, T, false>(p, volume, bricks, rays, way, batch, output);
    }
  });
}

template <template <class> class R, class T>
Status march(const Problem<T>& p, T* image, T* jacobian) {
  const Output<T> output{p, image, jacobian};
  const Schedule<T> schedule(p);
  if (!schedule.allocated()) return OUT_OF_MEMORY;
  int status = OK;
#pragma omp parallel num_threads(threads_for(schedule.packets(), p.threads)) reduction(| : status)
  {
    LabelReader<T> labels{p};
    const bool by_label = p.label_type != LabelType::none;
    Buffer<typename R<T>::Totals> scratch(by_label ? p.channels * LANES<T> : 0);
    if (!scratch.data) status |= OUT_OF_MEMORY;
#pragma omp for schedule(dynamic, 1)  // neighbours share cache lines: threads do best side by side
    for (int64_t i = 0; i < schedule.packets(); i++) {
      if (!scratch.data || ended(p)) continue;
      const int64_t b = schedule.entry_of(i);
      Rays<T> rays;
      rays.load(p, b, schedule.tiling.data[b], i - schedule.begin.data[b]);
      march_packet<R>(p, rays, b, output, labels, scratch.data);
    }
    if (labels.stray) status |= LABEL_OUTSIDE_CHANNELS;
  }
  return status & OUT_OF_MEMORY ? OUT_OF_MEMORY : Status(status);
}

}  // namespace
}  // namespace raygrad
