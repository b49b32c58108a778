#include "runtime/sample/row_scan.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "runtime/sample/candidates.h"
#include "runtime/sample/philox.h"
#include "runtime/sample/random_row.h"

namespace pelton {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
// Around every vector and block width in row_scan.cc and candidates.cc.
const size_t kSizes[] = {1, 2, 15, 16, 17, 31, 63, 64, 65, 127, 129, 1000, 1024, 4099};

// The known answers that the authors publish with Random123 (kat_vectors, philox4x32 10).
TEST(Philox, PublishedKnownAnswers) {
  using Counter = std::array<uint32_t, 4>;
  constexpr uint32_t kOnes = 0xffffffff;
  EXPECT_EQ(Philox4x32({0, 0, 0, 0}, {0, 0}),
            (Counter{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(Philox4x32({kOnes, kOnes, kOnes, kOnes}, {kOnes, kOnes}),
            (Counter{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(Philox4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}),
            (Counter{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(Philox, UniformUsesAllBitsOfSeedAndPosition) {
  const double base = UniformAt(1, 2);
  EXPECT_EQ(UniformAt(0, 0), static_cast<double>(0xe169c58d6627e8d5u >> 11) * 0x1p-53);
  for (int bit = 0; bit < 64; ++bit) {
    EXPECT_NE(UniformAt(1 ^ (uint64_t{1} << bit), 2), base);
    EXPECT_NE(UniformAt(1, 2 ^ (uint64_t{1} << bit)), base);
  }
  double sum = 0;
  for (uint64_t i = 0; i < 100000; ++i) {
    const double u = UniformAt(42, i);
    ASSERT_GE(u, 0);
    ASSERT_LT(u, 1);
    sum += u;
  }
  EXPECT_NEAR(sum / 100000, 0.5, 0.004);  // four standard deviations
}

TEST(RowScan, MaxAndItsFirstPlace) {
  for (const size_t size : kSizes) {
    for (const size_t place : {size_t{0}, size / 2, size - 1}) {
      std::vector<float> row = RandomRow(size, 1, 1);
      for (float& x : row) x = std::min(x, 3.0f);
      row[place] = 7.5f;
      row[size - 1] = 7.5f;  // a tie: the lower index counts
      ASSERT_EQ(FiniteMax(row), 7.5f);
      ASSERT_EQ(FirstEqual(row, 7.5f), static_cast<int32_t>(place));
    }
  }
  const std::vector<float> zeros = {-1.0f, -0.0f, 0.0f};
  EXPECT_EQ(FirstEqual(zeros, *FiniteMax(zeros)), 1) << "zeros of either sign are equal";
}

TEST(RowScan, NanAndPlusInfinityAreSeenAnywhere) {
  for (const size_t size : kSizes) {
    for (size_t place = 0; place < size; place += 1 + size / 40) {
      for (const float bad : {kNan, -kNan, kInfinity}) {
        std::vector<float> row = RandomRow(size, 2, 1);
        row[place] = bad;
        ASSERT_FALSE(FiniteMax(row).has_value()) << size << " " << place;
      }
    }
    ASSERT_FALSE(FiniteMax(std::vector<float>(size, -kInfinity)).has_value());
    std::vector<float> masked(size, -kInfinity);
    masked[size - 1] = -3;
    ASSERT_EQ(FiniteMax(masked), -3.0f);
  }
}

TEST(RowScan, ExponentialIsAccurate) {
  double worst = 0;
  for (float x = 0; x > -87; x -= 0.00137f) {
    const double want = std::exp(static_cast<double>(x));
    worst = std::max(worst, std::abs(static_cast<double>(ExpNonPositive(x)) - want) / want);
  }
  EXPECT_LT(worst, 2e-7);
  EXPECT_EQ(ExpNonPositive(0.0f), 1.0f);
  EXPECT_EQ(ExpNonPositive(-87.5f), 0.0f);
  EXPECT_EQ(ExpNonPositive(-kInfinity), 0.0f);
}

TEST(RowScan, SumExpMatchesTheDirectSum) {
  for (const size_t size : kSizes) {
    for (const float scale : {0.2f, 1.0f, 4.0f}) {
      const std::vector<float> row = RandomRow(size, 3, 4);
      const float max = *FiniteMax(row);
      for (const float floor : {-kInfinity, max - 3.0f}) {
        double want = 0;
        for (const float x : row) {
          if (x >= floor)
            want += std::exp(static_cast<double>(scale) * static_cast<double>(x - max));
        }
        ASSERT_NEAR(SumExp(row, max, scale, floor) / want, 1, 1e-6) << size;
      }
    }
  }
}

TEST(SelectTop, MatchesAFullSortWithTies) {
  std::mt19937 random(5);
  for (const size_t size : kSizes) {
    for (const bool coarse : {false, true}) {
      std::vector<float> row = RandomRow(size, static_cast<uint32_t>(size), 2);
      if (coarse) {
        for (float& x : row) x = std::round(x);  // a handful of values: ties everywhere
      }
      row[random() % size] = -kInfinity;
      std::vector<Candidate> all;
      for (size_t i = 0; i < size; ++i) {
        if (row[i] > -kInfinity) all.push_back({row[i], static_cast<int32_t>(i)});
      }
      std::sort(all.begin(), all.end(), Better);
      for (const size_t count : {size_t{1}, size_t{2}, size_t{40}, size, size * 3}) {
        std::vector<Candidate> out;
        out.reserve(size);
        SelectTop(row, count, out);
        ASSERT_LE(out.capacity(), size) << "no allocation beyond the row";
        ASSERT_EQ(out.size(), std::min(count, all.size()));
        for (size_t i = 0; i < out.size(); ++i) ASSERT_EQ(out[i].id, all[i].id) << size << " " << i;
      }
    }
  }
}

TEST(SelectTop, AscendingRowsAreNotQuadratic) {
  std::vector<float> row(200000);
  for (size_t i = 0; i < row.size(); ++i) row[i] = static_cast<float>(i);
  std::vector<Candidate> out;
  SelectTop(row, 40, out);
  for (size_t i = 0; i < 40; ++i) ASSERT_EQ(out[i].id, static_cast<int32_t>(row.size() - 1 - i));
}

TEST(RowScanTest, AMaskLeavesWhatItAllows) {
  for (const size_t size : {1u, 31u, 32u, 33u, 100u, 257u}) {
    std::vector<float> row(size);
    std::vector<uint32_t> mask((size + 31) / 32);
    for (size_t i = 0; i < size; ++i) {
      row[i] = static_cast<float>(i) - 3;
      const bool set = i / 32 == 1 || (i / 32 != 2 && i * 7 % 3 == 0);
      if (set) mask[i / 32] |= 1u << i % 32;
    }
    ApplyMask(mask, row);
    for (size_t i = 0; i < size; ++i) {
      const bool set = (mask[i / 32] >> i % 32 & 1) != 0;
      const float kept = static_cast<float>(i) - 3;
      EXPECT_EQ(row[i], set ? kept : -std::numeric_limits<float>::infinity()) << size << " " << i;
    }
  }
}

}  // namespace
}  // namespace pelton
