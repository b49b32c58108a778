#pragma once

#include <cstddef>
#include <utility>
#include <vector>

#include "base/status.h"
#include "graph/ir/graph.h"
#include "kernels/ops/packed_weights.h"

namespace pelton {

// A constant in panels. Its matrices lie group_bytes apart: those of experts begin at multiples of
// 4096, so that each is pages of its own, others end to end.
struct PackedConstant {
  ValueId id;
  size_t offset;       // of the first matrix, a multiple of 4096
  size_t group_bytes;  // from one matrix to the next
  size_t groups;
  size_t panels;  // of a matrix
  size_t panel_bytes;
  bool experts;  // read by the experts that a router chooses
};

// Where the packed constants of a graph lie, one after the other. Depends on the graph alone.
struct PackedLayout {
  std::vector<PackedConstant> constants;
  size_t bytes = 0;
  size_t expert_bytes = 0;  // of these, of experts
};

// Panels [begin, end) of one matrix: what is packed, written and read as one. About 1 MiB.
struct PackedPart {
  size_t constant;  // index in PackedLayout
  size_t group;
  size_t begin, end;
  size_t offset;  // of the first panel
  size_t bytes;   // below 4 GiB
};

// The layout of the constants of type kPacked that are read, but for those that `shared`, which may
// be null, has packed from the same bytes. ResourceExhausted if the size does not fit size_t;
// Unimplemented for a stored type that cannot be multiplied.
Result<PackedLayout> LayOutPacked(const Graph& graph, const Graph* shared);

// All parts of a layout, in ascending order.
std::vector<PackedPart> PartsOf(const PackedLayout& layout);

// The constant of `shared` whose panels are those of `id`; kNoValue if there is none.
ValueId SharedPacked(const Graph* shared, const Graph& graph, ValueId id);

// How one matrix is packed, to `out`. `sources` gets what the result borrows.
PackArgs PackArgsFor(const Value& value, size_t group, std::vector<PackSource>* sources,
                     std::byte* out);

// The stored tensors of one matrix.
std::span<const StoredTensor> TensorsOfGroup(const Value& value, size_t group);

}  // namespace pelton
