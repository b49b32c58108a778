#pragma once

#include <string>

#include "graph/execute/packed_file.h"
#include "graph/ir/graph.h"
#include "graph/passes/passes.h"
#include "models/weights/model_files.h"
#include "models/weights/weight_source.h"
#include "runtime/kv/block_file.h"

namespace pelton {

// A digest of everything that K/V on disk depends on besides tokens and the cache's shape: the
// weights (names, types, shapes, pieces of the data, sizes and times of the files), how they are
// computed, this program and this processor. Reads a few pages of each tensor.
ModelFingerprint FingerprintOf(const WeightSource& weights, const PassOptions& passes,
                               bool invariant);

// Which file keeps the packed weights of a graph: one for each model's place and way to run it, so
// that it is replaced when anything of its key is another.
struct PackedIdentity {
  std::string file_name;  // "model-Q4_0-0123456789abcdef.packed"
  PackedKey key;          // also sizes, times and inodes of the files, and this program
};

// Of a graph after its passes. Reads no data of the tensors.
PackedIdentity PackedIdentityOf(const ModelFiles& files, const PassOptions& passes,
                                const Graph& graph);

}  // namespace pelton
