// The labelmap, as the marches read it.
#pragma once
#include "problem.hpp"
#include "simd.hpp"

namespace raygrad {
namespace {

// Reads the labelmap; remembers if it ever met a label that has no channel.
template <class T>
struct LabelReader {
  const Problem<T>& p;
  bool stray = false;

  int64_t at(const int64_t index[3]) {
    const int64_t i = index[0] * p.label_stride[0] + index[1] * p.label_stride[1] + index[2] * p.label_stride[2];
    int64_t label = 0;
    switch (p.label_type) {
      case LabelType::none: break;
      case LabelType::uint8: label = static_cast<const uint8_t*>(p.labels)[i]; break;
      case LabelType::int16: label = static_cast<const int16_t*>(p.labels)[i]; break;
      case LabelType::int32: label = static_cast<const int32_t*>(p.labels)[i]; break;
      case LabelType::int64: label = static_cast<const int64_t*>(p.labels)[i]; break;
    }
    if (label >= 0 && label < p.channels) return label;
    stray = true;
    return 0;
  }

  // The label of the voxel nearest to a coordinate.
  int64_t nearest(const T coordinate[3]) {
    int64_t index[3];
    for (int a = 0; a < 3; a++) {
      const T x = coordinate[a] < 0 ? 0 : coordinate[a];
      index[a] = least(int64_t(x), p.shape[a] - 1);
    }
    return at(index);
  }
};

}  // namespace
}  // namespace raygrad
