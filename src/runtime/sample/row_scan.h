#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <span>

namespace pelton {

inline constexpr float kInfinity = std::numeric_limits<float>::infinity();

// Passes over one row of logits. All of them give the same bits on every machine and for every
// compiler: orders of summation are written out, and the exponential is our own.

// The largest logit. Empty if the row holds NaN or +infinity, or nothing above -infinity.
std::optional<float> FiniteMax(std::span<const float> row);

// Makes every logit -infinity whose bit, i % 32 of word i / 32, is not set.
// Requires: mask.size() * 32 >= row.size().
void ApplyMask(std::span<const uint32_t> mask, std::span<float> row);

// The lowest index whose value equals `value`. Requires: there is one.
int32_t FirstEqual(std::span<const float> row, float value);

// e^x for x <= 0, within 2e-7 relative; 0 below -87. No branches, so that loops over it become
// vector code. Source: Cephes expf (range reduction by a split ln 2, polynomial of degree 5).
inline float ExpNonPositive(float x) {
  constexpr float kLog2E = 1.44269504088896341f;
  constexpr float kLn2High = 0.693359375f;  // few bits: n * kLn2High is exact
  constexpr float kLn2Low = -2.12194440e-4f;
  const float clamped = x > -87.0f ? x : -87.0f;
  const int32_t n = static_cast<int32_t>(clamped * kLog2E - 0.5f);  // truncation rounds to nearest
  const float n_float = static_cast<float>(n);
  const float r = (clamped - n_float * kLn2High) - n_float * kLn2Low;
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  const float value = (p * r * r + r) + 1.0f;
  const float scaled = value * std::bit_cast<float>((n + 127) << 23);
  return x >= -87.0f ? scaled : 0.0f;
}

// sum_i e^(scale * (row[i] - max)) over the values that are at least `floor`, in double.
// Requires: row[i] <= max for all i, max finite, scale > 0.
double SumExp(std::span<const float> row, float max, float scale, float floor);

}  // namespace pelton
