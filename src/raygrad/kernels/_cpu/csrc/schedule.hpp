// How a march is cut into packets, and how many threads they are worth.
#pragma once
#include <cstdlib>
#include <cstring>

#include "packet.hpp"

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
  Packet<T> middle, below, beside;  // one ray each, in lane 0
  middle.load_lane(p, batch, 0, centre);
  below.load_lane(p, batch, 0, centre + tiling.width);
  beside.load_lane(p, batch, 0, centre + 1);
  double along = 0, square = 0;
  for (int a = 0; a < 3; a++) {
    along += (0.5 * double(p.shape[a]) - middle.start[a][0]) * middle.step[a][0];
    square += middle.step[a][0] * middle.step[a][0];
  }
  const double fraction = square > 0 ? along / square : 0;
  int contiguous = 0;
  for (int a = 1; a < 3; a++)
    if (p.stride[a] < p.stride[contiguous]) contiguous = a;
  auto shift = [&](const Packet<T>& ray) {  // from the middle ray, along contiguous memory
    auto at = [&](const Packet<T>& r) { return r.start[contiguous][0] + fraction * r.step[contiguous][0]; };
    return std::fabs(at(ray) - at(middle));
  };
  tiling.down = shift(below) > shift(beside);
  tiling.rows = tiling.down ? 2 : N / 2;
  tiling.columns = N / tiling.rows;
  return tiling;
}

// Each batch entry's tiling, and where its packets begin in the list of all packets.
template <class T>
struct Schedule {
  int64_t batch;
  Buffer<Tiling> tiling;
  Buffer<int64_t> begin;

  explicit Schedule(const Problem<T>& p) : batch(p.batch), tiling(p.batch), begin(p.batch + 1) {
    if (!allocated()) return;
    begin.data[0] = 0;
    for (int64_t b = 0; b < batch; b++) {
      tiling.data[b] = choose_tiling(p, b);
      begin.data[b + 1] = begin.data[b] + tiling.data[b].count();
    }
  }

  bool allocated() const { return tiling.data && begin.data; }
  int64_t packets() const { return begin.data[batch]; }

  int64_t entry_of(int64_t packet) const {
    int64_t below = 0;
    for (int64_t above = batch; above - below > 1;) {
      const int64_t middle = (below + above) / 2;
      (begin.data[middle] <= packet ? below : above) = middle;
    }
    return below;
  }
};

// The volume cut into boxes across the axis whose neighbours are farthest apart in memory: each is one stretch of memory,
// which one thread can own.
struct Cut {
  int axis;
  int64_t thickness, boxes;
};

template <class T>
Cut cut_volume(const Problem<T>& p) {
  int axis = 0;
  for (int a = 1; a < 3; a++)
    if (p.stride[a] * (p.shape[a] > 1) > p.stride[axis] * (p.shape[axis] > 1)) axis = a;
  const int64_t thickness = most(1, least(16, (p.shape[axis] + 7) / 8));
  return {axis, thickness, (p.shape[axis] + thickness - 1) / thickness};
}

template <class T>
Box box_of(const Problem<T>& p, const Cut& cut, int64_t number) {
  Box box = whole(p);
  box.low[cut.axis] = number * cut.thickness;
  box.high[cut.axis] = least(p.shape[cut.axis], box.low[cut.axis] + cut.thickness);
  return box;
}

// Writes zeros to the voxels of a box, and to nothing that lies between them in memory.
template <class T>
void clear(const Problem<T>& p, const Box& box, T* volume) {
  int order[3];
  by_distance_in_memory(p.stride, order);
  int64_t count[3], stride[3];
  for (int i = 0; i < 3; i++) {
    count[i] = box.high[order[i]] - box.low[order[i]], stride[i] = p.stride[order[i]];
    volume += box.low[order[i]] * stride[i];
  }
  const bool in_rows = stride[2] == 1;
  if (in_rows && stride[1] == count[2]) count[2] *= count[1], count[1] = 1;  // rows without gaps are one row
  if (in_rows && count[1] == 1 && stride[0] == count[2]) count[2] *= count[0], count[0] = 1;
  for (int64_t i = 0; i < count[0]; i++)
    for (int64_t j = 0; j < count[1]; j++) {
      T* row = volume + i * stride[0] + j * stride[1];
      if (in_rows) std::memset(row, 0, size_t(count[2]) * sizeof(T));
      else
        for (int64_t k = 0; k < count[2]; k++) row[k * stride[2]] = 0;
    }
}

// Waking a thread costs more than a handful of packets do.
constexpr int64_t PACKETS_WORTH_A_THREAD = 8;

[[maybe_unused]] int threads_for(int64_t packets, int threads) {
  return int(clamp_to((packets + PACKETS_WORTH_A_THREAD - 1) / PACKETS_WORTH_A_THREAD, 1, threads));
}

}  // namespace
}  // namespace raygrad
