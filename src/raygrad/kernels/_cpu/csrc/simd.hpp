// Vectors of the widest registers that this translation unit is compiled for, in GCC's and Clang's vector types; and
// what single numbers need.
//
// Everything here and in the other march headers has internal linkage: the same headers are compiled once for every
// instruction set, and the linker must not merge code of one with code of another.
#pragma once
#include <cstdint>
#if defined(__AVX512F__) || defined(__AVX2__)
#include <immintrin.h>
#endif

#define RAYGRAD_INLINE inline __attribute__((always_inline))
// For functions whose last digits must not depend on their callers: which of two products a compiler contracts with
// their sum changes with what it inlines.
#define RAYGRAD_OUT_OF_LINE __attribute__((noinline))

namespace raygrad {
namespace {

RAYGRAD_INLINE int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
RAYGRAD_INLINE int64_t most(int64_t a, int64_t b) { return a > b ? a : b; }
RAYGRAD_INLINE int64_t clamp_to(int64_t x, int64_t low, int64_t high) { return most(low, least(x, high)); }
RAYGRAD_INLINE double least(double a, double b) { return a < b ? a : b; }
RAYGRAD_INLINE double most(double a, double b) { return a > b ? a : b; }
RAYGRAD_INLINE double within(double x, double low, double high) { return x < low ? low : x > high ? high : x; }

#if defined(__AVX512F__)
constexpr int VECTOR_BYTES = 64;
#elif defined(__AVX2__)
constexpr int VECTOR_BYTES = 32;
#else
constexpr int VECTOR_BYTES = 16;
#endif

template <class T>
struct Simd;
template <>
struct Simd<float> {
  using Integer = int32_t;
  typedef float Values __attribute__((vector_size(VECTOR_BYTES)));
  typedef int32_t Indices __attribute__((vector_size(VECTOR_BYTES)));
};
template <>
struct Simd<double> {
  using Integer = int64_t;
  typedef double Values __attribute__((vector_size(VECTOR_BYTES)));
  typedef int64_t Indices __attribute__((vector_size(VECTOR_BYTES)));
};

template <class T>
using Values = typename Simd<T>::Values;  // one value per lane
template <class T>
using Indices = typename Simd<T>::Indices;  // one integer per lane, also what comparisons give: 0 or -1
template <class T>
using Integer = typename Simd<T>::Integer;
template <class T>
constexpr int LANES = VECTOR_BYTES / int(sizeof(T));

template <class T>
RAYGRAD_INLINE Values<T> splat(T x) { return x - Values<T>{}; }
template <class T>
RAYGRAD_INLINE Indices<T> splat_index(int64_t x) { return Integer<T>(x) - Indices<T>{}; }
template <class T>
RAYGRAD_INLINE Values<T> to_values(Indices<T> i) { return __builtin_convertvector(i, Values<T>); }

template <class V>
RAYGRAD_INLINE V smaller(V a, V b) { return a < b ? a : b; }
template <class V>
RAYGRAD_INLINE V larger(V a, V b) { return a > b ? a : b; }

// The largest integer not above x; x must fit an index.
template <class T>
RAYGRAD_INLINE Indices<T> floor_index(Values<T> x) {
  Indices<T> i = __builtin_convertvector(x, Indices<T>);
  return i + (to_values<T>(i) > x);
}

template <class T>
RAYGRAD_INLINE Values<T> gather(const T* base, Indices<T> i) {
  Values<T> r;
  for (int l = 0; l < LANES<T>; l++) r[l] = base[i[l]];
  return r;
}

// Four vectors of what stands at base + i(lane), + 1, + 2, + 3.
template <class T>
struct GatherRows {
  template <class Index>
  static RAYGRAD_INLINE void run(const T* base, Index i, Values<T> rows[4]) {
    for (int l = 0; l < LANES<T>; l++) {
      const T* from = base + i(l);
      for (int r = 0; r < 4; r++) rows[r][l] = from[r];
    }
  }
};

// The vector at an address, and back.
template <class T>
RAYGRAD_INLINE Values<T> load(const T* from) {
  Values<T> x;
  __builtin_memcpy(&x, from, sizeof(x));
  return x;
}
template <class T>
RAYGRAD_INLINE void store(T* to, Values<T> x) { __builtin_memcpy(to, &x, sizeof(x)); }

// 0, 1, 2, ...
template <class T>
RAYGRAD_INLINE Values<T> lane_numbers() {
  Values<T> x;
  for (int l = 0; l < LANES<T>; l++) x[l] = T(l);
  return x;
}

// A few neighbouring vectors of memory, read by index from 0 on: from registers where the instruction set can.
template <class T, int VECTORS>
struct Window {
  const T* from;
  RAYGRAD_INLINE explicit Window(const T* first) : from(first) {}
  RAYGRAD_INLINE Values<T> operator[](Indices<T> i) const;
};

// base[i] and base[i + 1], read together.
template <class T>
RAYGRAD_INLINE void gather_pair(const T* base, Indices<T> i, Values<T>& first, Values<T>& second) {
  for (int l = 0; l < LANES<T>; l++) first[l] = base[i[l]], second[l] = base[i[l] + 1];
}

// A comparison's lanes as bits.
template <class I>
RAYGRAD_INLINE unsigned lane_bits(I mask) {
  unsigned bits = 0;
  for (unsigned l = 0; l < sizeof(I) / sizeof(mask[0]); l++) bits |= unsigned(mask[l] != 0) << l;
  return bits;
}

#if defined(__AVX512F__)
template <>
RAYGRAD_INLINE Values<float> smaller(Values<float> a, Values<float> b) {
  return (Values<float>)_mm512_min_ps((__m512)a, (__m512)b);
}
template <>
RAYGRAD_INLINE Values<float> larger(Values<float> a, Values<float> b) {
  return (Values<float>)_mm512_max_ps((__m512)a, (__m512)b);
}
template <>
RAYGRAD_INLINE Indices<float> smaller(Indices<float> a, Indices<float> b) {
  return (Indices<float>)_mm512_min_epi32((__m512i)a, (__m512i)b);
}
template <>
RAYGRAD_INLINE Indices<float> larger(Indices<float> a, Indices<float> b) {
  return (Indices<float>)_mm512_max_epi32((__m512i)a, (__m512i)b);
}
template <>
RAYGRAD_INLINE Indices<float> floor_index<float>(Values<float> x) {
  return (Indices<float>)_mm512_cvt_roundps_epi32((__m512)x, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
}
template <>
RAYGRAD_INLINE Values<float> gather<float>(const float* base, Indices<float> i) {
  return (Values<float>)_mm512_i32gather_ps((__m512i)i, base, 4);
}
template <>
RAYGRAD_INLINE void gather_pair<float>(const float* base, Indices<float> i, Values<float>& first,
                                       Values<float>& second) {
  const __m512 low = (__m512)_mm512_i32gather_pd(_mm512_castsi512_si256((__m512i)i), base, 4);
  const __m512 high = (__m512)_mm512_i32gather_pd(_mm512_extracti64x4_epi64((__m512i)i, 1), base, 4);
  const __m512i even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
  first = (Values<float>)_mm512_permutex2var_ps(low, even, high);
  second = (Values<float>)_mm512_permutex2var_ps(low, _mm512_add_epi32(even, _mm512_set1_epi32(1)), high);
}
template <>
struct GatherRows<float> {
  template <class Index>
  static RAYGRAD_INLINE void run(const float* base, Index i, Values<float> rows[4]) {
    __m512 four[4];  // lanes j, 4 + j, 8 + j and 12 + j
    for (int j = 0; j < 4; j++) {
      four[j] = _mm512_castps128_ps512(_mm_loadu_ps(base + i(j)));
      four[j] = _mm512_insertf32x4(four[j], _mm_loadu_ps(base + i(4 + j)), 1);
      four[j] = _mm512_insertf32x4(four[j], _mm_loadu_ps(base + i(8 + j)), 2);
      four[j] = _mm512_insertf32x4(four[j], _mm_loadu_ps(base + i(12 + j)), 3);
    }
    const __m512d a = (__m512d)_mm512_unpacklo_ps(four[0], four[1]), b = (__m512d)_mm512_unpackhi_ps(four[0], four[1]);
    const __m512d c = (__m512d)_mm512_unpacklo_ps(four[2], four[3]), d = (__m512d)_mm512_unpackhi_ps(four[2], four[3]);
    rows[0] = (Values<float>)_mm512_unpacklo_pd(a, c), rows[1] = (Values<float>)_mm512_unpackhi_pd(a, c);
    rows[2] = (Values<float>)_mm512_unpacklo_pd(b, d), rows[3] = (Values<float>)_mm512_unpackhi_pd(b, d);
  }
};
template <>
RAYGRAD_INLINE unsigned lane_bits(Indices<float> mask) { return _mm512_test_epi32_mask((__m512i)mask, (__m512i)mask); }
template <>
RAYGRAD_INLINE unsigned lane_bits(Indices<double> mask) {
  return _mm512_test_epi64_mask((__m512i)mask, (__m512i)mask);
}
#elif defined(__AVX2__)
template <>
RAYGRAD_INLINE Values<float> smaller(Values<float> a, Values<float> b) {
  return (Values<float>)_mm256_min_ps((__m256)a, (__m256)b);
}
template <>
RAYGRAD_INLINE Values<float> larger(Values<float> a, Values<float> b) {
  return (Values<float>)_mm256_max_ps((__m256)a, (__m256)b);
}
template <>
RAYGRAD_INLINE Indices<float> smaller(Indices<float> a, Indices<float> b) {
  return (Indices<float>)_mm256_min_epi32((__m256i)a, (__m256i)b);
}
template <>
RAYGRAD_INLINE Indices<float> larger(Indices<float> a, Indices<float> b) {
  return (Indices<float>)_mm256_max_epi32((__m256i)a, (__m256i)b);
}
template <>
RAYGRAD_INLINE Indices<float> floor_index<float>(Values<float> x) {
  return (Indices<float>)_mm256_cvttps_epi32(_mm256_floor_ps((__m256)x));
}
template <>
RAYGRAD_INLINE Values<float> gather<float>(const float* base, Indices<float> i) {
  return (Values<float>)_mm256_i32gather_ps(base, (__m256i)i, 4);
}
template <>
RAYGRAD_INLINE void gather_pair<float>(const float* base, Indices<float> i, Values<float>& first,
                                       Values<float>& second) {
  const double* pairs = reinterpret_cast<const double*>(base);
  const __m256 low = (__m256)_mm256_i32gather_pd(pairs, _mm256_castsi256_si128((__m256i)i), 4);
  const __m256 high = (__m256)_mm256_i32gather_pd(pairs, _mm256_extracti128_si256((__m256i)i, 1), 4);
  const auto in_order = [](__m256 x) { return (Values<float>)_mm256_permute4x64_pd((__m256d)x, 0b11011000); };
  first = in_order(_mm256_shuffle_ps(low, high, 0b10001000));
  second = in_order(_mm256_shuffle_ps(low, high, 0b11011101));
}
template <>
struct GatherRows<float> {
  template <class Index>
  static RAYGRAD_INLINE void run(const float* base, Index i, Values<float> rows[4]) {
    __m256 four[4];  // lanes j and 4 + j
    for (int j = 0; j < 4; j++)
      four[j] = _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(base + i(j))), _mm_loadu_ps(base + i(4 + j)), 1);
    const __m256d a = (__m256d)_mm256_unpacklo_ps(four[0], four[1]), b = (__m256d)_mm256_unpackhi_ps(four[0], four[1]);
    const __m256d c = (__m256d)_mm256_unpacklo_ps(four[2], four[3]), d = (__m256d)_mm256_unpackhi_ps(four[2], four[3]);
    rows[0] = (Values<float>)_mm256_unpacklo_pd(a, c), rows[1] = (Values<float>)_mm256_unpackhi_pd(a, c);
    rows[2] = (Values<float>)_mm256_unpacklo_pd(b, d), rows[3] = (Values<float>)_mm256_unpackhi_pd(b, d);
  }
};
template <>
RAYGRAD_INLINE unsigned lane_bits(Indices<float> mask) { return unsigned(_mm256_movemask_ps((__m256)mask)); }
template <>
RAYGRAD_INLINE unsigned lane_bits(Indices<double> mask) { return unsigned(_mm256_movemask_pd((__m256d)mask)); }
#endif

template <class T, int VECTORS>
RAYGRAD_INLINE Values<T> Window<T, VECTORS>::operator[](Indices<T> i) const { return gather<T>(from, i); }

#if defined(__AVX512F__)
template <>
struct Window<float, 2> {
  __m512 first, second;
  RAYGRAD_INLINE explicit Window(const float* from) : first((__m512)load(from)), second((__m512)load(from + 16)) {}
  RAYGRAD_INLINE Values<float> operator[](Indices<float> i) const {
    return (Values<float>)_mm512_permutex2var_ps(first, (__m512i)i, second);
  }
};
template <>
struct Window<float, 4> {
  Window<float, 2> low, high;
  RAYGRAD_INLINE explicit Window(const float* from) : low(from), high(from + 32) {}
  RAYGRAD_INLINE Values<float> operator[](Indices<float> i) const {  // a permutation looks at an index's lowest 5 bits
    const __mmask16 is_high = _mm512_test_epi32_mask((__m512i)i, _mm512_set1_epi32(32));
    return (Values<float>)_mm512_mask_mov_ps((__m512)low[i], is_high, (__m512)high[i]);
  }
};
#endif

template <class I>
RAYGRAD_INLINE bool any(I mask) { return lane_bits(mask) != 0; }

template <class V>
RAYGRAD_INLINE V clamp(V x, V low, V high) { return smaller(larger(x, low), high); }

// Add what the lanes hold to the numbers that they name, lane by lane: two of them may name the same.
template <class T>
RAYGRAD_INLINE void scatter(T* base, Indices<T> i, Values<T> amount) {
  for (unsigned bits = lane_bits(amount != Values<T>{}); bits; bits &= bits - 1) {
    const int l = __builtin_ctz(bits);
    base[i[l]] += amount[l];
  }
}

// The same for pairs of numbers that are neighbours in memory.
template <class T>
RAYGRAD_INLINE void scatter_pairs(T* base, Indices<T> i, Values<T> first, Values<T> second) {
  typedef T Pair __attribute__((vector_size(2 * sizeof(T)), aligned(alignof(T)), may_alias));
  for (int l = 0; l < LANES<T>; l++) *reinterpret_cast<Pair*>(base + i[l]) += Pair{first[l], second[l]};
}

}  // namespace
}  // namespace raygrad
