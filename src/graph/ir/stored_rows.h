#pragma once

#include <cstdint>

#include "graph/ir/graph.h"

namespace pelton {

// Rows [begin, begin + count) of a stored tensor as a tensor of its own, with its name, over the
// same bytes and scales. Requires: 0 <= begin, 0 <= count, begin + count <= tensor.rows.
StoredTensor SliceRows(const StoredTensor& tensor, int64_t begin, int64_t count);

// The values of rows [begin, begin + count) in f32, scales applied, as matmuls and embeddings use
// them; `out` is [count, cols]. Requires: as above; data of a type with a panel format.
void DecodeRows(const StoredTensor& tensor, int64_t begin, int64_t count, float* out);

// Adds the matrices of a constant, one a tensor, each transposed, with bytes that the graph owns:
// in F16 and BF16 as they are, in other types in `decoded`, F32 or BF16, of their values. Without
// bytes where the matrices have none.
ValueId AddTransposed(ValueId matrices, DType decoded, Graph* graph);

}  // namespace pelton
