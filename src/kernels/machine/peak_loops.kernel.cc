#include "kernels/machine/peak_loops.h"

#if defined(__AVX2__)
#include <immintrin.h>
#endif
#if defined(KERNEL_TILES)
#include "kernels/cpu/amx/tile.h"
#endif

namespace pelton::cpu::KERNEL_ISA {

// 12 chains: more than latency times rate, few enough for 16 registers.
#define PELTON_PEAK_12(f) f(0) f(1) f(2) f(3) f(4) f(5) f(6) f(7) f(8) f(9) f(10) f(11)

// The empty assembly keeps every chain in its own register and every round in the loop.
#if defined(__AVX512VNNI__)
using Floats = __m512;
using Ints = __m512i;
[[maybe_unused]] static Floats FloatStart() { return _mm512_set1_ps(1.0f); }
[[maybe_unused]] static Ints IntStart() { return _mm512_set1_epi8(1); }
[[maybe_unused]] static Floats FloatStep(Floats a, Floats x) { return _mm512_fmadd_ps(x, x, a); }
[[maybe_unused]] static Ints IntStep(Ints a, Ints x) { return _mm512_dpbusd_epi32(a, x, x); }
#define PELTON_KEEP(v) asm volatile("" : "+v"(v))
#elif defined(__AVX2__)
using Floats = __m256;
using Ints = __m256i;
[[maybe_unused]] static Floats FloatStart() { return _mm256_set1_ps(1.0f); }
[[maybe_unused]] static Ints IntStart() { return _mm256_set1_epi8(1); }
[[maybe_unused]] static Floats FloatStep(Floats a, Floats x) { return _mm256_fmadd_ps(x, x, a); }
[[maybe_unused]] static Ints IntStep(Ints a, Ints x) {
  return _mm256_add_epi32(a, _mm256_madd_epi16(_mm256_maddubs_epi16(x, a), x));
}
#define PELTON_KEEP(v) asm volatile("" : "+x"(v))
#else
struct Floats {
  float v[4];
};
struct Ints {
  int v[1];
};
[[maybe_unused]] static Floats FloatStart() { return {{1.0f, 1.0f, 1.0f, 1.0f}}; }
[[maybe_unused]] static Ints IntStart() { return {{1}}; }
[[maybe_unused]] static Floats FloatStep(Floats a, Floats x) {
  for (int i = 0; i < 4; ++i) a.v[i] += x.v[i] * x.v[i];
  return a;
}
[[maybe_unused]] static Ints IntStep(Ints a, Ints x) { return {{a.v[0] + x.v[0] * x.v[0]}}; }
#define PELTON_KEEP(v) asm volatile("" : "+m"(v))
#endif

#if defined(KERNEL_TILES)
// Four sums, each of two tiles: what a product of 32 x 32 does.
static double FloatOperations(size_t rounds) noexcept {
  const TileSession session;
  for (size_t n = 0; n < rounds; ++n) {
    TileDotBf16<0, 4, 6>();
    TileDotBf16<1, 4, 7>();
    TileDotBf16<2, 5, 6>();
    TileDotBf16<3, 5, 7>();
  }
  return static_cast<double>(rounds) * 4 * 2 * 16 * 16 * 32;
}

static double IntegerOperations(size_t rounds) noexcept {
  const TileSession session;
  for (size_t n = 0; n < rounds; ++n) {
    TileDotI8<0, 4, 6>();
    TileDotI8<1, 4, 7>();
    TileDotI8<2, 5, 6>();
    TileDotI8<3, 5, 7>();
  }
  return static_cast<double>(rounds) * 4 * 2 * 16 * 16 * 64;
}
#else
static double FloatOperations(size_t rounds) noexcept {
  const Floats x = FloatStart();
#define PELTON_DECLARE(i) Floats a##i = x;
  PELTON_PEAK_12(PELTON_DECLARE)
  for (size_t n = 0; n < rounds; ++n) {
#define PELTON_STEP(i)       \
  a##i = FloatStep(a##i, x); \
  PELTON_KEEP(a##i);
    PELTON_PEAK_12(PELTON_STEP)
  }
  constexpr size_t kLanes = sizeof(Floats) / sizeof(float);
  return static_cast<double>(rounds * 12 * 2 * kLanes);
}

static double IntegerOperations(size_t rounds) noexcept {
  const Ints x = IntStart();
#define PELTON_DECLARE_INT(i) Ints a##i = x;
  PELTON_PEAK_12(PELTON_DECLARE_INT)
  for (size_t n = 0; n < rounds; ++n) {
#define PELTON_STEP_INT(i) \
  a##i = IntStep(a##i, x); \
  PELTON_KEEP(a##i);
    PELTON_PEAK_12(PELTON_STEP_INT)
  }
#if defined(__AVX2__)
  return static_cast<double>(rounds) * 12 * 2 * sizeof(Ints);  // a product per byte
#else
  return static_cast<double>(rounds) * 12 * 2;
#endif
}
#endif

static void Read(const std::byte* data, size_t bytes) noexcept {
#if defined(__AVX2__)
  Ints a[8];
  for (size_t i = 0; i < 8; ++i) a[i] = IntStart();
  const std::byte* end = data + bytes;
  for (; data != end; data += 8 * sizeof(Ints)) {
#pragma GCC unroll 8
    for (size_t i = 0; i < 8; ++i) {
      a[i] |= *reinterpret_cast<const Ints*>(data + i * sizeof(Ints));
      PELTON_KEEP(a[i]);
    }
  }
#else
  unsigned long long sum = 0;
  for (size_t i = 0; i < bytes; i += 8) {
    sum |= *reinterpret_cast<const unsigned long long*>(data + i);
  }
  asm volatile("" : "+r"(sum));
#endif
}

extern const PeakLoops kPeakLoops;
const PeakLoops kPeakLoops = {FloatOperations, IntegerOperations, Read};

}  // namespace pelton::cpu::KERNEL_ISA
