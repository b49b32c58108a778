#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "base/cpu_features.h"
#include "kernels/ops/matmul.h"
#include "kernels/reference/matmul_case.h"

// Differential: all invariant implementations of matmul, on any bits of weights and activations,
// agree bit for bit, and so do any split of the units and any choice of the rows.

namespace pelton {
namespace {

constexpr DType kWeightTypes[] = {
    DType::kF32,  DType::kF16,  DType::kBF16,   DType::kQ4_0,   DType::kQ4_1, DType::kQ5_0,
    DType::kQ5_1, DType::kQ8_0, DType::kIQ4_NL, DType::kMXFP4,  DType::kQ2_K, DType::kQ3_K,
    DType::kQ4_K, DType::kQ5_K, DType::kQ6_K,   DType::kF8E4M3, DType::kW8};

class Bytes {
 public:
  Bytes(const uint8_t* data, size_t size) : data_(data), size_(size) {}
  size_t Below(size_t limit) {
    const size_t value = at_ < size_ ? data_[at_++] : 0;
    return value % limit;
  }
  // Overwrites as much as there is, spread over `out` with a stride.
  void Scatter(std::byte* out, size_t size, size_t share) {
    const size_t count = std::min((size_ - at_) / share, size);
    if (count == 0) return;
    const size_t step = size / count;
    for (size_t i = 0; i < count; ++i) out[i * step] = static_cast<std::byte>(data_[at_++]);
  }

 private:
  const uint8_t* data_;
  size_t size_;
  size_t at_ = 0;
};

// Keeps the promises of QuantizedRows: values in [-127, 127], zero beyond the columns, true sums.
void Repair(QuantizedRows rows, size_t count) {
  const size_t padded = QuantizedRows::PaddedCols(rows.cols);
  for (size_t m = 0; m < count; ++m) {
    for (size_t b = 0; b < padded / 32; ++b) {
      int32_t sum = 0;
      for (size_t k = b * 32; k < (b + 1) * 32; ++k) {
        int8_t& value = rows.Values(m)[k];
        value = k < rows.cols ? std::max<int8_t>(value, -127) : int8_t{0};
        sum += value;
      }
      rows.Sums(m)[b] = sum;
    }
  }
}

bool SameFloat(const std::byte* a, const std::byte* b) {
  float x, y;
  std::memcpy(&x, a, 4);
  std::memcpy(&y, b, 4);
  return std::memcmp(a, b, 4) == 0 || (std::isnan(x) && std::isnan(y));
}

// Bits, except that one NaN is as good as another. Quantised rows hold words of four values, f32
// scales and sums; a word of values that looks like a NaN only makes the comparison weaker.
bool Same(const std::byte* a, const std::byte* b, size_t size) {
  for (size_t i = 0; i < size; i += 4) {
    if (!SameFloat(a + i, b + i)) return false;
  }
  return true;
}

void Check(bool condition) {
  if (!condition) __builtin_trap();
}

void RunOne(const uint8_t* data, size_t size) {
  Bytes bytes(data, size);
  MatmulShape shape;
  shape.dtype = kWeightTypes[bytes.Below(std::size(kWeightTypes))];
  const PanelFormat format = *PanelFormatOf(shape.dtype);
  shape.quantized_x = format.code_bits != 0 && bytes.Below(2) == 0;
  shape.rows = 1 + bytes.Below(30);
  shape.columns = 1 + bytes.Below(70);
  shape.cols = format.super            ? 256 * (1 + bytes.Below(3))
               : format.code_bits != 0 ? 32 * (1 + bytes.Below(20))
                                       : 1 + bytes.Below(200);
  shape.gate = static_cast<GateActivation>(bytes.Below(3));
  if (shape.gate == GateActivation::kNone) {
    shape.bias = bytes.Below(2) != 0;
    shape.residual = bytes.Below(2) != 0;
  }
  if (bytes.Below(3) == 0) {
    shape.columns = (shape.columns + 31) / 32 * 32;
    shape.quantized_out = true;
  }
  const size_t cut = bytes.Below(4), first = bytes.Below(shape.rows);
  const size_t count = 1 + bytes.Below(shape.rows - first);
  MatmulCase test(shape, 1 + bytes.Below(256));
  bytes.Scatter(test.weights().data(), test.weights().size(), 2);
  bytes.Scatter(test.activations().data(), test.activations().size(), 1);
  if (shape.quantized_x) {
    Repair({test.activations().data(), shape.cols}, shape.rows);
  }

  std::vector<std::byte> want;
  for (const MatmulImpl& impl : MatmulImpls()) {
    if (!impl.invariant || (impl.required_features & ~DetectedCpuFeatures()) != 0) continue;
    if (!impl.supports(shape.quantized_x, shape.dtype)) continue;
    const std::vector<std::byte> all = test.Run(impl, test.Args(), {cut});
    const std::vector<std::byte> some = test.Run(impl, test.ArgsOfRows(first, count));
    const size_t row_bytes = all.size() / shape.rows;
    Check(Same(some.data(), all.data() + first * row_bytes, some.size()));
    // Without AVX2 the gates' exponential has no fused multiply-add.
    if (shape.gate != GateActivation::kNone && impl.required_features == 0) continue;
    if (want.empty()) want = all;
    Check(Same(want.data(), all.data(), all.size()));
  }
}

}  // namespace
}  // namespace pelton

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  pelton::RunOne(data, size);
  return 0;
}
