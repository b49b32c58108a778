#include "runtime/embed/pooling.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

namespace pelton {
namespace {

TEST(PoolingTest, NamesAreReadBack) {
  for (const Pooling pooling : {Pooling::kMean, Pooling::kFirst, Pooling::kLast}) {
    EXPECT_EQ(ParsePooling(PoolingName(pooling)), pooling);
  }
  EXPECT_EQ(ParsePooling("max"), std::nullopt);
}

TEST(PoolingTest, MeanNormAndCosine) {
  const std::vector<float> rows = {1, 2, 3, 6, -1, 4};
  std::vector<float> mean(2);
  MeanOfRows(rows, mean);
  EXPECT_EQ(mean, (std::vector<float>{1, 4}));
  Normalize(mean);
  EXPECT_FLOAT_EQ(mean[0], 1 / std::sqrt(17.0f));
  std::vector<float> zero = {0, 0};
  Normalize(zero);
  EXPECT_EQ(zero, (std::vector<float>{0, 0}));
  EXPECT_DOUBLE_EQ(Cosine(std::vector<float>{3, 4}, std::vector<float>{6, 8}), 1);
  EXPECT_DOUBLE_EQ(Cosine(std::vector<float>{1, 0}, std::vector<float>{0, 2}), 0);
  EXPECT_EQ(Cosine(zero, mean), 0);
}

}  // namespace
}  // namespace pelton
