#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "base/arena.h"
#include "base/mapped_file.h"
#include "base/thread_pool.h"
#include "graph/execute/expert_cache.h"
#include "graph/execute/packed_load.h"
#include "graph/ir/graph.h"
#include "kernels/ops/packed_weights.h"

namespace pelton {

class PackedStore;

// Weights of another graph, and that graph.
struct SharedWeights {
  const Graph* graph;
  const PackedStore* weights;
};

// The packed weights of a graph, made once when it is loaded and read by every step. Immutable
// afterwards; thread-safe to read.
class PackedStore {
 public:
  // Packs every constant of type kPacked. `packed(tensor)` is called, on any thread of the pool,
  // after a stored tensor was packed for the last time: its source pages may then leave memory.
  // ResourceExhausted with the size if there is no memory; Unimplemented for a stored type that
  // cannot be multiplied; Cancelled soon after *cancelled became true, which may be null.
  // A matrix that `shared` has packed from the same bytes is taken from there; its store must
  // outlive the new one. With a cache, which may be null, the weights are those of its mapped file,
  // which is written first if need be; what goes wrong with it is reported, and no error unless it
  // limits experts. Requires: the bytes of both graphs' constants are still there.
  static Result<PackedStore> Pack(const Graph& graph, ThreadPool& pool,
                                  const std::function<void(const StoredTensor&)>& packed,
                                  const std::atomic<bool>* cancelled = nullptr,
                                  const std::optional<SharedWeights>& shared = {},
                                  const PackedCache* cache = nullptr);

  // Bytes that Pack will take for this graph, beside one whose weights it may share.
  static Result<size_t> BytesFor(const Graph& graph, const Graph* shared = nullptr);

  // Of these, the bytes of experts that a router chooses.
  static Result<size_t> ExpertBytesFor(const Graph& graph, const Graph* shared = nullptr);

  // Of the first matrix where the constant has several (ConstantData::groups); each follows
  // GroupBytes after the one before. Requires: `id` is a packed constant of the graph.
  const PackedWeights& Weights(ValueId id) const { return weights_[static_cast<size_t>(id)]; }
  size_t GroupBytes(ValueId id) const { return group_bytes_[static_cast<size_t>(id)]; }
  // Of all weights, less those of experts for which the cache leaves no room.
  size_t bytes() const { return bytes_; }

  // Which experts are in memory, where they are limited, else null. Only the executor uses it,
  // during a step.
  ExpertCache* experts() const { return experts_.get(); }
  // The layer of the cache whose experts an op chose. Requires: there is a cache, and `starts` is
  // the second result of a kExpertOrder of the graph.
  size_t ExpertLayer(ValueId starts) const;

 private:
  // Fills the arena or maps the file, and gives the layout's bytes.
  Result<const std::byte*> Fill(const PackedLoad& load, const PackedCache* cache);
  void CacheExperts(const Graph& graph, const PackedCache& cache);

  Arena arena_;  // empty where there is a file
  std::optional<MappedFile> file_;
  std::unique_ptr<ExpertCache> experts_;
  std::vector<ValueId> expert_layers_;
  size_t bytes_ = 0;
  std::vector<PackedWeights> weights_;  // by ValueId, as group_bytes_
  std::vector<size_t> group_bytes_;
};

}  // namespace pelton
