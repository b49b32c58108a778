// kv_scores, scale, soft_cap, masked_softmax and kv_mix become one attention op, which never
// writes the scores to memory; with keep_positions, a sparse one, which does not compute those that
// are not kept.
#include "graph/passes/passes.h"
#include "graph/passes/rewriter.h"

namespace pelton {
namespace {

// scores, scale, softmax and mix over the step's own rows.
bool RecognizeSelfAttention(Graph& graph) {
  Rewriter rewriter(graph);
  for (Node& mix : graph.nodes) {
    if (mix.kind != OpKind::kMix) continue;
    const Node* softmax = rewriter.OnlyReadProducerOf(mix.inputs[0], OpKind::kSoftmax);
    if (softmax == nullptr) continue;
    std::vector<ValueId> inner = {mix.inputs[0]};
    double scale = 1;
    ValueId scores_id = softmax->inputs[0];
    if (const Node* op = rewriter.OnlyReadProducerOf(scores_id, OpKind::kScale)) {
      scale = op->Number("by");
      inner.push_back(scores_id);
      scores_id = op->inputs[0];
    }
    const Node* scores = rewriter.OnlyReadProducerOf(scores_id, OpKind::kScores);
    if (scores == nullptr || scores->Int("heads") != mix.Int("heads") ||
        scores->Int("kv_heads") != mix.Int("kv_heads") ||
        !(graph.value(scores->inputs[1]).shape == graph.value(mix.inputs[1]).shape)) {
      continue;
    }
    inner.push_back(scores_id);
    for (ValueId id : inner) rewriter.Remove(rewriter.ProducerIndex(id));
    mix = Node{
        OpKind::kSelfAttention,
        {scores->inputs[0], scores->inputs[1], mix.inputs[1]},
        mix.outputs,
        {{"heads", scores->Int("heads")}, {"kv_heads", scores->Int("kv_heads")}, {"scale", scale}}};
  }
  return rewriter.Finish();
}

bool RecognizeCachedAttention(Graph& graph) {
  Rewriter rewriter(graph);
  for (Node& mix : graph.nodes) {
    if (mix.kind != OpKind::kKvMix) continue;
    const Node* softmax = rewriter.OnlyReadProducerOf(mix.inputs[0], OpKind::kMaskedSoftmax);
    if (softmax == nullptr) continue;
    std::vector<ValueId> inner = {mix.inputs[0]};
    double cap = 0, scale = 1;
    ValueId scores_id = softmax->inputs[0];
    const Node* keep = rewriter.OnlyReadProducerOf(scores_id, OpKind::kKeepPositions);
    if (keep != nullptr) {
      inner.push_back(scores_id);
      scores_id = keep->inputs[0];
    }
    if (const Node* op = rewriter.OnlyReadProducerOf(scores_id, OpKind::kSoftCap)) {
      cap = op->Number("cap");
      inner.push_back(scores_id);
      scores_id = op->inputs[0];
    }
    if (const Node* op = rewriter.OnlyReadProducerOf(scores_id, OpKind::kScale)) {
      scale = op->Number("by");
      inner.push_back(scores_id);
      scores_id = op->inputs[0];
    }
    const Node* scores = rewriter.OnlyReadProducerOf(scores_id, OpKind::kKvScores);
    if (scores == nullptr || scores->inputs[1] != mix.inputs[1] ||
        scores->Int("heads") != mix.Int("heads") || scores->Int("layer") != mix.Int("layer") ||
        scores->Int("kv_heads") != mix.Int("kv_heads") ||
        !(graph.value(scores->inputs[0]).shape == graph.value(mix.outputs[0]).shape)) {
      continue;
    }
    if (keep != nullptr &&
        (scores->inputs[2] == kNoValue || cap != 0 || softmax->Int("window") != 0)) {
      continue;
    }
    inner.push_back(scores_id);
    for (ValueId id : inner) rewriter.Remove(rewriter.ProducerIndex(id));
    if (keep != nullptr) {
      mix = Node{OpKind::kSparseAttention,
                 {scores->inputs[0], scores->inputs[1], scores->inputs[2], keep->inputs[1]},
                 mix.outputs,
                 {{"heads", scores->Int("heads")},
                  {"kv_heads", scores->Int("kv_heads")},
                  {"layer", scores->Int("layer")},
                  {"scale", scale}}};
      continue;
    }
    mix = Node{OpKind::kAttention,
               {scores->inputs[0], scores->inputs[1], scores->inputs[2], softmax->inputs[1]},
               mix.outputs,
               {{"heads", scores->Int("heads")},
                {"kv_heads", scores->Int("kv_heads")},
                {"layer", scores->Int("layer")},
                {"scale", scale},
                {"cap", cap},
                {"window", softmax->Int("window")}}};
  }
  return rewriter.Finish();
}

}  // namespace

bool RecognizeAttention(Graph& graph) {
  const bool changed = RecognizeCachedAttention(graph);
  return RecognizeSelfAttention(graph) || changed;
}

}  // namespace pelton
