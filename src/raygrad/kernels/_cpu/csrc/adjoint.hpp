// The adjoint marches: what each ray leaves in the voxels that it reads.
#pragma once
#include "forward.hpp"

namespace raygrad {
namespace {

// Cotangents of a packet's rays: one channel's in lanes, or looked up by label.
template <class T>
struct Cotangents {
  const Problem<T>& p;
  const T* values;
  int64_t batch;

  T at(int64_t channel, int64_t ray) const { return values[(batch * p.channels + channel) * p.rays + ray]; }
};

template <class T>
void scatter_line(const Problem<T>& p, T* gradient, const Packet<T>& packet, const Line<T>& line, const Box& box,
                  const Cotangents<T>& cotangents, LabelReader<T>& labels) {
  constexpr int N = LANES<T>;
  const bool by_label = p.label_type != LabelType::none;
  Values<T> per_x{}, weight{};  // of a unit of x: mm, and those times the cotangent of the only channel
  for (int l = 0; l < N; l++) {
    if (!line.lane[l]) continue;
    per_x[l] = T(packet.length[l] / std::fabs(packet.step[line.m][l]));
    weight[l] = by_label ? T(0) : cotangents.at(0, packet.ray[l]) * per_x[l];
  }
  auto relabel = [&](auto label_of) {  // weights for the voxels that label_of(lane) looks at
    if (!by_label) return;
    for (int l = 0; l < N; l++)
      if (line.lane[l]) weight[l] = cotangents.at(label_of(l), packet.ray[l]) * per_x[l];
  };
  if (p.method == Method::siddon) {
    walk_siddon(p, static_cast<const T*>(gradient), nullptr, line, box, [&](const Slab<T>& s) {
      T* base = const_cast<T*>(s.base);
      relabel([&](int l) { return labels.in_slab(line, l, s.k, s.u_before[l], s.v_before[l]); });
      scatter<T>(base, s.before, (s.first - s.x0) * weight);
      if (!any(s.first < s.x1)) return;
      relabel([&](int l) {
        return s.u_first[l] ? labels.in_slab(line, l, s.k, s.u_after[l], s.v_before[l])
                            : labels.in_slab(line, l, s.k, s.u_before[l], s.v_after[l]);
      });
      scatter<T>(base, s.between, (s.second - s.first) * weight);
      relabel([&](int l) { return labels.in_slab(line, l, s.k, s.u_after[l], s.v_after[l]); });
      scatter<T>(base, s.after, (s.x1 - s.second) * weight);
    });
  } else {
    walk_joseph(p, static_cast<const T*>(gradient), nullptr, line, box, [&](const SlabSample<T>& s) {
      T* base = const_cast<T*>(s.base);
      relabel([&](int l) { return labels.nearest_on_line(line, l, s.k, s.x[l]); });
      const Values<T> amount = s.share * weight;
      const Values<T> below = amount * s.u.weight_below, above = amount * s.u.weight_above;
      const Values<T> parts[2][2] = {{below * s.v.weight_below, below * s.v.weight_above},
                                     {above * s.v.weight_below, above * s.v.weight_above}};
      if (s.paired_v) {
        scatter_pairs<T>(base, s.corner[0][0], parts[0][0], parts[0][1]);
        scatter_pairs<T>(base, s.corner[1][0], parts[1][0], parts[1][1]);
      } else if (s.paired_u) {
        scatter_pairs<T>(base, s.corner[0][0], parts[0][0], parts[1][0]);
        scatter_pairs<T>(base, s.corner[0][1], parts[0][1], parts[1][1]);
      } else {
        for (int i = 0; i < 2; i++)
          for (int j = 0; j < 2; j++) scatter<T>(base, s.corner[i][j], parts[i][j]);
      }
    });
  }
}

template <class T>
void scatter_points(const Problem<T>& p, T* gradient, const Packet<T>& packet, const Points<T>& points, const Box& box,
                    const Cotangents<T>& cotangents, LabelReader<T>& labels) {
  constexpr int N = LANES<T>;
  const bool by_label = p.label_type != LabelType::none;
  Values<T> per_sample{}, weight{};
  for (int l = 0; l < N; l++) {
    if (!points.lane[l]) continue;
    per_sample[l] = T(packet.length[l] * (points.last[l] - points.first[l]) / double(p.n_points));
    weight[l] = by_label ? T(0) : cotangents.at(0, packet.ray[l]) * per_sample[l];
  }
  walk_trilinear(p, nullptr, points, box, [&](const PointSample<T>& s) {
    for (int l = 0; by_label && l < N; l++)
      if (points.lane[l])
        weight[l] = cotangents.at(labels.nearest_to_sample(points, l, s.i), packet.ray[l]) * per_sample[l];
    for (int x = 0; x < 2; x++)
      for (int y = 0; y < 2; y++)
        for (int z = 0; z < 2; z++)
          scatter<T>(gradient, s.corner[x][y][z],
                             weight * (x ? s.axis[0].weight_above : s.axis[0].weight_below) *
                                 (y ? s.axis[1].weight_above : s.axis[1].weight_below) *
                                 (z ? s.axis[2].weight_above : s.axis[2].weight_below));
  });
}

// How far a packet's rays reach along one axis while inside the volume, in voxels; empty where they miss it.
struct Reach {
  float low, high;
};

template <class T>
Reach reach_of(const Problem<T>& p, const Packet<T>& packet, int axis) {
  double low = 1e30, high = -1e30;
  for (int l = 0; l < LANES<T>; l++) {
    if (packet.axis[l] < 0) continue;
    double first = 0, last = 1;
    bool entered, left;
    for (int a = 0; a < 3; a++)
      narrow(packet.start[a][l], packet.step[a][l], -0.5, double(p.shape[a]) + 0.5, first, last, entered, left);
    if (!(last >= first)) continue;
    const double from = packet.start[axis][l] + first * packet.step[axis][l];
    const double to = packet.start[axis][l] + last * packet.step[axis][l];
    low = least(low, least(from, to)), high = most(high, most(from, to));
  }
  return {float(low - 1), float(high + 1)};
}

// The adjoint of the sum. The volume is cut into boxes along the axis whose neighbours are farthest apart in memory;
// a thread owns a box, goes through all rays in their order, and adds what they leave in its own voxels. So nothing
// needs atomics, and the sums do not depend on the number of threads.
template <class T>
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
    Packet<T> packet;
    for (int64_t b = 0; b < p.batch; b++) {
#pragma omp for schedule(static)
      for (int64_t tile = 0; tile < schedule.tiling.data[b].count(); tile++) {
        packet.load(p, b, schedule.tiling.data[b], tile);
        reaches.data[schedule.begin.data[b] + tile] = reach_of(p, packet, axis);
      }
    }
    LabelReader<T> labels{p};
#pragma omp for schedule(dynamic, 1) collapse(2)
    for (int64_t i = 0; i < volumes; i++)
      for (int64_t j = 0; j < cut.boxes; j++) {
        T* own = gradient + i * p.volume_batch_stride;
        const Box box = box_of(p, cut, j);
        clear(p, box, own);
        for (int64_t b = i * per_volume; b < (i + 1) * per_volume; b++) {
          const Cotangents<T> cotangents{p, cotangent, b};
          for (int64_t tile = 0; tile < schedule.tiling.data[b].count(); tile++) {
            const Reach reach = reaches.data[schedule.begin.data[b] + tile];
            if (!(reach.high >= float(box.low[axis]) && reach.low <= float(box.high[axis]))) continue;
            packet.load(p, b, schedule.tiling.data[b], tile);
            if (p.method == Method::trilinear) {
              Points<T> points;
              points.set(p, packet, box);
              if (points.hit) scatter_points(p, own, packet, points, box, cotangents, labels);
              continue;
            }
            for (int m = 0; m < 3; m++) {
              Line<T> line;
              line.set(p, packet, m, box, p.method == Method::joseph ? 0.5 : 0.0);
              if (line.hit) scatter_line(p, own, packet, line, box, cotangents, labels);
            }
          }
        }
      }
    if (labels.stray) status |= LABEL_OUTSIDE_CHANNELS;
  }
  return status & OUT_OF_MEMORY ? OUT_OF_MEMORY : Status(status);
}

// The adjoint of the maximum: each ray's cotangent goes to where its largest sample was read. Found in parallel,
// scattered by one thread.
template <class T>
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
      Packet<T> packet;
      packet.load(p, b, tiling, tile);
      if (p.method == Method::trilinear) {
        Points<T> points;
        points.set(p, packet, whole(p));
        if (points.hit)
          maximum_points(p, volume, nullptr, packet, points, b, static_cast<const Output<T>*>(nullptr), reading);
        continue;
      }
      for (int m = 0; m < 3; m++) {
        Line<T> line;
        line.set(p, packet, m, whole(p), p.method == Method::joseph ? 0.5 : 0.0);
        if (line.hit) maximum_line(p, volume, nullptr, packet, line, b, static_cast<const Output<T>*>(nullptr), reading);
      }
    }
    T* own = gradient + b * p.volume_batch_stride;
    for (int64_t ray = 0; ray < p.rays; ray++)
      for (int i = 0; i < readings.data[ray].count; i++)
        own[readings.data[ray].voxel[i]] += cotangent[b * p.rays + ray] * readings.data[ray].weight[i];
  }
  return OK;
}

template <class T>
Status march_adjoint(const Problem<T>& p, const T* cotangent, T* gradient) {
  ColumnLayout layout;
  if (find_columns(p, layout)) return scatter_columns(p, layout, cotangent, gradient);
  return p.reduction == Reduction::max ? scatter_maximum(p, cotangent, gradient) : scatter_sum(p, cotangent, gradient);
}

}  // namespace
}  // namespace raygrad
