#include "graph/ir/stored_rows.h"

#include <bit>
#include <cstring>

#include "base/check.h"

namespace pelton {
namespace {

constexpr size_t kHalfBytes = 2;

// To nearest, ties away from zero, as kernels on tiles round.
uint16_t RoundToBf16(float x) {
  const auto bits = std::bit_cast<uint32_t>(x);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return static_cast<uint16_t>(bits >> 16 | 0x40u);  // NaN
  return static_cast<uint16_t>((bits + 0x8000u) >> 16);
}

// The elements of a matrix in their new type, in its own order.
std::vector<std::byte> ElementsOf(const StoredTensor& tensor, DType decoded) {
  const size_t count = static_cast<size_t>(tensor.rows) * static_cast<size_t>(tensor.cols);
  if (tensor.dtype == DType::kF16 || tensor.dtype == DType::kBF16) {
    return {tensor.data.begin(), tensor.data.end()};
  }
  std::vector<float> values(count);
  DecodeRows(tensor, 0, tensor.rows, values.data());
  std::vector<std::byte> out(count * (decoded == DType::kF32 ? sizeof(float) : kHalfBytes));
  if (decoded == DType::kF32) {
    std::memcpy(out.data(), values.data(), out.size());
    return out;
  }
  for (size_t i = 0; i < count; ++i) {
    const uint16_t rounded = RoundToBf16(values[i]);
    std::memcpy(out.data() + i * kHalfBytes, &rounded, kHalfBytes);
  }
  return out;
}

size_t RowBytesOf(const StoredTensor& tensor) {
  return tensor.rows == 0 ? 0 : tensor.data.size() / static_cast<size_t>(tensor.rows);
}

void CheckRange(const StoredTensor& tensor, int64_t begin, int64_t count) {
  PELTON_CHECK(begin >= 0 && count >= 0 && begin <= tensor.rows && count <= tensor.rows - begin,
               "rows of the tensor");
}

}  // namespace

StoredTensor SliceRows(const StoredTensor& tensor, int64_t begin, int64_t count) {
  CheckRange(tensor, begin, count);
  const size_t row_bytes = RowBytesOf(tensor);
  const auto first = static_cast<size_t>(begin);
  StoredTensor slice = tensor;
  slice.rows = count;
  slice.data = tensor.data.subspan(first * row_bytes, static_cast<size_t>(count) * row_bytes);
  slice.scales.first_row += first;
  return slice;
}

void DecodeRows(const StoredTensor& tensor, int64_t begin, int64_t count, float* out) {
  CheckRange(tensor, begin, count);
  const size_t row_bytes = RowBytesOf(tensor), cols = static_cast<size_t>(tensor.cols);
  const size_t end = static_cast<size_t>(begin + count);
  for (auto row = static_cast<size_t>(begin); row < end; ++row, out += cols) {
    DecodeRow(tensor.dtype, tensor.data.data() + row * row_bytes, cols, out);
    ScaleRow(tensor.scales, row, cols, out);
  }
}

ValueId AddTransposed(ValueId matrices, DType decoded, Graph* graph) {
  const ConstantData source = graph->value(matrices).constant;
  ConstantData data{.groups = static_cast<int64_t>(source.tensors.size())};
  data.transposed_from = matrices;
  for (const StoredTensor& tensor : source.tensors) {
    const bool halves = tensor.dtype == DType::kF16 || tensor.dtype == DType::kBF16;
    StoredTensor out{tensor.name + " transposed", halves ? tensor.dtype : decoded, tensor.cols,
                     tensor.rows};
    if (!tensor.data.empty()) {
      const auto rows = static_cast<size_t>(tensor.rows), cols = static_cast<size_t>(tensor.cols);
      const std::vector<std::byte> from = ElementsOf(tensor, decoded);
      const size_t element = from.size() / (rows * cols);
      auto bytes = std::make_shared<std::vector<std::byte>>(from.size());
      for (size_t r = 0; r < rows; ++r) {
        for (size_t c = 0; c < cols; ++c) {
          std::memcpy(bytes->data() + (c * rows + r) * element,
                      from.data() + (r * cols + c) * element, element);
        }
      }
      out.data = *bytes;
      graph->owned.push_back(std::move(bytes));
    }
    data.tensors.push_back(std::move(out));
  }
  const Shape shape{data.groups * data.tensors[0].rows, data.tensors[0].cols};
  const std::string name = graph->UniqueName(graph->value(matrices).name + ".transposed");
  return graph->AddConstant(name, ElementType::kStored, shape, std::move(data));
}

}  // namespace pelton
