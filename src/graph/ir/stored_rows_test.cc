#include "graph/ir/stored_rows.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <random>
#include <vector>

namespace pelton {
namespace {

// Rows of random blocks; scales of blocks of 3 rows where the type has them.
struct Stored {
  Stored(DType dtype, int64_t rows, int64_t cols) {
    std::mt19937 random(11);
    bytes.resize(static_cast<size_t>(rows) * *RowBytes(dtype, static_cast<uint64_t>(cols)));
    // Bytes that are small numbers in every format, f16 scales of blocks included.
    for (std::byte& byte : bytes) byte = static_cast<std::byte>(random() % 0x3c);
    tensor = {"w", dtype, rows, cols, bytes};
    if (dtype != DType::kF8E4M3) return;
    for (int i = 0; i < 100; ++i) scales.push_back(static_cast<float>(1 + random() % 100));
    tensor.scales = {reinterpret_cast<const std::byte*>(scales.data()), DType::kF32, 3};
  }
  Stored(const Stored&) = delete;
  Stored& operator=(const Stored&) = delete;

  std::vector<std::byte> bytes;
  std::vector<float> scales;
  StoredTensor tensor;
};

std::vector<float> Decoded(const StoredTensor& tensor, int64_t begin, int64_t count) {
  std::vector<float> out(static_cast<size_t>(count * tensor.cols));
  DecodeRows(tensor, begin, count, out.data());
  return out;
}

TEST(StoredRowsTest, ASliceHoldsTheRowsOfTheWhole) {
  for (size_t i = 0; i < kDTypeCount; ++i) {
    const auto dtype = static_cast<DType>(i);
    if (!IsStoredFormat(dtype)) continue;
    SCOPED_TRACE(DTypeName(dtype));
    const int64_t rows = 10, cols = 256;
    const Stored stored(dtype, rows, cols);
    const std::vector<float> all = Decoded(stored.tensor, 0, rows);
    for (int64_t begin = 0; begin <= rows; ++begin) {
      for (int64_t count = 0; count <= rows - begin; ++count) {
        const StoredTensor slice = SliceRows(stored.tensor, begin, count);
        EXPECT_EQ(slice.rows, count);
        EXPECT_EQ(slice.cols, cols);
        EXPECT_EQ(slice.name, "w");
        EXPECT_EQ(slice.data.size(), stored.bytes.size() / rows * static_cast<size_t>(count));
        const auto first = all.begin() + begin * cols;
        const std::vector<float> want(first, first + count * cols);
        EXPECT_EQ(Decoded(slice, 0, count), want) << begin << " + " << count;
        EXPECT_EQ(Decoded(stored.tensor, begin, count), want) << begin << " + " << count;
      }
    }
    // A slice of a slice, and rows in its middle.
    const StoredTensor inner = SliceRows(SliceRows(stored.tensor, 2, 8), 3, 4);
    EXPECT_EQ(Decoded(inner, 1, 2), Decoded(stored.tensor, 6, 2));
  }
}

TEST(StoredRowsTest, ScalesAreThoseOfTheElementsBlock) {
  const Stored stored(DType::kF8E4M3, 7, 300);
  const std::vector<float> values = Decoded(stored.tensor, 0, 7);
  std::vector<float> plain(300);
  for (size_t row = 0; row < 7; ++row) {
    DecodeRow(DType::kF8E4M3, stored.bytes.data() + row * 300, 300, plain.data());
    for (size_t k = 0; k < 300; ++k) {
      ASSERT_EQ(values[row * 300 + k], plain[k] * stored.scales[row / 3 * 3 + k / 128]);
    }
  }
}

// As in a graph that was read from text.
TEST(StoredRowsTest, ATensorWithoutDataIsSliced) {
  const StoredTensor slice = SliceRows({"w", DType::kQ8_0, 10, 64, {}}, 4, 5);
  EXPECT_EQ(slice.rows, 5);
  EXPECT_TRUE(slice.data.empty());
}

// The values of Q8_0 need more bits than BF16 has; those of BF16 stay whatever is asked for.
TEST(StoredRowsTest, TransposedMatricesHoldTheValuesRoundedAtMostOnce) {
  constexpr int64_t kRows = 6, kCols = 64;
  for (const DType dtype : {DType::kQ8_0, DType::kF32, DType::kBF16}) {
    for (const DType decoded : {DType::kF32, DType::kBF16}) {
      SCOPED_TRACE(DTypeName(dtype));
      const Stored first(dtype, kRows, kCols), second(dtype, kRows, kCols);
      Graph graph;
      ConstantData data{.groups = 2};
      data.tensors = {first.tensor, second.tensor};
      const ValueId matrices =
          graph.AddConstant("w", ElementType::kStored, Shape{2 * kRows, kCols}, std::move(data));
      const ValueId id = AddTransposed(matrices, decoded, &graph);
      const Value& value = graph.value(id);
      EXPECT_TRUE(value.shape == (Shape{2 * kCols, kRows}));
      EXPECT_EQ(value.constant.transposed_from, matrices);
      ASSERT_EQ(value.constant.tensors.size(), 2u);
      const StoredTensor& transposed = value.constant.tensors[1];
      EXPECT_EQ(transposed.dtype, dtype == DType::kBF16 ? dtype : decoded);
      const std::vector<float> want = Decoded(second.tensor, 0, kRows);
      const std::vector<float> got = Decoded(transposed, 0, kCols);
      for (size_t r = 0; r < kRows; ++r) {
        for (size_t c = 0; c < kCols; ++c) {
          const float x = want[r * kCols + c];
          const float tolerance = transposed.dtype == dtype || decoded == DType::kF32
                                      ? 0
                                      : std::abs(x) / 256 + 1e-38f;  // half a unit of 8 bits
          ASSERT_LE(std::abs(got[c * kRows + r] - x), tolerance);
        }
      }
    }
  }
}

TEST(StoredRowsTest, MatricesWithoutBytesHaveNoneTransposed) {
  Graph graph;
  const ValueId matrices = graph.AddStored({"w", DType::kQ8_0, 4, 32, {}});
  const Value& value = graph.value(AddTransposed(matrices, DType::kBF16, &graph));
  EXPECT_TRUE(value.shape == (Shape{32, 4}));
  EXPECT_TRUE(value.constant.tensors[0].data.empty());
  EXPECT_TRUE(graph.owned.empty());
}

}  // namespace
}  // namespace pelton
