#pragma once

#include <cstddef>
#include <vector>

#include "graph/ir/graph.h"

namespace pelton {

// Where the results of a graph live while it runs: level one of the three memory levels, a single
// arena that is large enough for the largest step and allocated once.
struct MemoryPlan {
  struct Place {
    bool in_arena = false;    // constants, integer inputs and caches are elsewhere
    size_t offset = 0;        // bytes into the arena; for a view, of its root
    ValueId root = kNoValue;  // the value whose memory this is; itself unless it is a view
    size_t first_col = 0;     // column of the root where a view begins
  };
  std::vector<Place> places;  // by ValueId
  size_t arena_bytes = 0;
  size_t sum_bytes = 0;  // what the results would need without sharing memory
};

// Elements between two rows of an f32 value that owns its memory: rows lie end to end. (Rows in 8
// bits have the stride of QuantizedRows.)
size_t RowStride(const Value& value, const SymbolValues& sizes);

// Bytes of a value that owns its memory.
size_t ValueBytes(const Value& value, const SymbolValues& sizes);

// Whether rows of prompts may hold bf16 in the place of 8 bits: of quantised rows of the step's
// tokens that only matmuls make and read. Their memory is large enough for either.
bool MayHoldBf16(const Graph& graph, const Uses& uses, ValueId id);

// Places every result so that values alive at the same time do not overlap, for steps up to
// `largest`. slice_cols makes views; an op that may work in place takes over the memory of an
// input that nobody reads later. Greedy by size, lowest offset first.
MemoryPlan PlanMemory(const Graph& graph, const SymbolValues& largest);

}  // namespace pelton
