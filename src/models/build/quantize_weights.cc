#include "models/build/quantize_weights.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "base/dtype.h"
#include "graph/ir/stored_rows.h"
#include "kernels/ops/packed_weights.h"

namespace pelton {
namespace {

constexpr size_t kQ8Block = 32;
constexpr size_t kStoredQ8Block = 2 + kQ8Block;  // an f16 scale and the values

bool IsPlain(DType dtype) {
  return dtype == DType::kF32 || dtype == DType::kF16 || dtype == DType::kBF16;
}

// The f16 nearest to x >= 0, ties to even; the largest one for what is beyond it.
uint16_t NearestHalf(float x) {
  if (!(x < 65504.0f)) return 0x7bff;
  if (x < 0x1p-14f) return static_cast<uint16_t>(std::nearbyint(x * 0x1p24f));  // subnormal
  uint32_t bits = std::bit_cast<uint32_t>(x);
  bits += 0xfff + (bits >> 13 & 1);
  return static_cast<uint16_t>((bits >> 13) - (112u << 10));
}

void QuantizeBlock(const float* x, std::byte* out) {
  float largest = 0;
  for (size_t i = 0; i < kQ8Block; ++i) largest = std::max(largest, std::fabs(x[i]));
  const uint16_t scale = NearestHalf(largest / 127);
  std::memcpy(out, &scale, sizeof(scale));
  float rounded;
  DecodeRow(DType::kF16, out, 1, &rounded);
  for (size_t i = 0; i < kQ8Block; ++i) {
    const float value = rounded == 0 ? 0 : std::nearbyint(x[i] / rounded);
    const auto code = static_cast<int8_t>(std::clamp(value, -127.0f, 127.0f));
    std::memcpy(out + sizeof(scale) + i, &code, 1);
  }
}

std::vector<std::byte> Quantize(const StoredTensor& tensor) {
  const auto rows = static_cast<size_t>(tensor.rows), cols = static_cast<size_t>(tensor.cols);
  std::vector<std::byte> out(rows * (cols / kQ8Block) * kStoredQ8Block);
  std::vector<float> row(cols);
  std::byte* at = out.data();
  for (size_t r = 0; r < rows; ++r) {
    DecodeRows(tensor, static_cast<int64_t>(r), 1, row.data());
    for (size_t c = 0; c < cols; c += kQ8Block, at += kStoredQ8Block) QuantizeBlock(&row[c], at);
  }
  return out;
}

}  // namespace

std::vector<std::vector<std::byte>> QuantizeWeights(Graph* graph) {
  std::vector<std::vector<std::byte>> data;
  const Uses uses(*graph);
  for (size_t v = 0; v < graph->num_values(); ++v) {
    const auto id = static_cast<ValueId>(v);
    Value& value = graph->value(id);
    if (value.kind != ValueKind::kConstant || value.type != ElementType::kStored) continue;
    const std::vector<int>& readers = uses.Readers(id);
    const bool only_matmuls = std::all_of(readers.begin(), readers.end(), [&](int n) {
      return graph->nodes[static_cast<size_t>(n)].kind == OpKind::kMatmul;
    });
    if (readers.empty() || !only_matmuls) continue;
    for (StoredTensor& tensor : value.constant.tensors) {
      if (!IsPlain(tensor.dtype) || tensor.rows == 0 ||
          static_cast<size_t>(tensor.cols) % kQ8Block != 0) {
        continue;
      }
      data.push_back(Quantize(tensor));
      tensor.dtype = DType::kQ8_0;
      tensor.data = data.back();
    }
  }
  return data;
}

}  // namespace pelton
