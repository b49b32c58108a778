// Latent attention comes in its absorbed form: queries meet latent rows, which all heads share.
// Rows of prompts are many, and share keys: it is less work to make each head's own keys and values
// of the latent rows first. Generated rows, of which a sequence has one at a time, stay as they
// are.
#include <optional>

#include "graph/ir/stored_rows.h"
#include "graph/passes/passes.h"
#include "graph/passes/rewriter.h"

namespace pelton {
namespace {

struct Absorbed {
  int query;      // node of W_uk^T times the query
  int attention;  // node
};

// What stands before the head_matmul by W_uv, if that is latent attention.
std::optional<Absorbed> FindAbsorbed(Rewriter& rewriter, const Node& value) {
  const Node* attention = rewriter.OnlyReadProducerOf(value.inputs[0], OpKind::kAttention);
  if (attention == nullptr || attention->inputs[2] == kNoValue ||
      attention->inputs[3] != kNoValue || attention->Number("cap") != 0 ||
      attention->Int("window") != 0 || attention->Int("heads") != value.Int("heads") ||
      attention->attributes.contains("generated")) {
    return std::nullopt;
  }
  const Node* query = rewriter.OnlyReadProducerOf(attention->inputs[0], OpKind::kHeadMatmul);
  if (query == nullptr || query->Int("heads") != value.Int("heads")) return std::nullopt;
  const Graph& graph = rewriter.graph();
  for (const ValueId weight : {query->inputs[1], value.inputs[1]}) {
    const Value& matrices = graph.value(weight);
    const auto groups = static_cast<size_t>(matrices.constant.groups);
    if (matrices.type != ElementType::kStored || matrices.constant.tensors.size() != groups) {
      return std::nullopt;
    }
  }
  return Absorbed{rewriter.ProducerIndex(attention->inputs[0]),
                  rewriter.ProducerIndex(value.inputs[0])};
}

// Whether a pair of a row and a key takes fewer products, however few keys there are.
bool IsSmaller(const Graph& graph, const Node& query, const Node& value) {
  const int64_t heads = value.Int("heads");
  const int64_t nope = graph.value(query.inputs[0]).shape.cols().factor / heads;
  const int64_t rank = graph.value(value.inputs[0]).shape.cols().factor / heads;
  const int64_t value_dim = graph.value(value.outputs[0]).shape.cols().factor / heads;
  return nope + value_dim < 2 * rank;
}

}  // namespace

bool ExpandLatentAttention(Graph& graph) {
  Rewriter rewriter(graph);
  for (size_t n = 0; n < graph.nodes.size(); ++n) {
    if (graph.nodes[n].kind != OpKind::kHeadMatmul) continue;
    const std::optional<Absorbed> absorbed = FindAbsorbed(rewriter, graph.nodes[n]);
    if (!absorbed) continue;
    Node& query = graph.nodes[static_cast<size_t>(absorbed->query)];
    Node& attention = graph.nodes[static_cast<size_t>(absorbed->attention)];
    Node value = graph.nodes[n];
    if (!IsSmaller(graph, query, value)) continue;

    ValueId key = graph.value(query.inputs[1]).constant.transposed_from;
    if (key == kNoValue) {
      // Tiles take BF16, and round other weights to it; they take no F32.
      const bool is_f32 = graph.value(query.inputs[1]).constant.tensors[0].dtype == DType::kF32;
      key = AddTransposed(query.inputs[1], is_f32 ? DType::kF32 : DType::kBF16, &graph);
    }
    const ValueId out = value.outputs[0];
    const ValueId others = graph.AddResult(graph.UniqueName(graph.value(out).name + ".absorbed"));
    graph.value(others).type = ElementType::kF32;
    graph.value(others).shape = graph.value(out).shape;
    value.outputs[0] = others;
    for (Node* node : {&query, &attention, &value}) node->attributes["generated"] = int64_t{1};
    graph.nodes[n] = Node{
        OpKind::kExpandedAttention,
        {query.inputs[0], key, value.inputs[1], others, attention.inputs[1], attention.inputs[2]},
        {out},
        {{"heads", value.Int("heads")},
         {"layer", attention.Int("layer")},
         {"scale", attention.Number("scale")}}};
    rewriter.InsertBefore(static_cast<int>(n), std::move(value));
  }
  return rewriter.Finish();
}

}  // namespace pelton
