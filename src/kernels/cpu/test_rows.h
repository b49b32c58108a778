#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "base/checked_math.h"
#include "base/cpu_features.h"
#include "kernels/ops/op.h"
#include "kernels/ops/quantized_rows.h"

// What the tests of the row and attention kernels share.
namespace pelton {

// Rows of most problems: a first, a last and one between.
inline constexpr size_t kTestRows = 3;

inline std::vector<float> RandomValues(std::mt19937& rng, size_t count, float deviation = 1) {
  std::normal_distribution<float> normal(0, deviation);
  std::vector<float> out(count);
  for (float& v : out) v = normal(rng);
  return out;
}

// 64-byte aligned bytes, filled with a pattern that no kernel writes.
class AlignedBytes {
 public:
  explicit AlignedBytes(size_t size)
      : size_(size), data_(static_cast<std::byte*>(std::aligned_alloc(64, RoundUp(size + 1, 64)))) {
    std::memset(data_.get(), 0xa5, RoundUp(size + 1, 64));
  }
  std::byte* data() const { return data_.get(); }
  size_t size() const { return size_; }

 private:
  struct Free {
    void operator()(std::byte* p) const { std::free(p); }
  };
  size_t size_;
  std::unique_ptr<std::byte, Free> data_;
};

// Calls `test(impl)` for every implementation that this processor can run.
template <typename Args, typename Test>
void ForEachImpl(std::span<const OpImpl<Args>> impls, const Test& test) {
  ASSERT_EQ(impls.back().required_features, 0u);
  for (const OpImpl<Args>& impl : impls) {
    if ((impl.required_features & ~DetectedCpuFeatures()) != 0) continue;
    SCOPED_TRACE(impl.name);
    test(impl);
    if (::testing::Test::HasFatalFailure()) return;
  }
}

// Runs all units, last half first, so that a dependence between units shows.
template <typename Args>
void RunSplit(const OpImpl<Args>& impl, const Args& args, size_t units,
              std::byte* scratch = nullptr) {
  impl.run(args, units / 2, units, scratch);
  impl.run(args, 0, units / 2, scratch);
}

inline bool SameBits(const float* a, const float* b, size_t count) {
  return count == 0 || std::memcmp(a, b, count * sizeof(float)) == 0;
}

// Values, scales and sums of all rows, bit for bit; the padding of rows has no meaning.
inline void ExpectSameQuantized(QuantizedRows got, QuantizedRows want, size_t rows) {
  ASSERT_EQ(got.cols, want.cols);
  const size_t padded = QuantizedRows::PaddedCols(want.cols);
  const size_t blocks = padded / QuantizedRows::kBlock;
  for (size_t row = 0; row < rows; ++row) {
    EXPECT_EQ(std::memcmp(got.Values(row), want.Values(row), padded), 0) << "row " << row;
    EXPECT_EQ(std::memcmp(got.Scales(row), want.Scales(row), blocks * sizeof(float)), 0) << row;
    EXPECT_EQ(std::memcmp(got.Sums(row), want.Sums(row), blocks * sizeof(int32_t)), 0) << row;
  }
}

}  // namespace pelton
