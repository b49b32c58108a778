#include "runtime/sample/row_scan.h"

#include <algorithm>
#include <limits>

#include "base/check.h"

namespace pelton {
namespace {

// Independent accumulators: four vectors of SSE2, two of AVX2, one of AVX-512.
constexpr size_t kLanes = 16;

}  // namespace

std::optional<float> FiniteMax(std::span<const float> row) {
  constexpr float kLargest = std::numeric_limits<float>::max();
  float max[kLanes];
  uint32_t bad[kLanes] = {};
  std::fill(max, max + kLanes, -kInfinity);
  const size_t whole = row.size() / kLanes * kLanes;
  for (size_t i = 0; i < whole; i += kLanes) {
    for (size_t j = 0; j < kLanes; ++j) {
      const float x = row[i + j];
      max[j] = x > max[j] ? x : max[j];
      bad[j] |= x <= kLargest ? 0u : 1u;  // true for NaN too
    }
  }
  for (size_t i = whole; i < row.size(); ++i) {
    max[0] = row[i] > max[0] ? row[i] : max[0];
    bad[0] |= row[i] <= kLargest ? 0u : 1u;
  }
  float best = -kInfinity;
  uint32_t any_bad = 0;
  for (size_t j = 0; j < kLanes; ++j) {
    best = std::max(best, max[j]);
    any_bad |= bad[j];
  }
  if (any_bad != 0 || best == -kInfinity) return std::nullopt;
  return best;
}

void ApplyMask(std::span<const uint32_t> mask, std::span<float> row) {
  constexpr size_t kBits = 32;
  constexpr uint32_t kNegativeInfinity = std::bit_cast<uint32_t>(-kInfinity);
  size_t i = 0;
  for (; i + kBits <= row.size(); i += kBits) {
    const uint32_t word = mask[i / kBits];
    if (word == ~0u) continue;
    float* const part = row.data() + i;
    if (word == 0) {
      std::fill(part, part + kBits, -kInfinity);
      continue;
    }
    for (uint32_t j = 0; j < kBits; ++j) {
      const uint32_t keep = 0u - (word >> j & 1);  // all bits or none, so that no branch is needed
      part[j] = std::bit_cast<float>((std::bit_cast<uint32_t>(part[j]) & keep) |
                                     (kNegativeInfinity & ~keep));
    }
  }
  for (; i < row.size(); ++i) {
    if ((mask[i / kBits] >> i % kBits & 1) == 0) row[i] = -kInfinity;
  }
}

int32_t FirstEqual(std::span<const float> row, float value) {
  constexpr size_t kBlock = 4 * kLanes;
  size_t i = 0;
  for (; i + kBlock <= row.size(); i += kBlock) {
    uint32_t hits = 0;
    for (size_t j = 0; j < kBlock; ++j) hits |= row[i + j] == value ? 1u : 0u;
    if (hits != 0) break;
  }
  while (i < row.size() && row[i] != value) ++i;
  PELTON_CHECK(i < row.size(), "the row holds its own maximum");
  return static_cast<int32_t>(i);
}

double SumExp(std::span<const float> row, float max, float scale, float floor) {
  double sum[kLanes] = {};
  const size_t whole = row.size() / kLanes * kLanes;
  for (size_t i = 0; i < whole; i += kLanes) {
    float term[kLanes];
    for (size_t j = 0; j < kLanes; ++j) {
      const float e = ExpNonPositive(scale * (row[i + j] - max));
      term[j] = row[i + j] >= floor ? e : 0.0f;
    }
    for (size_t j = 0; j < kLanes; ++j) sum[j] += static_cast<double>(term[j]);
  }
  for (size_t i = whole; i < row.size(); ++i) {
    if (row[i] >= floor) {
      sum[i - whole] += static_cast<double>(ExpNonPositive(scale * (row[i] - max)));
    }
  }
  for (size_t width = kLanes / 2; width > 0; width /= 2) {
    for (size_t j = 0; j < width; ++j) sum[j] += sum[j + width];
  }
  return sum[0];
}

}  // namespace pelton
