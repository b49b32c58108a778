#include "models/build/tensor_reader.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <limits>

#include "graph/ir/stored_rows.h"
#include "models/weights/file_images.h"
#include "models/weights/safetensors.h"

namespace pelton {
namespace {

namespace fs = std::filesystem;
using test::SafetensorsWriter;

constexpr Fp8Blocks kBlocks = {128, 128};

std::string BytesOf(const std::vector<float>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float)};
}

// A folder with one file, which is removed at the end.
class TensorReaderTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (fs::temp_directory_path() / "pelton_tensors_XXXXXX").string();
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    root_ = pattern;
  }
  void TearDown() override { fs::remove_all(root_); }

  WeightSource Open(const SafetensorsWriter& writer) const {
    std::ofstream(root_ / "model.safetensors", std::ios::binary) << writer.Build();
    Result<WeightSource> weights = OpenSafetensors(root_.string());
    PELTON_CHECK(weights.ok(), weights.status().message().c_str());
    return std::move(weights).value();
  }

  // Why the matrix "w.weight" [200, 300] cannot be read.
  void ExpectRefused(const SafetensorsWriter& writer, std::string_view problem,
                     Fp8Blocks blocks = kBlocks, StatusCode code = StatusCode::kDataLoss) const {
    const WeightSource weights = Open(writer);
    Graph graph;
    TensorReader reader(weights, &graph, blocks);
    EXPECT_EQ(reader.Matrix("w.weight", 200, 300), kNoValue);
    EXPECT_EQ(reader.status().code(), code);
    EXPECT_EQ(reader.status().message(),
              (root_ / "model.safetensors").string() + ": " + std::string(problem));
  }

  fs::path root_;
};

// [200, 300] in F8_E4M3: ones.
SafetensorsWriter Weights() {
  SafetensorsWriter writer;
  // The scales that follow are aligned to nothing.
  writer.Add("odd", "U8", {1}, "x");
  writer.Add("w.weight", "F8_E4M3", {200, 300}, std::string(size_t{200} * 300, '\x38'));
  return writer;
}

void ExpectScaled(const StoredTensor& tensor, const std::vector<float>& scales) {
  ASSERT_EQ(tensor.dtype, DType::kF8E4M3);
  std::vector<float> values(static_cast<size_t>(tensor.rows) * 300);
  DecodeRows(tensor, 0, tensor.rows, values.data());
  for (size_t row = 0; row < static_cast<size_t>(tensor.rows); ++row) {
    const size_t block_row = (tensor.scales.first_row + row) / 128;
    for (size_t k = 0; k < 300; ++k) {
      ASSERT_EQ(values[row * 300 + k], scales[block_row * 3 + k / 128]) << row << " " << k;
    }
  }
}

TEST_F(TensorReaderTest, ReadsTheScalesOfFloatsOf8Bits) {
  const std::vector<float> scales = {0.25f, 0.5f, 1, 2, 4, 8};
  std::string bf16, powers;
  for (const float scale : scales) {
    const auto bits = std::bit_cast<uint32_t>(scale);
    bf16 += {static_cast<char>(bits >> 16 & 0xff), static_cast<char>(bits >> 24)};
    powers += static_cast<char>(bits >> 23);
  }
  const std::pair<const char*, std::string> kinds[] = {
      {"F32", BytesOf(scales)}, {"BF16", bf16}, {"F8_E8M0", powers}};
  for (const auto& [dtype, bytes] : kinds) {
    SCOPED_TRACE(dtype);
    const WeightSource weights = Open(Weights().Add("w.weight_scale_inv", dtype, {2, 3}, bytes));
    Graph graph;
    TensorReader reader(weights, &graph, kBlocks);
    const ValueId id = reader.Matrix("w.weight", 200, 300);
    ASSERT_NE(id, kNoValue) << reader.status().message();
    ExpectScaled(graph.value(id).constant.tensors[0], scales);
    const auto stored = reader.Stored("w.weight", {200, 300});
    ASSERT_TRUE(stored.has_value());
    ExpectScaled(SliceRows(*stored, 100, 90), scales);
  }
}

TEST_F(TensorReaderTest, BlocksMayBeLargerThanTheMatrix) {
  const WeightSource weights =
      Open(Weights().Add("w.weight_scale_inv", "F32", {1, 1}, BytesOf({3})));
  Graph graph;
  TensorReader reader(weights, &graph, {65536, 256 * 128});
  const auto stored = reader.Stored("w.weight", {200, 300});
  ASSERT_TRUE(stored.has_value()) << reader.status().message();
  std::vector<float> values(300);
  DecodeRows(*stored, 199, 1, values.data());
  EXPECT_EQ(values, std::vector<float>(300, 3.0f));
}

// Two matrices of 4 rows and 64 columns: the code of column c of row r is (r + c) mod 16, the
// exponent of block b of row r of matrix m is 120 + 8 m + 2 r + b.
SafetensorsWriter Float4Weights() {
  std::string blocks, scales;
  for (int m = 0; m < 2; ++m) {
    for (int r = 0; r < 4; ++r) {
      for (int c = 0; c < 64; c += 2) {
        blocks += static_cast<char>((r + c) % 16 | (r + c + 1) % 16 << 4);
      }
      for (int b = 0; b < 2; ++b) scales += static_cast<char>(120 + 8 * m + 2 * r + b);
    }
  }
  SafetensorsWriter writer;
  writer.Add("w_blocks", "U8", {2, 4, 2, 16}, blocks).Add("w_scales", "U8", {2, 4, 2}, scales);
  return writer;
}

TEST_F(TensorReaderTest, ReadsFloatsOf4Bits) {
  constexpr float kValues[] = {0, 0.5f, 1, 1.5f, 2, 3, 4, 6};
  const WeightSource weights = Open(Float4Weights());
  Graph graph;
  TensorReader reader(weights, &graph);
  for (const int first : {0, 1}) {
    const ValueId id = reader.Float4Matrices("w", 2, 2, 64, first, 2);
    ASSERT_NE(id, kNoValue) << reader.status().message();
    const ConstantData& data = graph.value(id).constant;
    EXPECT_EQ(data.groups, 2);
    ASSERT_EQ(data.tensors.size(), 2u);
    for (int m = 0; m < 2; ++m) {
      for (int row = 0; row < 2; ++row) {
        std::vector<float> values(64);
        DecodeRows(data.tensors[static_cast<size_t>(m)], row, 1, values.data());
        const int r = first + 2 * row;
        for (int c = 0; c < 64; ++c) {
          const int code = (r + c) % 16, exponent = 120 + 8 * m + 2 * r + c / 32 - 127;
          const float value = std::ldexp(kValues[code % 8], exponent);
          ASSERT_EQ(values[static_cast<size_t>(c)], code < 8 ? value : -value) << r << " " << c;
        }
      }
    }
  }
}

TEST_F(TensorReaderTest, RefusesFloatsOf4BitsThatDoNotFit) {
  const auto refused = [&](const SafetensorsWriter& writer, int64_t cols, std::string_view text) {
    const WeightSource weights = Open(writer);
    Graph graph;
    TensorReader reader(weights, &graph);
    EXPECT_EQ(reader.Float4Matrices("w", 2, 4, cols, 0, 1), kNoValue);
    EXPECT_EQ(reader.status().message(),
              (root_ / "model.safetensors").string() + ": tensor " + std::string(text));
  };
  refused(Float4Weights(), 96,
          "w_blocks: found U8 [2, 4, 2, 16], expected U8 [2, 4, 3, 16] and columns in blocks of "
          "32");
  refused(Float4Weights(), 65,
          "w_blocks: found U8 [2, 4, 2, 16], expected U8 [2, 4, 2, 16] and columns in blocks of "
          "32");
  SafetensorsWriter alone;
  alone.Add("w_blocks", "U8", {2, 4, 2, 16}, std::string(256, '\1'));
  refused(alone, 64, "w_scales: found none, expected one");
}

TEST_F(TensorReaderTest, TransposesPlainFloatsOnly) {
  SafetensorsWriter writer;
  writer.Add("half", "BF16", {1, 2, 4}, std::string("a1b2c3d4e5f6g7h8"));
  writer.Add("wide", "F64", {1, 1, 1}, std::string(8, '\0'));
  const WeightSource weights = Open(writer);
  Graph graph;
  TensorReader reader(weights, &graph);
  const ValueId id = reader.TransposedMatrices("half", 1, 2, 2, 1, 2);
  ASSERT_NE(id, kNoValue) << reader.status().message();
  const StoredTensor& made = graph.value(id).constant.tensors.at(0);
  EXPECT_EQ(made.rows, 2);
  EXPECT_EQ(std::string_view(reinterpret_cast<const char*>(made.data.data()), made.data.size()),
            "b2f6d4h8");
  EXPECT_EQ(reader.TransposedMatrices("wide", 1, 1, 1, 0, 1), kNoValue);
  EXPECT_NE(reader.status().message().find("found type F64"), std::string::npos);
}

TEST_F(TensorReaderTest, RefusesScalesThatDoNotFit) {
  ExpectRefused(Weights(),
                "tensor w.weight_scale_inv: found none, expected the scales of w.weight");
  ExpectRefused(Weights().Add("w.weight_scale_inv", "F32", {3, 2}, std::string(24, '\1')),
                "tensor w.weight_scale_inv: found shape [3, 2], expected [2, 3], one for each 128 "
                "x 128 of w.weight");
  ExpectRefused(Weights().Add("w.weight_scale_inv", "F32", {6}, std::string(24, '\1')),
                "tensor w.weight_scale_inv: found shape [6], expected [2, 3], one for each 128 x "
                "128 of w.weight");
  // Scales of other blocks than the configuration says.
  ExpectRefused(Weights().Add("w.weight_scale_inv", "F32", {2, 3}, std::string(24, '\1')),
                "tensor w.weight_scale_inv: found shape [2, 3], expected [4, 2], one for each 64 x "
                "256 of w.weight",
                {64, 256});
  ExpectRefused(Weights().Add("w.weight_scale_inv", "F16", {2, 3}, std::string(12, '\1')),
                "tensor w.weight_scale_inv: found type F16, expected F32, BF16 or F8_E8M0");
  ExpectRefused(Weights().Add("w.weight_scale_inv", "F32", {2, 3}, std::string(24, '\1')),
                "tensor w.weight: found type F8_E4M3, expected a weight_block_size in the "
                "configuration",
                {});
  ExpectRefused(Weights().Add("w.weight_scale_inv", "F32", {2, 3}, std::string(24, '\1')),
                "tensor w.weight: found FP8 blocks of 128 x 64, expected columns that are a "
                "multiple of 128",
                {128, 64}, StatusCode::kUnimplemented);
}

TEST_F(TensorReaderTest, RefusesScalesThatAreNoScales) {
  const std::pair<float, const char*> bad[] = {{0.0f, "0"},
                                               {-1.0f, "-1"},
                                               {std::numeric_limits<float>::infinity(), "inf"},
                                               {std::numeric_limits<float>::quiet_NaN(), "nan"},
                                               {1e36f, "1e+36"}};
  for (const auto& [value, text] : bad) {
    ExpectRefused(
        Weights().Add("w.weight_scale_inv", "F32", {2, 3}, BytesOf({1, 1, 1, 1, value, 1})),
        "tensor w.weight_scale_inv: found " + std::string(text) +
            " as scale 4, expected a positive number of at most 7.595588e+35");
  }
  ExpectRefused(Weights().Add("w.weight_scale_inv", "F8_E8M0", {2, 3},
                              std::string("\x7f\x7f\x7f\x7f\x7f\xff")),
                "tensor w.weight_scale_inv: found nan as scale 5, expected a positive number of at "
                "most 7.595588e+35");
}

TEST_F(TensorReaderTest, RefusesSeveralMatricesOf8BitsInATensor) {
  SafetensorsWriter writer;
  writer.Add("w.weight", "F8_E4M3", {2, 200, 300}, std::string(size_t{2} * 200 * 300, '\1'));
  // Were the first two sizes taken for those of a matrix, this would be enough.
  writer.Add("w.weight_scale_inv", "F32", {1, 2}, BytesOf({1, 1}));
  const WeightSource weights = Open(writer);
  Graph graph;
  TensorReader reader(weights, &graph, kBlocks);
  EXPECT_EQ(reader.JoinedMatrices("w.weight", 2, 200, 300), kNoValue);
  EXPECT_EQ(reader.status().message(),
            (root_ / "model.safetensors").string() +
                ": tensor w.weight: found several matrices of type F8_E4M3, expected one in a "
                "tensor");
}

TEST_F(TensorReaderTest, RefusesScalesOfATensorOfAnotherType) {
  SafetensorsWriter writer;
  writer.Add("w.weight", "BF16", {200, 300}, std::string(size_t{200} * 300 * 2, '\1'));
  writer.Add("w.weight_scale_inv", "F32", {2, 3}, std::string(24, '\1'));
  ExpectRefused(writer,
                "tensor w.weight_scale_inv: found scales of a tensor of type BF16, expected "
                "F8_E4M3");
}

TEST_F(TensorReaderTest, ChoicesAreDistinctAndBelowTheirLimit) {
  const auto read = [&](const std::vector<int64_t>& numbers, int64_t limit) {
    SafetensorsWriter writer;
    writer.Add("odd", "U8", {1}, "x");
    writer.Add("t", "I64", {2, 2},
               {reinterpret_cast<const char*>(numbers.data()), numbers.size() * sizeof(int64_t)});
    const WeightSource weights = Open(writer);
    Graph graph;
    TensorReader reader(weights, &graph);
    const ValueId table = reader.Choices("t", 2, 2, limit);
    EXPECT_EQ(table != kNoValue, reader.status().ok());
    return std::string(reader.status().message());
  };
  EXPECT_EQ(read({0, 3, 2, 1}, 4), "");
  EXPECT_NE(
      read({0, 3, 2, 1}, 3).find("found 0, 3 in row 0, expected distinct numbers from 0 to 2"),
      std::string::npos);
  EXPECT_NE(read({0, 3, 1, 1}, 4).find("in row 1"), std::string::npos);
  EXPECT_NE(read({0, -1, 0, 1}, 4).find("in row 0"), std::string::npos);
  EXPECT_NE(read({0, int64_t{1} << 32, 0, 1}, 4).find("in row 0"), std::string::npos);
}

}  // namespace
}  // namespace pelton
