// The rotation of q and k and the write of k and v to the cache become one op: k goes straight from
// the projection to the cache.
#include <algorithm>

#include "graph/passes/passes.h"
#include "graph/passes/rewriter.h"

namespace pelton {

bool FuseRopeAndCacheWrite(Graph& graph) {
  Rewriter rewriter(graph);
  for (size_t i = 0; i < graph.nodes.size(); ++i) {
    const Node& attention = graph.nodes[i];
    // A latent cache keeps a rotated part and one that is not.
    if (attention.kind != OpKind::kAttention || attention.inputs[2] != kNoValue) continue;
    const Node* write = rewriter.OnlyReadProducerOf(attention.inputs[1], OpKind::kKvWrite);
    const Node* rope_q = rewriter.OnlyReadProducerOf(attention.inputs[0], OpKind::kRope);
    if (write == nullptr || rope_q == nullptr) continue;
    const Node* rope_k = rewriter.OnlyReadProducerOf(write->inputs[0], OpKind::kRope);
    if (rope_k == nullptr || rope_k->inputs[1] != rope_q->inputs[1] ||
        rope_k->Int("interleaved") != rope_q->Int("interleaved")) {
      continue;
    }
    const int at_write = rewriter.ProducerIndex(attention.inputs[1]);
    const int at_q = rewriter.ProducerIndex(attention.inputs[0]);
    Node fused{OpKind::kRopeKvWrite,
               {rope_q->inputs[0], rope_k->inputs[0], write->inputs[1], rope_q->inputs[1],
                write->inputs[2]},
               {rope_q->outputs[0], write->outputs[0]},
               {{"heads", rope_q->Int("heads")},
                {"kv_heads", rope_k->Int("heads")},
                {"interleaved", rope_q->Int("interleaved")},
                {"layer", write->Int("layer")}}};
    rewriter.Remove(at_write);
    rewriter.Remove(at_q);
    rewriter.Remove(rewriter.ProducerIndex(write->inputs[0]));
    rewriter.InsertBefore(std::max(at_write, at_q), std::move(fused));
  }
  return rewriter.Finish();
}

}  // namespace pelton
