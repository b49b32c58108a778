#pragma once

#include <vector>

#include "kernels/ops/matmul.h"

namespace pelton {

// One packed weight, straight from the layouts of packed_weights.h, in f64.
double PackedWeight(const PackedWeights& weights, size_t panel, size_t lane, size_t k);

// Matmul by its definition in f64; `out` and `out_quantized` of `args` are ignored. Both results
// are [M, N]. `magnitude` is what rounding errors are relative to: a computation that rounds n
// times per term is within n * 2^-24 * magnitude of `out`, to first order.
struct ReferenceMatmulResult {
  std::vector<double> out;
  std::vector<double> magnitude;
};
ReferenceMatmulResult ReferenceMatmul(const MatmulArgs& args);

}  // namespace pelton
