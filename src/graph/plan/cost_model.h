#pragma once

#include <cstddef>

#include "graph/ir/graph.h"

namespace pelton {

// What a machine can do, for predictions. The defaults are a two-core slice of a current server;
// they decide which of two plans is better, not what a clock will show.
struct MachineModel {
  double bytes_per_second = 32e9;         // reading memory, all threads
  double cache_bytes_per_second = 120e9;  // activations stay in cache
  double int8_ops_per_second = 1.2e12;
  double f32_ops_per_second = 350e9;
  double seconds_per_op = 0.5e-6;  // a barrier and the call
};

// What one step costs, summed over the ops of a graph.
struct GraphCost {
  size_t ops = 0;           // that do work; views are free
  double weight_bytes = 0;  // constants read
  double value_bytes = 0;   // activations, KV cache and scores, read and written
  double cache_bytes = 0;   // of these, the KV cache: with the weights what comes from memory
  double operations = 0;    // multiplications and additions
  double seconds = 0;       // per op the slower of moving and computing, plus its overhead
};

// Cost of one node, and of the whole graph, for a step of the given size. Weights count once per
// step whatever the number of rows; the context of every row is `sizes.context`. Rows of a step of
// one token count as generated, of more as a prompt's.
GraphCost CostOf(const Graph& graph, const Node& node, const SymbolValues& sizes,
                 const MachineModel& machine);
GraphCost CostOf(const Graph& graph, const SymbolValues& sizes, const MachineModel& machine);

// The two steps that predictions are printed for: decoding one token, and a prompt of 512, both
// with 512 positions of context.
inline constexpr SymbolValues kDecodeStep{1, 1, 512};
inline constexpr SymbolValues kPrefillStep{512, 1, 512};

}  // namespace pelton
