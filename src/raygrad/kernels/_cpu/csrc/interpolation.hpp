// Interpolation along one axis, between voxel centres: what Joseph's march and the trilinear one share.
#pragma once
#include "simd.hpp"

namespace raygrad {
namespace {

// The two voxels around a coordinate; the volume is zero outside the box.
template <class T>
struct Between {
  Indices<T> below, above;             // from `base`, moved into the box where they lie outside
  Values<T> weight_below, weight_above;
  Values<T> slope_below, slope_above;  // derivatives of the weights: -1 and 1, or 0 outside the box

  // The coordinate counts from voxel `base`. With INTERIOR both voxels are known to lie inside the box.
  template <bool INTERIOR>
  RAYGRAD_INLINE void set(Values<T> coordinate, Indices<T> base, int64_t low, int64_t high) {
    const Values<T> zero{}, one = splat<T>(1);
    if constexpr (INTERIOR) {
      const Values<T> x = coordinate - T(0.5);
      below = floor_index<T>(x);
      above = below + 1;
      weight_above = x - to_values<T>(below);
      weight_below = one - weight_above;
      slope_below = -one;
      slope_above = one;
      return;
    }
    const Indices<T> first = splat_index<T>(low) - base, last = splat_index<T>(high - 1) - base;
    const Values<T> x = clamp(coordinate - T(0.5), to_values<T>(first - 2), to_values<T>(last + 2));
    const Indices<T> i = floor_index<T>(x), j = i + 1;
    const Values<T> share = x - to_values<T>(i);
    const Indices<T> below_inside = (i >= first) & (i <= last), above_inside = (j >= first) & (j <= last);
    weight_below = below_inside ? one - share : zero;
    weight_above = above_inside ? share : zero;
    slope_below = below_inside ? -one : zero;
    slope_above = above_inside ? one : zero;
    below = clamp(i, first, last);
    above = clamp(j, first, last);
  }

  RAYGRAD_INLINE Indices<T> voxel(int side) const { return side ? above : below; }
  RAYGRAD_INLINE Values<T> weight(int side) const { return side ? weight_above : weight_below; }
  RAYGRAD_INLINE Values<T> slope(int side) const { return side ? slope_above : slope_below; }
};

}  // namespace
}  // namespace raygrad
