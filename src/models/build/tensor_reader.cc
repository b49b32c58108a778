#include "models/build/tensor_reader.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <memory>

#include "base/checked_math.h"
#include "graph/ir/stored_rows.h"
#include "kernels/ops/packed_weights.h"

namespace pelton {
namespace {

bool HasShape(const TensorInfo& tensor, std::initializer_list<int64_t> sizes) {
  if (tensor.rank != sizes.size()) return false;
  size_t i = 0;
  for (int64_t size : sizes) {
    if (tensor.sizes[i++] != static_cast<uint64_t>(size)) return false;
  }
  return true;
}

}  // namespace

void TensorReader::Fail(const TensorInfo* tensor, const std::string& name,
                        const std::string& problem) {
  if (!status_.ok()) return;
  const std::string file = tensor != nullptr            ? weights_.FileOf(*tensor)
                           : weights_.tensors().empty() ? std::string("model")
                                                        : weights_.FileOf(weights_.tensors()[0]);
  status_ = DataLoss(fmt::format("{}: tensor {}: {}", file, name, problem));
}

const TensorInfo* TensorReader::Find(const std::string& name) {
  const TensorInfo* tensor = weights_.Find(name);
  if (tensor == nullptr) Fail(nullptr, name, "found none, expected one");
  return tensor;
}

ValueId TensorReader::Matrix(const std::string& name, int64_t rows, int64_t cols) {
  std::optional<StoredTensor> stored = Stored(name, {rows, cols});
  return stored ? graph_->AddStored(*std::move(stored)) : kNoValue;
}

std::optional<StoredTensor> TensorReader::Stored(const std::string& name,
                                                 std::initializer_list<int64_t> sizes) {
  const TensorInfo* tensor = Find(name);
  if (tensor == nullptr || !status_.ok()) return std::nullopt;
  if (!HasShape(*tensor, sizes)) {
    Fail(tensor, name,
         fmt::format("found shape {}, expected [{}]", tensor->ShapeText(), fmt::join(sizes, ", ")));
    return std::nullopt;
  }
  if (!PanelFormatOf(tensor->dtype)) {
    Fail(tensor, name,
         fmt::format("found type {}, expected one that can be multiplied (F32, F16, BF16, F8_E4M3, "
                     "Q4_0 to Q8_0, Q2_K to Q6_K, IQ4_NL, MXFP4)",
                     DTypeName(tensor->dtype)));
    return std::nullopt;
  }
  const std::optional<BlockScales> scales = ScalesOf(*tensor, name);
  if (!scales) return std::nullopt;
  const int64_t cols = *(sizes.end() - 1);
  int64_t rows = 1;
  for (const int64_t* size = sizes.begin(); size != sizes.end() - 1; ++size) rows *= *size;
  return StoredTensor{name, tensor->dtype, rows, cols, tensor->data, *scales};
}

// Of a matrix of any type; nullopt: a failure.
std::optional<BlockScales> TensorReader::ScalesOf(const TensorInfo& tensor,
                                                  const std::string& name) {
  const std::string scales_name = name + "_scale_inv";
  const TensorInfo* scales = weights_.Find(scales_name);
  if (tensor.dtype != DType::kF8E4M3) {
    if (scales == nullptr) return BlockScales{};
    Fail(scales, scales_name,
         fmt::format("found scales of a tensor of type {}, expected F8_E4M3",
                     DTypeName(tensor.dtype)));
    return std::nullopt;
  }
  if (tensor.rank != 2) {  // scales are those of one matrix
    Fail(&tensor, name, "found several matrices of type F8_E4M3, expected one in a tensor");
    return std::nullopt;
  }
  if (fp8_blocks_.rows == 0 || fp8_blocks_.cols == 0) {
    Fail(&tensor, name, "found type F8_E4M3, expected a weight_block_size in the configuration");
    return std::nullopt;
  }
  if (fp8_blocks_.cols % kScaledCols != 0) {
    if (status_.ok()) {
      status_ = Unimplemented(fmt::format(
          "{}: tensor {}: found FP8 blocks of {} x {}, expected columns that are a multiple of {}",
          weights_.FileOf(tensor), name, fp8_blocks_.rows, fp8_blocks_.cols, kScaledCols));
    }
    return std::nullopt;
  }
  if (scales == nullptr) {
    Fail(&tensor, scales_name, fmt::format("found none, expected the scales of {}", name));
    return std::nullopt;
  }
  const uint64_t block_rows = DivUp(tensor.sizes[0], fp8_blocks_.rows);
  const uint64_t block_cols = DivUp(tensor.sizes[1], fp8_blocks_.cols);
  if (!HasShape(*scales, {static_cast<int64_t>(block_rows), static_cast<int64_t>(block_cols)})) {
    Fail(scales, scales_name,
         fmt::format("found shape {}, expected [{}, {}], one for each {} x {} of {}",
                     scales->ShapeText(), block_rows, block_cols, fp8_blocks_.rows,
                     fp8_blocks_.cols, name));
    return std::nullopt;
  }
  if (!CheckScales(*scales, scales_name, block_rows * block_cols)) return std::nullopt;
  return BlockScales{scales->data.data(), scales->dtype, fp8_blocks_.rows, fp8_blocks_.cols};
}

// Their type and values.
bool TensorReader::CheckScales(const TensorInfo& scales, const std::string& name, size_t count) {
  if (scales.dtype != DType::kF32 && scales.dtype != DType::kBF16 &&
      scales.dtype != DType::kF8E8M0) {
    Fail(&scales, name,
         fmt::format("found type {}, expected F32, BF16 or F8_E8M0", DTypeName(scales.dtype)));
    return false;
  }
  constexpr float kLargest = std::numeric_limits<float>::max() / 448;  // times the largest code
  const BlockScales list{scales.data.data(), scales.dtype, 1, kScaledCols};
  for (size_t i = 0; i < count; ++i) {
    const float scale = ScaleAt(list, 1, i, 0);
    if (scale > 0 && scale <= kLargest) continue;
    Fail(&scales, name,
         fmt::format("found {} as scale {}, expected a positive number of at most {}", scale, i,
                     kLargest));
    return false;
  }
  return true;
}

std::vector<ValueId> TensorReader::MatrixParts(const std::string& name,
                                               const std::vector<MatrixPart>& parts, int64_t heads,
                                               int64_t cols) {
  int64_t head_rows = 0;
  for (const MatrixPart& part : parts) head_rows += part.rows;
  const std::optional<StoredTensor> tensor = Stored(name, {heads * head_rows, cols});
  if (!tensor) return {};
  std::vector<ValueId> values;
  int64_t first = 0;
  for (const MatrixPart& part : parts) {
    ConstantData data;
    for (int64_t head = 0; head < heads; ++head) {
      data.tensors.push_back(SliceRows(*tensor, head * head_rows + first, part.rows));
    }
    values.push_back(graph_->AddConstant(graph_->UniqueName(fmt::format("{}.{}", name, part.name)),
                                         ElementType::kStored, Shape{heads * part.rows, cols},
                                         std::move(data)));
    first += part.rows;
  }
  return values;
}

ValueId TensorReader::JoinedMatrices(const std::string& name, int64_t count, int64_t rows,
                                     int64_t cols) {
  const std::optional<StoredTensor> all = Stored(name, {count, rows, cols});
  if (!all) return kNoValue;
  ConstantData data{.groups = count};
  for (int64_t i = 0; i < count; ++i) data.tensors.push_back(SliceRows(*all, i * rows, rows));
  return graph_->AddConstant(graph_->UniqueName(name), ElementType::kStored,
                             Shape{count * rows, cols}, std::move(data));
}

ValueId TensorReader::Matrices(const std::function<std::string(int64_t)>& name_of, int64_t count,
                               int64_t rows, int64_t cols) {
  ConstantData data{.groups = count};
  // One name after the other: a configuration may claim many more than there are tensors.
  for (int64_t i = 0; i < count; ++i) {
    const std::string name = name_of(i);
    std::optional<StoredTensor> tensor = Stored(name, {rows, cols});
    if (!tensor) return kNoValue;
    if (i > 0 && tensor->dtype != data.tensors[0].dtype) {
      Fail(weights_.Find(name), name,
           fmt::format("found type {}, expected {}, as {} has", DTypeName(tensor->dtype),
                       DTypeName(data.tensors[0].dtype), data.tensors[0].name));
      return kNoValue;
    }
    data.tensors.push_back(*std::move(tensor));
  }
  const std::string name = graph_->UniqueName(data.tensors[0].name + "+experts");
  return graph_->AddConstant(name, ElementType::kStored, Shape{count * rows, cols},
                             std::move(data));
}

ValueId TensorReader::TransposedMatrices(const std::string& name, int64_t count, int64_t rows,
                                         int64_t cols, int64_t first, int64_t step) {
  const std::optional<StoredTensor> all = Stored(name, {count, cols, rows * step});
  if (!all) return kNoValue;
  if (IsQuantized(all->dtype) || all->dtype == DType::kF8E4M3) {
    Fail(weights_.Find(name), name,
         fmt::format("found type {}, expected F32, F16 or BF16", DTypeName(all->dtype)));
    return kNoValue;
  }
  const auto element = static_cast<int64_t>(BlockBytes(all->dtype));
  auto bytes =
      std::make_shared<std::vector<std::byte>>(static_cast<size_t>(count * rows * cols * element));
  std::byte* to = bytes->data();
  for (int64_t i = 0; i < count; ++i) {
    for (int64_t row = 0; row < rows; ++row) {
      const std::byte* from =
          all->data.data() + (i * cols * rows * step + first + row * step) * element;
      for (int64_t col = 0; col < cols; ++col, to += element) {
        std::memcpy(to, from + col * rows * step * element, static_cast<size_t>(element));
      }
    }
  }
  return AddOwned(fmt::format("{}.{}", name, first), all->dtype, count, rows, cols,
                  std::move(bytes));
}

std::vector<ValueId> TensorReader::MatrixColumns(const std::string& name, int64_t rows,
                                                 std::initializer_list<int64_t> cols) {
  int64_t all = 0;
  for (const int64_t count : cols) all += count;
  const std::optional<StoredTensor> stored = Stored(name, {rows, all});
  if (!stored) return {};
  const bool plain =
      stored->dtype == DType::kF32 || stored->dtype == DType::kF16 || stored->dtype == DType::kBF16;
  const DType dtype = plain ? stored->dtype : DType::kF32;
  const auto element = static_cast<int64_t>(BlockBytes(dtype));
  std::vector<float> decoded;
  const std::byte* from = stored->data.data();
  if (!plain) {
    decoded.resize(static_cast<size_t>(rows * all));
    DecodeRows(*stored, 0, rows, decoded.data());
    from = reinterpret_cast<const std::byte*>(decoded.data());
  }
  std::vector<ValueId> parts;
  int64_t first = 0;
  for (const int64_t count : cols) {
    auto bytes =
        std::make_shared<std::vector<std::byte>>(static_cast<size_t>(rows * count * element));
    for (int64_t row = 0; row < rows; ++row) {
      std::memcpy(bytes->data() + row * count * element, from + (row * all + first) * element,
                  static_cast<size_t>(count * element));
    }
    parts.push_back(
        AddOwned(fmt::format("{}.{}", name, first), dtype, 1, rows, count, std::move(bytes)));
    first += count;
  }
  return parts;
}

ValueId TensorReader::Float4Matrices(const std::string& name, int64_t count, int64_t rows,
                                     int64_t cols, int64_t first, int64_t step) {
  constexpr int64_t kBlock = 32, kHalf = kBlock / 2;
  const int64_t blocks = cols / kBlock;
  const auto find = [&](const std::string& own, std::initializer_list<int64_t> sizes) {
    const TensorInfo* tensor = Find(own);
    if (tensor == nullptr || !status_.ok()) return tensor;
    if (tensor->dtype != DType::kU8 || !HasShape(*tensor, sizes) || cols % kBlock != 0) {
      Fail(tensor, own,
           fmt::format("found {} {}, expected U8 [{}] and columns in blocks of {}",
                       DTypeName(tensor->dtype), tensor->ShapeText(), fmt::join(sizes, ", "),
                       kBlock));
    }
    return tensor;
  };
  const TensorInfo* codes = find(name + "_blocks", {count, rows * step, blocks, kHalf});
  const TensorInfo* scales = find(name + "_scales", {count, rows * step, blocks});
  if (!status_.ok()) return kNoValue;
  const size_t block_bytes = BlockBytes(DType::kMXFP4);
  auto bytes = std::make_shared<std::vector<std::byte>>(static_cast<size_t>(count * rows * blocks) *
                                                        block_bytes);
  std::byte* to = bytes->data();
  for (int64_t row = 0; row < count * rows; ++row) {
    for (int64_t b = 0; b < blocks; ++b, to += block_bytes) {
      const auto block = static_cast<size_t>((first + row * step) * blocks + b);
      const std::byte* from = codes->data.data() + block * kHalf;
      to[0] = scales->data[block];
      // Byte i holds columns 2 i and 2 i + 1 there, i and i + 16 here.
      const auto code = [&](int64_t col) {
        return (from[col / 2] >> (4 * (col % 2))) & std::byte{15};
      };
      for (int64_t i = 0; i < kHalf; ++i) to[1 + i] = code(i) | (code(i + kHalf) << 4);
    }
  }
  return AddOwned(fmt::format("{}.{}", name, first), DType::kMXFP4, count, rows, cols,
                  std::move(bytes));
}

// Matrices [rows, cols] end to end as groups of a constant.
ValueId TensorReader::AddOwned(std::string name, DType dtype, int64_t count, int64_t rows,
                               int64_t cols, std::shared_ptr<const std::vector<std::byte>> bytes) {
  ConstantData data{.groups = count};
  const StoredTensor all{std::move(name), dtype, count * rows, cols, *bytes, {}};
  for (int64_t i = 0; i < count; ++i) data.tensors.push_back(SliceRows(all, i * rows, rows));
  graph_->owned.push_back(std::move(bytes));
  return graph_->AddConstant(graph_->UniqueName(all.name), ElementType::kStored,
                             Shape{count * rows, cols}, std::move(data));
}

std::vector<float> TensorReader::Floats(const std::string& name,
                                        std::initializer_list<int64_t> sizes) {
  const TensorInfo* tensor = Find(name);
  if (tensor == nullptr || !status_.ok()) return {};
  if (!HasShape(*tensor, sizes)) {
    Fail(tensor, name,
         fmt::format("found shape {}, expected [{}]", tensor->ShapeText(), fmt::join(sizes, ", ")));
    return {};
  }
  int64_t size = 1;
  for (const int64_t part : sizes) size *= part;
  if (tensor->dtype != DType::kF32 && tensor->dtype != DType::kF16 &&
      tensor->dtype != DType::kBF16) {
    Fail(tensor, name,
         fmt::format("found type {}, expected F32, F16 or BF16", DTypeName(tensor->dtype)));
    return {};
  }
  std::vector<float> numbers(static_cast<size_t>(size));
  DecodeRow(tensor->dtype, tensor->data.data(), numbers.size(), numbers.data());
  return numbers;
}

ValueId TensorReader::List(const std::string& name, int64_t size) {
  std::vector<float> numbers = Floats(name, size);
  return numbers.empty() ? kNoValue : graph_->AddNumbers(name, std::move(numbers));
}

ValueId TensorReader::Choices(const std::string& name, int64_t rows, int64_t cols, int64_t limit) {
  const TensorInfo* tensor = Find(name);
  if (tensor == nullptr || !status_.ok()) return kNoValue;
  if (!HasShape(*tensor, {rows, cols})) {
    Fail(tensor, name,
         fmt::format("found shape {}, expected [{}, {}]", tensor->ShapeText(), rows, cols));
    return kNoValue;
  }
  if (tensor->dtype != DType::kI32 && tensor->dtype != DType::kI64) {
    Fail(tensor, name, fmt::format("found type {}, expected I32 or I64", DTypeName(tensor->dtype)));
    return kNoValue;
  }
  const size_t element = BlockBytes(tensor->dtype);
  std::vector<int64_t> row(static_cast<size_t>(cols));
  for (int64_t r = 0; r < rows; ++r) {
    for (size_t c = 0; c < row.size(); ++c) {
      const std::byte* from =
          tensor->data.data() + (static_cast<size_t>(r) * row.size() + c) * element;
      int32_t narrow;
      std::memcpy(&narrow, from, sizeof(narrow));
      row[c] = narrow;
      if (element == sizeof(int64_t)) std::memcpy(&row[c], from, sizeof(int64_t));
    }
    std::sort(row.begin(), row.end());
    const bool distinct = std::adjacent_find(row.begin(), row.end()) == row.end();
    if (row.front() >= 0 && row.back() < limit && distinct) continue;
    Fail(tensor, name,
         fmt::format("found {} in row {}, expected distinct numbers from 0 to {}",
                     fmt::join(row, ", "), r, limit - 1));
    return kNoValue;
  }
  return graph_->AddStored({name, tensor->dtype, rows, cols, tensor->data, {}});
}

}  // namespace pelton
