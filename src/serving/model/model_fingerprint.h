#pragma once

#include "graph/passes/passes.h"
#include "models/weights/weight_source.h"
#include "runtime/kv/block_file.h"

namespace pelton {

// A digest of everything that K/V on disk depends on besides tokens and the cache's shape: the
// weights (names, types, shapes, pieces of the data, sizes and times of the files), how they are
// computed, this program and this processor. Reads a few pages of each tensor.
ModelFingerprint FingerprintOf(const WeightSource& weights, const PassOptions& passes,
                               bool invariant);

}  // namespace pelton
