#pragma once

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <vector>

#include "kernels/ops/matmul.h"

namespace pelton {

// 64-byte aligned memory of `size` bytes, rounded up to 64 (large ones to 2 MB).
class AlignedBytes {
 public:
  explicit AlignedBytes(size_t size);
  std::byte* data() { return data_.get(); }
  const std::byte* data() const { return data_.get(); }
  size_t size() const { return size_; }

 private:
  struct Free {
    void operator()(std::byte* p) const { std::free(p); }
  };
  std::unique_ptr<std::byte, Free> data_;
  size_t size_;
};

struct MatmulShape {
  DType dtype = DType::kQ8_0;
  bool quantized_x = true;
  size_t rows = 1;     // M
  size_t columns = 1;  // N; of the output
  size_t cols = 32;    // K
  GateActivation gate = GateActivation::kNone;
  MatmulActivation activation = MatmulActivation::kNone;
  float gate_limit = 0;
  bool bias = false;
  bool residual = false;
  bool quantized_out = false;  // needs columns % 32 == 0
};

// A matmul of random numbers, for tests, benchmarks and fuzzing. The weights are random panels,
// padding rows included; memory beside the operands that a kernel may not use holds NaN or is not
// there at all.
class MatmulCase {
 public:
  MatmulCase(const MatmulShape& shape, uint64_t seed);

  const MatmulShape& shape() const { return shape_; }
  // With outputs that no call of Run touches.
  MatmulArgs Args();
  // Rows [first, first + count) of the same operands.
  MatmulArgs ArgsOfRows(size_t first, size_t count);

  AlignedBytes& weights() { return weights_; }
  // One row after the other, each QuantizedRows::RowBytes or row-stride floats.
  AlignedBytes& activations() { return x_; }

  // Runs units [0, cuts..., units) one range after the other and returns the whole output: f32
  // [M, N], or QuantizedRows.
  std::vector<std::byte> Run(const MatmulImpl& impl, const MatmulArgs& args,
                             const std::vector<size_t>& cuts = {});

 private:
  MatmulShape shape_;
  size_t x_stride_;
  size_t residual_stride_;
  AlignedBytes weights_;
  AlignedBytes x_;
  std::vector<float> bias_;
  std::vector<float> residual_;
};

}  // namespace pelton
