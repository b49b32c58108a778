#pragma once

#include "base/dtype.h"
#include "kernels/ops/op.h"
#include "kernels/ops/packed_weights.h"

namespace pelton {

// out[t] = the decoded row ids[t] of a table as it is stored in the model file (any DType with
// floating-point meaning). Unit: a row. Requires: 0 <= ids[t] < table rows (checked at admission).
struct EmbeddingArgs {
  const std::byte* table;  // rows of row_bytes
  DType dtype;
  size_t row_bytes;
  const int32_t* ids;  // [tokens]
  float* out;          // [tokens, dim], row stride out_stride
  size_t tokens;
  size_t dim;
  size_t out_stride;
  BlockScales scales = {};  // of a table of F8_E4M3
};
std::span<const OpImpl<EmbeddingArgs>> EmbeddingImpls();

}  // namespace pelton
