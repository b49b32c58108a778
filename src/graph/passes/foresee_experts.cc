// Where experts are read from a file when they are needed, a layer's router also asks the router of
// the next layer that has one: the residual changes little from layer to layer, so its choice for
// the same row is a good guess of what that layer will choose. Source: Eliseev and Mazur 2023, Fast
// inference of mixture-of-experts language models with offloading, section 3.2.
#include <optional>

#include "graph/passes/passes.h"
#include "graph/passes/rewriter.h"

namespace pelton {
namespace {

// The nodes between the rows that a router reads and the experts' order. Numbers of nodes.
struct Router {
  int matmul;
  int route;
  int order;
};

std::optional<Router> RouterOf(const Graph& graph, const Uses& uses, int order) {
  const auto node = [&](int n) -> const Node& { return graph.nodes[static_cast<size_t>(n)]; };
  const int route = uses.Producer(node(order).inputs[0]);
  if (route < 0 || node(route).kind != OpKind::kRoute) return std::nullopt;
  // Choices that are given do not come from the row.
  if (node(route).inputs[2] != kNoValue) return std::nullopt;
  const int matmul = uses.Producer(node(route).inputs[0]);
  if (matmul < 0 || node(matmul).kind != OpKind::kMatmul) return std::nullopt;
  if (graph.value(node(matmul).inputs[0]).type != ElementType::kF32) return std::nullopt;
  return Router{matmul, route, order};
}

}  // namespace

bool ForeseeExperts(Graph& graph) {
  Rewriter rewriter(graph);
  std::optional<Router> last;
  for (size_t n = 0; n < graph.nodes.size(); ++n) {
    if (graph.nodes[n].kind != OpKind::kExpertOrder) continue;
    const std::optional<Router> next = RouterOf(graph, rewriter.uses(), static_cast<int>(n));
    if (last && next && graph.nodes[static_cast<size_t>(last->order)].inputs[1] == kNoValue) {
      const ValueId x = graph.nodes[static_cast<size_t>(last->matmul)].inputs[0];
      Node matmul = graph.nodes[static_cast<size_t>(next->matmul)];
      Node route = graph.nodes[static_cast<size_t>(next->route)];
      const bool fits = graph.value(matmul.inputs[0]).shape.cols() == graph.value(x).shape.cols() &&
                        matmul.inputs[3] == kNoValue;
      if (fits) {
        const Dim rows = graph.value(x).shape.rows();
        const auto result = [&](ValueId like) {
          const Value of = graph.value(like);
          const ValueId id = graph.AddResult(graph.UniqueName(of.name + ".foreseen"));
          graph.value(id).type = of.type;
          graph.value(id).shape = {rows, of.shape.cols()};
          return id;
        };
        matmul.inputs[0] = x;
        route.inputs[0] = matmul.outputs[0] = result(matmul.outputs[0]);
        for (ValueId& out : route.outputs) out = result(out);
        graph.nodes[static_cast<size_t>(last->order)].inputs[1] = route.outputs[0];
        rewriter.InsertBefore(last->order, std::move(matmul));
        rewriter.InsertBefore(last->order, std::move(route));
      }
    }
    last = next;
  }
  return rewriter.Finish();
}

}  // namespace pelton
