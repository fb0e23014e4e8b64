// How a march is cut into packets, and how many threads they are worth.
#pragma once
#include "memory.hpp"
#include "rays.hpp"

namespace raygrad {
namespace {

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
  Rays<T> middle, below, beside;  // one ray each, in lane 0
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
  auto shift = [&](const Rays<T>& ray) {  // from the middle ray, along contiguous memory
    auto at = [&](const Rays<T>& r) { return r.start[contiguous][0] + fraction * r.step[contiguous][0]; };
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

// Waking a thread costs more than a handful of packets do.
constexpr int64_t PACKETS_WORTH_A_THREAD = 8;

[[maybe_unused]] int threads_for(int64_t packets, int threads) {
  return int(clamp_to((packets + PACKETS_WORTH_A_THREAD - 1) / PACKETS_WORTH_A_THREAD, 1, threads));
}

}  // namespace
}  // namespace raygrad
