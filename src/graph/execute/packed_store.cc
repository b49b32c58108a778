#include "graph/execute/packed_store.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace pelton {

Result<size_t> PackedStore::BytesFor(const Graph& graph, const Graph* shared) {
  ASSIGN_OR_RETURN(const PackedLayout layout, LayOutPacked(graph, shared));
  return layout.bytes;
}

Result<size_t> PackedStore::ExpertBytesFor(const Graph& graph, const Graph* shared) {
  ASSIGN_OR_RETURN(const PackedLayout layout, LayOutPacked(graph, shared));
  return layout.expert_bytes;
}

Result<PackedStore> PackedStore::Pack(const Graph& graph, ThreadPool& pool,
                                      const std::function<void(const StoredTensor&)>& packed,
                                      const std::atomic<bool>* cancelled,
                                      const std::optional<SharedWeights>& shared,
                                      const PackedCache* cache) {
  const Graph* other = shared ? shared->graph : nullptr;
  ASSIGN_OR_RETURN(const PackedLayout layout, LayOutPacked(graph, other));
  PackedStore store;
  store.weights_.resize(graph.num_values());
  store.group_bytes_.resize(graph.num_values());
  for (size_t v = 0; shared && v < graph.num_values(); ++v) {
    const ValueId same = SharedPacked(other, graph, static_cast<ValueId>(v));
    if (same == kNoValue) continue;
    store.weights_[v] = shared->weights->Weights(same);
    store.group_bytes_[v] = shared->weights->GroupBytes(same);
  }
  ASSIGN_OR_RETURN(const std::byte* const data,
                   store.Fill({graph, pool, packed, cancelled, layout}, cache));
  for (const PackedConstant& constant : layout.constants) {
    const Value& value = graph.value(constant.id);
    store.weights_[static_cast<size_t>(constant.id)] = {
        .data = data + constant.offset,
        .dtype = value.constant.PackedDType(),
        .rows = static_cast<size_t>(value.shape.rows().factor / value.constant.groups),
        .cols = static_cast<size_t>(value.shape.cols().factor)};
    store.group_bytes_[static_cast<size_t>(constant.id)] = constant.group_bytes;
  }
  store.bytes_ = layout.bytes;
  if (cache != nullptr && cache->expert_bytes > 0 && layout.expert_bytes > 0) {
    store.CacheExperts(graph, *cache);
    store.bytes_ -= layout.expert_bytes - std::min(layout.expert_bytes, cache->expert_bytes);
  }
  return store;
}

Result<const std::byte*> PackedStore::Fill(const PackedLoad& load, const PackedCache* cache) {
  if (cache != nullptr) {
    Result<MappedWeights> weights = MapPacked(load, *cache);
    if (weights.ok()) {
      file_ = std::move(weights->file);
      return weights->data;
    }
    const Status& status = weights.status();
    if (status.code() == StatusCode::kCancelled || cache->expert_bytes > 0) return status;
    if (cache->report) {
      cache->report(fmt::format("packed weights: {}; they are not kept", status.message()));
    }
  }
  ASSIGN_OR_RETURN(arena_, Arena::Allocate(load.layout.bytes, "packed weights"));
  RETURN_IF_ERROR(PackTo(load, arena_.data()));
  return static_cast<const std::byte*>(arena_.data());
}

void PackedStore::CacheExperts(const Graph& graph, const PackedCache& cache) {
  const Uses uses(graph);
  std::vector<std::vector<ExpertPanels>> layers;
  std::vector<size_t> num_experts;
  for (const Node& node : graph.nodes) {
    if (node.kind != OpKind::kExpertOrder) continue;
    const ValueId starts = node.outputs[1];
    std::vector<ExpertPanels> panels;
    for (const int reader : uses.Readers(starts)) {
      const ValueId weights = graph.nodes[static_cast<size_t>(reader)].inputs[1];
      if (!IsMatmul(graph.nodes[static_cast<size_t>(reader)].kind)) continue;
      panels.push_back({Weights(weights).data, GroupBytes(weights)});
    }
    expert_layers_.push_back(starts);
    layers.push_back(std::move(panels));
    num_experts.push_back(static_cast<size_t>(node.Int("experts")));
  }
  experts_ = std::make_unique<ExpertCache>(std::move(layers), std::move(num_experts),
                                           cache.expert_bytes, *cache.metrics);
}

size_t PackedStore::ExpertLayer(ValueId starts) const {
  const auto found = std::ranges::find(expert_layers_, starts);
  PELTON_CHECK(found != expert_layers_.end(), "the store was made for this graph");
  return static_cast<size_t>(found - expert_layers_.begin());
}

}  // namespace pelton
