// The forward marches: line integrals or maxima, with derivatives, by label.
#pragma once
#include <cstring>

#include "schedule.hpp"
#include "sinks.hpp"
#include "upright.hpp"

namespace raygrad {
namespace {

template <class T>
struct Output {
  const Problem<T>& p;
  T *image, *jacobian;

  Pixel<T> at(int64_t batch, int64_t channel, int64_t ray) const {
    const int64_t i = (batch * p.channels + channel) * p.rays + ray;
    return {image + i, jacobian ? jacobian + 6 * i : nullptr};
  }

  void clear(int64_t batch, int64_t ray) const {
    for (int64_t c = 0; c < p.channels; c++) {
      const Pixel<T> pixel = at(batch, c, ray);
      *pixel.image = 0;
      if (pixel.jacobian) std::memset(pixel.jacobian, 0, 6 * sizeof(T));
    }
  }
};

// f at the ends of a line where the ray itself ends inside the volume; zero where it runs on, or comes in from outside.
template <class T>
struct OwnEnds {
  T value[2]{0, 0};
  int64_t channel[2]{0, 0};

  // `planes`: the value of the voxel there (Siddon); else the sample of the slab that the end lies in (Joseph).
  void set(const Problem<T>& p, const T* volume, const Line<T>& line, int l, bool planes, const Box& box,
           LabelReader<T>* labels) {
    const bool own[2] = {line.first_end[l] == OWN_END, line.last_end[l] == OWN_END};
    for (int e = 0; e < 2; e++) {
      value[e] = 0, channel[e] = 0;
      if (own[e]) read(p, volume, line, l, e, planes, box, labels);
    }
  }

  // Siddon's jumps at the faces through which the ray comes in and leaves, where those are across u or v.
  static void jump_at_faces(const Problem<T>& p, const T* volume, const Line<T>& line, int l, const Box& box,
                            LabelReader<T>* labels, Totals<T>* totals, int64_t channel_stride) {
    for (int e = 0; e < 2; e++) {
      const int axis = e == 0 ? line.first_end[l] : line.last_end[l];
      if (axis != line.u && axis != line.v) continue;
      OwnEnds end;
      end.read(p, volume, line, l, e, true, box, labels);
      const T x = e == 0 ? line.first[l] : line.last[l], jump = e == 0 ? end.value[e] : -end.value[e];
      Totals<T>& t = totals[end.channel[e] * channel_stride];
      if (axis == line.u) t.u += jump, t.ux += jump * x;
      else t.v += jump, t.vx += jump * x;
    }
  }

 private:
  void read(const Problem<T>& p, const T* volume, const Line<T>& line, int l, int e, bool planes, const Box& box,
            LabelReader<T>* labels) {
    const T x = e == 0 ? line.first[l] : line.last[l];
    int64_t k = int64_t(std::floor(x));
    if (e == 1 && T(k) == x) k--;
    k = clamp_to(k + line.origin, box.low[line.m], box.high[line.m] - 1);
    if (planes) {
      const int64_t u_high = p.shape[line.u] - 1 - line.u_base[l], v_high = p.shape[line.v] - 1 - line.v_base[l];
      const int64_t u = clamp_to(int64_t(std::floor(line.u0[l] + line.su[l] * x)), -int64_t(line.u_base[l]), u_high);
      const int64_t v = clamp_to(int64_t(std::floor(line.v0[l] + line.sv[l] * x)), -int64_t(line.v_base[l]), v_high);
      value[e] = volume[k * p.stride[line.m] + line.base_offset[l] + u * p.stride[line.u] + v * p.stride[line.v]];
      if (labels) channel[e] = labels->in_slab(line, l, k, u, v);
    } else {
      SlabSample<T> s;
      s.base = volume + k * p.stride[line.m];
      s.template set<false>(p, line, box, k);
      T slope_u, slope_v;
      read_lane(s, l, value[e], slope_u, slope_v);
      if (labels) channel[e] = labels->nearest_on_line(line, l, k, s.x[l]);
    }
  }
};

template <class T, class Visit>
RAYGRAD_INLINE void walk_line(const Problem<T>& p, const T* volume, const uint8_t* bricks, const Line<T>& line,
                              const Box& box, Visit visit) {
  if (p.method == Method::siddon) walk_siddon(p, volume, bricks, line, box, visit);
  else walk_joseph(p, volume, bricks, line, box, visit);
}

template <class T, bool DERIVATIVES>
void sum_line(const Problem<T>& p, const T* volume, const uint8_t* bricks, const Packet<T>& packet, const Line<T>& line,
              int64_t batch, const Output<T>& output) {
  const Box box = whole(p);
  const bool planes = p.method == Method::siddon;
  LineSums<T, DERIVATIVES> sums;
  walk_line(p, volume, bricks, line, box, [&](const auto& s) __attribute__((always_inline)) { sums.add(s); });
  for (int l = 0; l < LANES<T>; l++) {
    if (!line.lane[l]) continue;
    Totals<T> totals = sums.lane(l);
    OwnEnds<T> ends;
    if constexpr (DERIVATIVES) {
      if (planes) OwnEnds<T>::jump_at_faces(p, volume, line, l, box, nullptr, &totals, 0);
      ends.set(p, volume, line, l, planes, box, nullptr);
    }
    finish_line(p, packet, line, l, totals, ends.value[0], ends.value[1], planes, output.at(batch, 0, packet.ray[l]));
  }
}

template <class T>
void sum_line_by_label(const Problem<T>& p, const T* volume, const uint8_t* bricks, const Packet<T>& packet,
                       const Line<T>& line, int64_t batch, const Output<T>& output, LabelReader<T>& labels,
                       Totals<T>* totals) {
  const Box box = whole(p);
  const bool planes = p.method == Method::siddon;
  constexpr int N = LANES<T>;
  std::memset(static_cast<void*>(totals), 0, size_t(p.channels) * N * sizeof(Totals<T>));
  LabelSums<T> sums{totals, labels, line};
  walk_line(p, volume, bricks, line, box, [&](const auto& s) { sums.add(s); });
  for (int l = 0; l < N; l++) {
    if (!line.lane[l]) continue;
    OwnEnds<T> ends;
    if (output.jacobian) {
      if (planes) OwnEnds<T>::jump_at_faces(p, volume, line, l, box, &labels, totals + l, N);
      ends.set(p, volume, line, l, planes, box, &labels);
    }
    for (int64_t c = 0; c < p.channels; c++)
      finish_line(p, packet, line, l, totals[c * N + l], ends.channel[0] == c ? ends.value[0] : T(0),
                  ends.channel[1] == c ? ends.value[1] : T(0), planes, output.at(batch, c, packet.ray[l]));
  }
}

// The largest sample along each ray; `reading`, where given, says where it was taken.
template <class T>
void maximum_line(const Problem<T>& p, const T* volume, const uint8_t* bricks, const Packet<T>& packet,
                  const Line<T>& line, int64_t batch, const Output<T>* output, Reading<T>* reading) {
  constexpr int N = LANES<T>;
  T best[N]{}, x[N]{}, slope_u[N]{}, slope_v[N]{};
  if (p.method == Method::siddon) {
    walk_siddon(p, volume, bricks, line, whole(p), [&](const Slab<T>& s) {
      for (int l = 0; l < N; l++) {
        const int64_t at[3] = {s.before[l], s.between[l], s.after[l]};
        const bool met[3] = {s.first[l] > s.x0[l], s.second[l] > s.first[l], s.x1[l] > s.second[l]};
        for (int i = 0; i < 3; i++) {
          if (!met[i] || !line.lane[l] || s.base[at[i]] <= best[l]) continue;
          best[l] = s.base[at[i]];
          if (reading) reading[l].count = 0, reading[l].add(s.base - volume + at[i], 1);
        }
      }
    });
  } else {
    walk_joseph(p, volume, bricks, line, whole(p), [&](const SlabSample<T>& s) {
      for (int l = 0; l < N; l++) {
        if (!line.lane[l] || !(s.share[l] > 0)) continue;
        T value, u, v;
        read_lane(s, l, value, u, v);
        if (value <= best[l]) continue;
        best[l] = value, x[l] = s.x[l], slope_u[l] = u, slope_v[l] = v;
        if (reading) reading[l] = Reading<T>::of(volume, s, l);
      }
    });
  }
  if (!output) return;
  for (int l = 0; l < N; l++)
    if (line.lane[l])
      finish_line_maximum(p, packet, line, l, best[l], x[l], slope_u[l], slope_v[l], output->at(batch, 0, packet.ray[l]));
}

template <class T, bool DERIVATIVES>
void sum_points(const Problem<T>& p, const T* volume, const uint8_t* bricks, const Packet<T>& packet,
                const Points<T>& points, int64_t batch, const Output<T>& output) {
  Values<T> value{}, g[3]{}, ga[3]{}, first, width;
  for (int l = 0; l < LANES<T>; l++)
    first[l] = T(points.first[l]), width[l] = T((points.last[l] - points.first[l]) / double(p.n_points));
  walk_trilinear(p, bricks, points, whole(p), [&](const PointSample<T>& s) __attribute__((always_inline)) {
    Values<T> f, gradient[3];
    read_point<T, DERIVATIVES>(volume, s, f, gradient);
    value += f;
    if constexpr (DERIVATIVES) {
      const Values<T> fraction = first + width * (T(s.i) + T(0.5));
      for (int a = 0; a < 3; a++) g[a] += gradient[a], ga[a] += gradient[a] * fraction;
    }
  });
  for (int l = 0; l < LANES<T>; l++)
    if (points.lane[l])
      finish_points(p, packet, points.first[l], points.last[l], points.first_end[l], points.last_end[l], l,
                    PointTotals<T>{value[l], {g[0][l], g[1][l], g[2][l]}, {ga[0][l], ga[1][l], ga[2][l]}}, false,
                    output.at(batch, 0, packet.ray[l]));
}

// Visit every lane's samples one by one: visit(lane, sample, value, gradient, fraction).
template <class T, class Visit>
void each_point(const Problem<T>& p, const T* volume, const uint8_t* bricks, const Points<T>& points, Visit visit) {
  walk_trilinear(p, bricks, points, whole(p), [&](const PointSample<T>& s) {
    Values<T> f, gradient[3];
    read_point<T, true>(volume, s, f, gradient);
    for (int l = 0; l < LANES<T>; l++) {
      if (!points.lane[l]) continue;
      const double c = (double(s.i) + 0.5) / double(p.n_points);
      const T g[3] = {gradient[0][l], gradient[1][l], gradient[2][l]};
      visit(l, s, f[l], g, T(points.first[l] + c * (points.last[l] - points.first[l])));
    }
  });
}

template <class T>
void sum_points_by_label(const Problem<T>& p, const T* volume, const uint8_t* bricks, const Packet<T>& packet,
                         const Points<T>& points, int64_t batch, const Output<T>& output, LabelReader<T>& labels,
                         PointTotals<T>* totals) {
  constexpr int N = LANES<T>;
  std::memset(static_cast<void*>(totals), 0, size_t(p.channels) * N * sizeof(PointTotals<T>));
  each_point(p, volume, bricks, points, [&](int l, const PointSample<T>& s, T value, const T g[3], T fraction) {
    PointTotals<T>& t = totals[labels.nearest_to_sample(points, l, s.i) * N + l];
    t.value += value;
    for (int a = 0; a < 3; a++) t.g[a] += g[a], t.ga[a] += g[a] * fraction;
  });
  for (int l = 0; l < N; l++)
    for (int64_t c = 0; points.lane[l] && c < p.channels; c++)
      finish_points(p, packet, points.first[l], points.last[l], points.first_end[l], points.last_end[l], l,
                    totals[c * N + l], false, output.at(batch, c, packet.ray[l]));
}

template <class T>
void maximum_points(const Problem<T>& p, const T* volume, const uint8_t* bricks, const Packet<T>& packet,
                    const Points<T>& points, int64_t batch, const Output<T>* output, Reading<T>* reading) {
  PointTotals<T> best[LANES<T>]{};
  each_point(p, volume, bricks, points, [&](int l, const PointSample<T>& s, T value, const T g[3], T fraction) {
    if (value <= best[l].value) return;
    best[l].value = value;
    for (int a = 0; a < 3; a++) best[l].g[a] = g[a], best[l].ga[a] = g[a] * fraction;
    if (reading) reading[l] = Reading<T>::of(s, l);
  });
  for (int l = 0; output && l < LANES<T>; l++)
    if (points.lane[l])
      finish_points(p, packet, points.first[l], points.last[l], points.first_end[l], points.last_end[l], l, best[l], true,
                    output->at(batch, 0, packet.ray[l]));
}

template <class T>
void march_packet(const Problem<T>& p, const Packet<T>& packet, int64_t batch, const Output<T>& output,
                  LabelReader<T>& labels, void* scratch) {
  const T* volume = p.volume + batch * p.volume_batch_stride;
  const uint8_t* bricks = p.bricks ? p.bricks + batch * p.bricks_batch_stride : nullptr;
  for (int l = 0; l < LANES<T>; l++)
    if (packet.ray[l] >= 0) output.clear(batch, packet.ray[l]);
  const bool by_label = p.label_type != LabelType::none;
  if (p.method == Method::trilinear) {
    Points<T> points;
    points.set(p, packet, whole(p));
    if (!points.hit) return;
    if (p.reduction == Reduction::max)
      maximum_points(p, volume, bricks, packet, points, batch, &output, static_cast<Reading<T>*>(nullptr));
    else if (by_label)
      sum_points_by_label(p, volume, bricks, packet, points, batch, output, labels, static_cast<PointTotals<T>*>(scratch));
    else if (output.jacobian)
      sum_points<T, true>(p, volume, bricks, packet, points, batch, output);
    else
      sum_points<T, false>(p, volume, bricks, packet, points, batch, output);
    return;
  }
  for (int axis = 0; axis < 3; axis++) {
    Line<T> line;
    line.set(p, packet, axis, whole(p), p.method == Method::joseph ? 0.5 : 0.0);
    if (!line.hit) continue;
    if (p.reduction == Reduction::max)
      maximum_line(p, volume, bricks, packet, line, batch, &output, static_cast<Reading<T>*>(nullptr));
    else if (by_label)
      sum_line_by_label(p, volume, bricks, packet, line, batch, output, labels, static_cast<Totals<T>*>(scratch));
    else if (output.jacobian)
      sum_line<T, true>(p, volume, bricks, packet, line, batch, output);
    else
      sum_line<T, false>(p, volume, bricks, packet, line, batch, output);
  }
}

template <class T>
Status march(const Problem<T>& p, T* image, T* jacobian) {
  ColumnLayout layout;
  if (!jacobian && find_columns(p, layout)) return march_columns(p, layout, image);
  const Output<T> output{p, image, jacobian};
  const Schedule<T> schedule(p);
  if (!schedule.allocated()) return OUT_OF_MEMORY;
  int status = OK;
#pragma omp parallel num_threads(threads_for(schedule.packets(), p.threads)) reduction(| : status)
  {
    LabelReader<T> labels{p};
    const bool by_label = p.label_type != LabelType::none;
    Buffer<PointTotals<T>> scratch(by_label ? p.channels * LANES<T> : 0);
    if (!scratch.data) status |= OUT_OF_MEMORY;
#pragma omp for schedule(dynamic, 1)  // neighbours share cache lines: threads do best side by side
    for (int64_t i = 0; i < schedule.packets(); i++) {
      if (!scratch.data) continue;
      const int64_t b = schedule.entry_of(i);
      Packet<T> packet;
      packet.load(p, b, schedule.tiling.data[b], i - schedule.begin.data[b]);
      march_packet(p, packet, b, output, labels, scratch.data);
    }
    if (labels.stray) status |= LABEL_OUTSIDE_CHANNELS;
  }
  return status & OUT_OF_MEMORY ? OUT_OF_MEMORY : Status(status);
}

}  // namespace
}  // namespace raygrad
