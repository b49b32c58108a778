// A residual sum and the norm of it are one pass over the row.
#include "graph/passes/passes.h"
#include "graph/passes/rewriter.h"

namespace pelton {

bool FuseNorms(Graph& graph) {
  Rewriter rewriter(graph);
  for (Node& norm : graph.nodes) {
    if (norm.kind != OpKind::kRmsNorm || norm.Int("groups") != 1) continue;
    const Node* add = rewriter.ProducerOf(norm.inputs[0], OpKind::kAdd);
    if (add == nullptr || graph.value(add->inputs[1]).shape.rank() != 2) continue;
    // The sum moves down to the norm; whoever else reads it must come later.
    const int at_norm = rewriter.uses().Producer(norm.outputs[0]);
    bool first_reader = true;
    for (int reader : rewriter.uses().Readers(norm.inputs[0])) first_reader &= reader >= at_norm;
    if (!first_reader) continue;
    rewriter.Remove(rewriter.ProducerIndex(norm.inputs[0]));
    norm = Node{OpKind::kAddRmsNorm,
                {add->inputs[0], add->inputs[1], norm.inputs[1]},
                {norm.inputs[0], norm.outputs[0]},
                {{"epsilon", norm.Number("epsilon")}}};
  }
  return rewriter.Finish();
}

}  // namespace pelton
