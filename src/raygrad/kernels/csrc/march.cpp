// The marches of one instruction set. CMake compiles this file once for each, with RAYGRAD_ISA as its name.
#include <cstdlib>
#include <cstring>

#include "sinks.hpp"

namespace raygrad {
namespace {

// Memory for plain data, without the standard containers (their code must not be shared between instruction sets).
template <class X>
struct Buffer {
  X* data;
  explicit Buffer(int64_t n) : data(static_cast<X*>(std::malloc(size_t(n > 0 ? n : 1) * sizeof(X)))) {}
  ~Buffer() { std::free(data); }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
};

template <class T>
Box whole(const Problem<T>& p) {
  return {{0, 0, 0}, {p.shape[0], p.shape[1], p.shape[2]}};
}

// Packets two pixels wide in the image direction that runs along contiguous memory, and long in the other: neighbours
// in memory share cache lines from one packet to the next, and packets are taken in that order. Judged at the image's
// central ray, where it is nearest to the middle of the volume.
template <class T>
Tiling choose_tiling(const Problem<T>& p, int64_t batch) {
  constexpr int N = LANES<T>;
  const bool known = p.image_width > 0 && p.rays % p.image_width == 0;
  Tiling tiling{known ? p.rays / p.image_width : 1, known ? p.image_width : p.rays, 1, N, false};
  if (tiling.height == 1 || tiling.width == 1) return tiling;
  const int64_t row = (tiling.height - 2) / 2, column = (tiling.width - 2) / 2, centre = row * tiling.width + column;
  Packet<T> packet;
  packet.load_lane(p, batch, 0, centre);
  packet.load_lane(p, batch, 1, centre + tiling.width);
  packet.load_lane(p, batch, 2, centre + 1);
  double along = 0, square = 0;
  for (int a = 0; a < 3; a++) {
    along += (0.5 * double(p.shape[a]) - packet.start[a][0]) * packet.step[a][0];
    square += packet.step[a][0] * packet.step[a][0];
  }
  const double fraction = square > 0 ? along / square : 0;
  int contiguous = 0;
  for (int a = 1; a < 3; a++)
    if (p.stride[a] < p.stride[contiguous]) contiguous = a;
  auto shift = [&](int l) {  // to the neighbouring ray, along contiguous memory
    auto at = [&](int i) { return packet.start[contiguous][i] + fraction * packet.step[contiguous][i]; };
    return std::fabs(at(l) - at(0));
  };
  tiling.down = shift(1) > shift(2);
  tiling.rows = tiling.down ? 2 : N / 2;
  tiling.columns = N / tiling.rows;
  return tiling;
}

// ---------------------------------------------------------------------------------------------------- forward

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
    k = least(most(k, box.low[line.m]), box.high[line.m] - 1);
    if (planes) {
      const int64_t u = least(most(int64_t(std::floor(line.u0[l] + line.su[l] * x)), 0), p.shape[line.u] - 1);
      const int64_t v = least(most(int64_t(std::floor(line.v0[l] + line.sv[l] * x)), 0), p.shape[line.v] - 1);
      value[e] = volume[k * p.stride[line.m] + u * p.stride[line.u] + v * p.stride[line.v]];
      if (labels) channel[e] = labels->in_slab(line, k, u, v);
    } else {
      SlabSample<T> s;
      s.base = volume + k * p.stride[line.m];
      s.template set<false>(p, line, box, splat<T>(T(k)));
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
    line.set(packet, axis, whole(p), p.method == Method::joseph ? 0.5 : 0.0);
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
  const Output<T> output{p, image, jacobian};
  Buffer<Tiling> tilings(p.batch);
  Buffer<int64_t> begins(p.batch + 1);  // of each batch entry's packets
  if (!tilings.data || !begins.data) return OUT_OF_MEMORY;
  begins.data[0] = 0;
  for (int64_t b = 0; b < p.batch; b++) {
    tilings.data[b] = choose_tiling(p, b);
    begins.data[b + 1] = begins.data[b] + tilings.data[b].count();
  }
  int status = OK;
#pragma omp parallel num_threads(p.threads) reduction(| : status)
  {
    LabelReader<T> labels{p};
    const bool by_label = p.label_type != LabelType::none;
    Buffer<PointTotals<T>> scratch(by_label ? p.channels * LANES<T> : 0);
    if (!scratch.data) status |= OUT_OF_MEMORY;
#pragma omp for schedule(dynamic, 4)
    for (int64_t i = 0; i < begins.data[p.batch]; i++) {
      if (!scratch.data) continue;
      int64_t b = 0;
      for (int64_t above = p.batch; above - b > 1;) {  // the batch entry that packet i belongs to
        const int64_t middle = (b + above) / 2;
        if (begins.data[middle] <= i) b = middle;
        else above = middle;
      }
      Packet<T> packet;
      packet.load(p, b, tilings.data[b], i - begins.data[b]);
      march_packet(p, packet, b, output, labels, scratch.data);
      if (labels.stray) status |= LABEL_OUTSIDE_CHANNELS;
    }
  }
  return status & OUT_OF_MEMORY ? OUT_OF_MEMORY : Status(status);
}

// ---------------------------------------------------------------------------------------------------- adjoint

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
      relabel([&](int l) { return labels.in_slab(line, s.k, s.u_before[l], s.v_before[l]); });
      scatter<T>(base, s.before, (s.first - s.x0) * weight);
      if (!any(s.first < s.x1)) return;
      relabel([&](int l) {
        return s.u_first[l] ? labels.in_slab(line, s.k, s.u_after[l], s.v_before[l])
                            : labels.in_slab(line, s.k, s.u_before[l], s.v_after[l]);
      });
      scatter_nonzero<T>(base, s.between, (s.second - s.first) * weight);
      relabel([&](int l) { return labels.in_slab(line, s.k, s.u_after[l], s.v_after[l]); });
      scatter_nonzero<T>(base, s.after, (s.x1 - s.second) * weight);
    });
  } else {
    walk_joseph(p, static_cast<const T*>(gradient), nullptr, line, box, [&](const SlabSample<T>& s) {
      T* base = const_cast<T*>(s.base);
      relabel([&](int l) { return labels.nearest_on_line(line, l, s.k, s.x[l]); });
      const Values<T> amount = s.share * weight;
      const Values<T> below = amount * s.u.weight_below, above = amount * s.u.weight_above;
      scatter<T>(base, s.corner[0][0], below * s.v.weight_below);
      scatter<T>(base, s.corner[0][1], below * s.v.weight_above);
      scatter<T>(base, s.corner[1][0], above * s.v.weight_below);
      scatter<T>(base, s.corner[1][1], above * s.v.weight_above);
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
          scatter_nonzero<T>(gradient, s.corner[x][y][z],
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
  int axis = 0;
  for (int a = 1; a < 3; a++)
    if (p.stride[a] * (p.shape[a] > 1) > p.stride[axis] * (p.shape[axis] > 1)) axis = a;
  const int64_t thickness = most(1, least(16, (p.shape[axis] + 7) / 8));
  const int64_t boxes = (p.shape[axis] + thickness - 1) / thickness;
  const int64_t volumes = p.volume_batch_stride ? p.batch : 1, per_volume = p.batch / volumes;
  Buffer<Tiling> tilings(p.batch);
  Buffer<int64_t> begins(p.batch + 1);
  if (!tilings.data || !begins.data) return OUT_OF_MEMORY;
  begins.data[0] = 0;
  for (int64_t b = 0; b < p.batch; b++) {
    tilings.data[b] = choose_tiling(p, b);
    begins.data[b + 1] = begins.data[b] + tilings.data[b].count();
  }
  Buffer<Reach> reaches(begins.data[p.batch]);
  if (!reaches.data) return OUT_OF_MEMORY;
  int status = OK;
#pragma omp parallel num_threads(p.threads) reduction(| : status)
  {
    Packet<T> packet;
    for (int64_t b = 0; b < p.batch; b++) {
#pragma omp for schedule(static)
      for (int64_t tile = 0; tile < tilings.data[b].count(); tile++) {
        packet.load(p, b, tilings.data[b], tile);
        reaches.data[begins.data[b] + tile] = reach_of(p, packet, axis);
      }
    }
    LabelReader<T> labels{p};
#pragma omp for schedule(dynamic, 1) collapse(2)
    for (int64_t i = 0; i < volumes; i++)
      for (int64_t j = 0; j < boxes; j++) {
        T* own = gradient + i * p.volume_batch_stride;
        Box box = whole(p);
        box.low[axis] = j * thickness;
        box.high[axis] = least(p.shape[axis], box.low[axis] + thickness);
        std::memset(own + box.low[axis] * p.stride[axis], 0,
                    size_t((box.high[axis] - box.low[axis]) * p.stride[axis]) * sizeof(T));
        for (int64_t b = i * per_volume; b < (i + 1) * per_volume; b++) {
          const Cotangents<T> cotangents{p, cotangent, b};
          for (int64_t tile = 0; tile < tilings.data[b].count(); tile++) {
            const Reach reach = reaches.data[begins.data[b] + tile];
            if (!(reach.high >= float(box.low[axis]) && reach.low <= float(box.high[axis]))) continue;
            packet.load(p, b, tilings.data[b], tile);
            if (p.method == Method::trilinear) {
              Points<T> points;
              points.set(p, packet, box);
              if (points.hit) scatter_points(p, own, packet, points, box, cotangents, labels);
              continue;
            }
            for (int m = 0; m < 3; m++) {
              Line<T> line;
              line.set(packet, m, box, p.method == Method::joseph ? 0.5 : 0.0);
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
  const int64_t voxels = p.shape[0] * p.shape[1] * p.shape[2];
  std::memset(gradient, 0, size_t(voxels * (p.volume_batch_stride ? p.batch : 1)) * sizeof(T));
  Buffer<Reading<T>> readings(tiling.count() * N);
  if (!readings.data) return OUT_OF_MEMORY;
  for (int64_t b = 0; b < p.batch; b++) {
    const T* volume = p.volume + b * p.volume_batch_stride;
#pragma omp parallel for schedule(dynamic, 4) num_threads(p.threads)
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
        line.set(packet, m, whole(p), p.method == Method::joseph ? 0.5 : 0.0);
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
  return p.reduction == Reduction::max ? scatter_maximum(p, cotangent, gradient) : scatter_sum(p, cotangent, gradient);
}

// -------------------------------------------------------------------------------------------------- occupancy

template <class T>
bool occupied_bricks(const T* volume, const int64_t shape[3], const int64_t stride[3], uint8_t* bricks, int threads) {
  int order[3] = {0, 1, 2};  // axes from the farthest neighbours in memory to the nearest
  for (int i = 0; i < 2; i++)
    for (int j = 0; j < 2 - i; j++)
      if (stride[order[j]] < stride[order[j + 1]]) {
        const int axis = order[j];
        order[j] = order[j + 1], order[j + 1] = axis;
      }
  const int a = order[0], b = order[1], c = order[2];
  int64_t count[3], brick_stride[3];
  for (int i = 0; i < 3; i++) count[i] = (shape[i] + BRICK - 1) / BRICK;
  brick_stride[0] = count[1] * count[2], brick_stride[1] = count[2], brick_stride[2] = 1;
  int unusable = 0;
#pragma omp parallel for schedule(dynamic, 1) num_threads(threads) reduction(max : unusable)
  for (int64_t slab = 0; slab < count[a]; slab++) {
    uint8_t* own = bricks + slab * brick_stride[a];
    for (int64_t j = 0; j < count[b]; j++)
      for (int64_t k = 0; k < count[c]; k++) own[j * brick_stride[b] + k * brick_stride[c]] = 0;
    for (int64_t i = slab * BRICK; i < least((slab + 1) * BRICK, shape[a]); i++)
      for (int64_t j = 0; j < shape[b]; j++) {
        const T* row = volume + i * stride[a] + j * stride[b];
        uint8_t* mark = own + j / BRICK * brick_stride[b];
        for (int64_t brick = 0; brick < count[c]; brick++) {
          const int64_t begin = brick * BRICK, end = least(begin + BRICK, shape[c]);
          T magnitude = 0, times_zero = 0;  // a finite value times zero is zero, NaN and infinity times zero are NaN
          if (stride[c] == 1)
            for (int64_t k = begin; k < end; k++) magnitude += row[k] < 0 ? -row[k] : row[k], times_zero += row[k] * T(0);
          else
            for (int64_t k = begin; k < end; k++) {
              const T f = row[k * stride[c]];
              magnitude += f < 0 ? -f : f, times_zero += f * T(0);
            }
          if (!(times_zero == 0)) unusable = 1;
          if (!(magnitude == 0)) mark[brick * brick_stride[c]] = 1;
        }
      }
  }
  return unusable == 0;
}

}  // namespace

namespace RAYGRAD_ISA {
extern const Kernels<float> float32 = {march<float>, march_adjoint<float>, occupied_bricks<float>};
extern const Kernels<double> float64 = {march<double>, march_adjoint<double>, occupied_bricks<double>};
}  // namespace RAYGRAD_ISA

}  // namespace raygrad
