#pragma once

#include <string>
#include <string_view>

#include "base/status.h"
#include "graph/ir/graph.h"

namespace pelton {

// The graph as text, one line a value or op; ParseGraph reads it back (constants then have names,
// types and shapes but no data, except for numbers).
//   graph "llama"
//   input %tokens : i32[T]
//   const %blk.0.attn_q.weight = stored("blk.0.attn_q.weight" q4_1[576, 576]) : stored[576, 576]
//   const %half = numbers(0.5, 2) : f32[2]
//   %x = embedding(%tokens, %token_embd.weight) : f32[T, 576]
//   output %x
std::string GraphToText(const Graph& graph);

// InvalidArgument with the line number if the text is not a graph. Bounded: at most 1 MiB of text.
Result<Graph> ParseGraph(std::string_view text);

}  // namespace pelton
