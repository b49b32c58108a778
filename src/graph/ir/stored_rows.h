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

}  // namespace pelton
