// The adjoint marches, of any renderer: what each ray leaves in the voxels that it reads.
#pragma once
#include "forward.hpp"

namespace raygrad {
namespace {

// What a unit of a packet's steps leaves in the voxels, ray by ray: millimetres, times the cotangent of the only
// channel or of the channel of a voxel's label.
template <class T>
struct Weights {
  const Problem<T>& p;
  const T* cotangent;
  const Rays<T>& rays;
  const bool* lane;
  int64_t batch;
  Values<T> per_step{}, weight{};

  T cotangent_of(int64_t channel, int l) const {
    return cotangent[(batch * p.channels + channel) * p.rays + rays.ray[l]];
  }

  void set(int l, T millimetres) {
    per_step[l] = millimetres;
    weight[l] = p.label_type != LabelType::none ? T(0) : cotangent_of(0, l) * per_step[l];
  }

  // With labels, the weights for the voxels that label_of(lane) looks at.
  template <class F>
  RAYGRAD_INLINE void look_up(F label_of) {
    if (p.label_type == LabelType::none) return;
    for (int l = 0; l < LANES<T>; l++)
      if (lane[l]) weight[l] = cotangent_of(label_of(l), l) * per_step[l];
  }
};

template <template <class> class R, class T>
void scatter_way(const Problem<T>& p, T* gradient, const Rays<T>& rays, const typename R<T>::Way& way, const Box& box,
                 const T* cotangent, int64_t batch, LabelReader<T>& labels) {
  Weights<T> weights{p, cotangent, rays, way.lane, batch};
  for (int l = 0; l < LANES<T>; l++)
    if (way.lane[l]) weights.set(l, R<T>::millimetres(p, rays, way, l));
  walk<R>(p, nullptr, way, box, [&](const auto& step) { R<T>::scatter_to(gradient, way, step, weights, labels); });
}

// How far a packet's rays reach along one axis while inside the volume, in voxels; empty where they miss it.
struct Reach {
  float low, high;
};

template <class T>
Reach reach_of(const Problem<T>& p, const Rays<T>& rays, int axis) {
  double low = 1e30, high = -1e30;
  for (int l = 0; l < LANES<T>; l++) {
    if (rays.axis[l] < 0) continue;
    double first = 0, last = 1;
    bool entered, left;
    for (int a = 0; a < 3; a++)
      narrow(rays.start[a][l], rays.step[a][l], -0.5, double(p.shape[a]) + 0.5, first, last, entered, left);
    if (!(last >= first)) continue;
    const double from = rays.start[axis][l] + first * rays.step[axis][l];
    const double to = rays.start[axis][l] + last * rays.step[axis][l];
    low = least(low, least(from, to)), high = most(high, most(from, to));
  }
  return {float(low - 1), float(high + 1)};
}

// The adjoint of the sum. The volume is cut into boxes along the axis whose neighbours are farthest apart in memory;
// a thread owns a box, goes through all rays in their order, and adds what they leave in its own voxels. So nothing
// needs atomics, and the sums do not depend on the number of threads.
template <template <class> class R, class T>
Status scatter_sum(const Problem<T>& p, const T* cotangent, T* gradient) {
  const Cut cut = cut_volume(p);
  const int axis = cut.axis;
  const int64_t volumes = p.volume_batch_stride ? p.batch : 1, per_volume = p.batch / volumes;
  const Schedule<T> schedule(p);
  if (!schedule.allocated()) return OUT_OF_MEMORY;
  Buffer<Reach> reaches(schedule.packets());
  if (!reaches.data) return OUT_OF_MEMORY;
  int status = OK;
#pragma omp parallel num_threads(threads_for(schedule.packets(), p.threads)) reduction(| : status)
  {
    Rays<T> rays;
    for (int64_t b = 0; b < p.batch; b++) {
#pragma omp for schedule(static)
      for (int64_t tile = 0; tile < schedule.tiling.data[b].count(); tile++) {
        rays.load(p, b, schedule.tiling.data[b], tile);
        reaches.data[schedule.begin.data[b] + tile] = reach_of(p, rays, axis);
      }
    }
    LabelReader<T> labels{p};
#pragma omp for schedule(dynamic, 1) collapse(2)
    for (int64_t i = 0; i < volumes; i++)
      for (int64_t j = 0; j < cut.boxes; j++) {
        T* own = gradient + i * p.volume_batch_stride;
        const Box box = box_of(p, cut, j);
        clear(p, box, own);
        for (int64_t b = i * per_volume; b < (i + 1) * per_volume; b++)
          for (int64_t tile = 0; tile < schedule.tiling.data[b].count(); tile++) {
            if (ended(p)) break;
            const Reach reach = reaches.data[schedule.begin.data[b] + tile];
            if (!(reach.high >= float(box.low[axis]) && reach.low <= float(box.high[axis]))) continue;
            rays.load(p, b, schedule.tiling.data[b], tile);
            R<T>::each_way(p, rays, box, [&](const auto& way) {
              scatter_way<R>(p, own, rays, way, box, cotangent, b, labels);
            });
          }
      }
    if (labels.stray) status |= LABEL_OUTSIDE_CHANNELS;
  }
  return status & OUT_OF_MEMORY ? OUT_OF_MEMORY : Status(status);
}

// The adjoint of the maximum: each ray's cotangent goes to where its largest value was read. Found in parallel,
// scattered by one thread.
template <template <class> class R, class T>
Status scatter_maximum(const Problem<T>& p, const T* cotangent, T* gradient) {
  constexpr int N = LANES<T>;
  const Tiling tiling{1, p.rays, 1, N, false};
  for (int64_t i = 0; i < (p.volume_batch_stride ? p.batch : 1); i++)
    clear(p, whole(p), gradient + i * p.volume_batch_stride);
  Buffer<Reading<T>> readings(tiling.count() * N);
  if (!readings.data) return OUT_OF_MEMORY;
  for (int64_t b = 0; b < p.batch; b++) {
    const T* volume = p.volume + b * p.volume_batch_stride;
#pragma omp parallel for schedule(dynamic, 4) num_threads(threads_for(tiling.count(), p.threads))
    for (int64_t tile = 0; tile < tiling.count(); tile++) {
      Reading<T>* reading = readings.data + tile * N;
      for (int l = 0; l < N; l++) reading[l].count = 0;
      if (ended(p)) continue;
      Rays<T> rays;
      rays.load(p, b, tiling, tile);
      R<T>::each_way(p, rays, whole(p), [&](const auto& way) { largest<R>(p, volume, nullptr, way, reading); });
    }
    T* own = gradient + b * p.volume_batch_stride;
    for (int64_t ray = 0; ray < p.rays; ray++)
      for (int i = 0; i < readings.data[ray].count; i++)
        own[readings.data[ray].voxel[i]] += cotangent[b * p.rays + ray] * readings.data[ray].weight[i];
  }
  return OK;
}

template <template <class> class R, class T>
Status march_adjoint(const Problem<T>& p, const T* cotangent, T* gradient) {
  if (p.reduction == Reduction::max) return scatter_maximum<R>(p, cotangent, gradient);
  return scatter_sum<R>(p, cotangent, gradient);
}

}  // namespace
}  // namespace raygrad
