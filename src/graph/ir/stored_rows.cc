#include "graph/ir/stored_rows.h"

#include "base/check.h"

namespace pelton {
namespace {

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

}  // namespace pelton
