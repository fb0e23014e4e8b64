// Several volumes as one volume of numbers and a table: where few different sets of values occur, as in the materials
// of a CT, whose HU are whole numbers, each voxel keeps the number of its set. A march that reads numbers and looks
// values up fetches an eighth of the memory that four volumes in float32 have, and finds the very same values.
#pragma once
#include "memory.hpp"

namespace raygrad {
namespace {

// Numbers sets of so many values in the order in which they come.
template <class T, int VOLUMES>
class Sets {
 public:
  Sets() : slots_(SLOTS), sets_(PALETTE * VOLUMES) {
    if (slots_.data) std::memset(slots_.data, 0, SLOTS * sizeof(uint32_t));
  }

  bool allocated() const { return slots_.data && sets_.data; }
  int64_t count() const { return count_; }
  const T* set(int64_t number) const { return sets_.data + number * VOLUMES; }

  // The number of a set; -1 if there are too many.
  int64_t number_of(const T* values) {
    uint64_t hash = 0, factor = 0x9E3779B97F4A7C15u;  // any odd number: its multiples are far from each other
    for (int v = 0; v < VOLUMES; v++, factor += 0x3C6EF372FE94F82Au) hash += bits_of(values[v]) * factor;
    for (uint64_t slot = hash >> 40;; slot++) {
      slot %= SLOTS;
      if (slots_.data[slot] == 0) {
        if (count_ == PALETTE) return -1;
        std::memcpy(sets_.data + count_ * VOLUMES, values, VOLUMES * sizeof(T));
        slots_.data[slot] = uint32_t(++count_);
        return count_ - 1;
      }
      const int64_t number = slots_.data[slot] - 1;
      if (same(set(number), values)) return number;
    }
  }

  // Whether two sets are the same bits.
  static bool same(const T* a, const T* b) {
    uint64_t different = 0;
    for (int v = 0; v < VOLUMES; v++) different |= bits_of(a[v]) ^ bits_of(b[v]);
    return different == 0;
  }

 private:
  static uint64_t bits_of(T value) {
    uint64_t bits = 0;
    std::memcpy(&bits, &value, sizeof(T));
    return bits;
  }

  static constexpr uint64_t SLOTS = 2 * PALETTE;
  int64_t count_ = 0;
  Buffer<uint32_t> slots_;
  Buffer<T> sets_;
};

// The numbers of `size` voxels' sets, and the table of them: volume v of set i is rows[v / ROW][i][v % ROW]. False if
// there are too many sets. The volumes lie `stride` elements apart, each without gaps.
template <class T, int VOLUMES>
bool find_palette_of(const T* first, int64_t stride, int64_t size, T* rows, uint16_t* index,
                     [[maybe_unused]] int threads) {
  constexpr int64_t PARTS = 16;
  const int64_t part_size = (size + PARTS - 1) / PARTS;
  Sets<T, VOLUMES>* parts[PARTS];
  int failed = 0;
  for (auto& part : parts) {
    part = new (std::nothrow) Sets<T, VOLUMES>;
    if (!part || !part->allocated()) failed = 1;
  }
#pragma omp parallel for schedule(dynamic, 1) num_threads(threads)
  for (int64_t part = 0; part < PARTS; part++) {
    T last[VOLUMES], values[VOLUMES];
    int64_t number = -1;
    for (int64_t i = part * part_size; i < least((part + 1) * part_size, size); i++) {
      int given_up;
#pragma omp atomic read
      given_up = failed;
      if (given_up) break;
      for (int v = 0; v < VOLUMES; v++) values[v] = first[v * stride + i];
      if (number < 0 || !Sets<T, VOLUMES>::same(values, last)) {
        number = parts[part]->number_of(values);
        for (int v = 0; v < VOLUMES; v++) last[v] = values[v];
      }
      if (number < 0) {
#pragma omp atomic write
        failed = 1;
        break;
      }
      index[i] = uint16_t(number);
    }
  }
  Sets<T, VOLUMES> all;
  Buffer<uint16_t> renumbered(failed ? 0 : PARTS * PALETTE);
  failed |= !all.allocated() || !renumbered.data;
  for (int64_t part = 0; part < PARTS && !failed; part++)
    for (int64_t i = 0; i < parts[part]->count() && !failed; i++) {
      const int64_t number = all.number_of(parts[part]->set(i));
      if (number < 0) failed = 1;
      else renumbered.data[part * PALETTE + i] = uint16_t(number);
    }
  for (auto& part : parts) delete part;
  if (failed) return false;
#pragma omp parallel for schedule(static) num_threads(threads)
  for (int64_t i = 0; i < size; i++) index[i] = renumbered.data[i / part_size * PALETTE + index[i]];
  std::memset(rows, 0, size_t(TOGETHER * PALETTE) * sizeof(T));
  for (int64_t i = 0; i < all.count(); i++)
    for (int v = 0; v < VOLUMES; v++) rows[(v / ROW * PALETTE + i) * ROW + v % ROW] = all.set(i)[v];
  return true;
}

// The same for 2 to TOGETHER volumes.
template <class T>
bool find_palette(const T* first, int64_t volumes, int64_t stride, int64_t size, T* rows, uint16_t* index,
                  int threads) {
  static_assert(TOGETHER == 8, "a case for each count");
  switch (volumes) {
    case 2: return find_palette_of<T, 2>(first, stride, size, rows, index, threads);
    case 3: return find_palette_of<T, 3>(first, stride, size, rows, index, threads);
    case 4: return find_palette_of<T, 4>(first, stride, size, rows, index, threads);
    case 5: return find_palette_of<T, 5>(first, stride, size, rows, index, threads);
    case 6: return find_palette_of<T, 6>(first, stride, size, rows, index, threads);
    case 7: return find_palette_of<T, 7>(first, stride, size, rows, index, threads);
    case 8: return find_palette_of<T, 8>(first, stride, size, rows, index, threads);
    default: return false;
  }
}

}  // namespace
}  // namespace raygrad
