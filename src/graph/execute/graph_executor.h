#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/arena.h"
#include "base/thread_pool.h"
#include "graph/execute/bound_op.h"
#include "graph/execute/op_sink.h"
#include "graph/execute/packed_store.h"
#include "graph/execute/step_executor.h"
#include "graph/passes/passes.h"
#include "graph/plan/memory_plan.h"

namespace pelton {

// Time of one op of the plan, summed over the steps since profiling was switched on.
struct OpProfile {
  std::string op;    // schema name and output, "matmul %blk.0..."
  std::string impl;  // kernel in use at the last step
  double seconds = 0;
  uint64_t calls = 0;
};

struct ExecutorOptions {
  StepLimits limits;
  // A row's bits do not depend on how many rows a step has, or which.
  bool need_invariant = true;
  // Rows of prompts may have kernels of their own (PromptsDiffer).
  bool prompts_apart = false;
  OpSink* sink = nullptr;  // borrowed; gets the times of ops while it is active
};

// Runs a graph whose passes were run: binds every node to a kernel and to its place in one arena,
// then runs the same list of ops for every step. The one executor of all models.
class GraphExecutor final : public StepExecutor {
 public:
  // `weights` were packed from this graph, which gives logits and may give hidden states as a
  // second output, and take some as the input "hidden". `pool` and the memory of `cache` and of the
  // stored tensors must outlive the executor. ResourceExhausted, with the size, if there is no
  // memory for the arena.
  static Result<std::unique_ptr<GraphExecutor>> Create(Graph graph, PackedStore weights,
                                                       KvCacheView cache, ThreadPool& pool,
                                                       const ExecutorOptions& options);

  const StepLimits& limits() const override { return options_.limits; }
  size_t vocab_size() const override { return vocab_size_; }
  bool PromptsDiffer() const override;
  std::span<float> Run(const StepBatch& batch) override;
  std::span<const float> hidden() const override { return hidden_; }
  size_t hidden_size() const override { return hidden_size_; }
  std::span<float> HiddenInput(size_t rows) override;

  const Graph& graph() const { return graph_; }
  const MemoryPlan& memory() const { return memory_; }
  size_t weight_bytes() const { return weights_.bytes(); }
  size_t arena_bytes() const { return arena_.size(); }
  size_t scratch_bytes() const { return scratch_.size(); }

  // Switched on, every op of every step is timed; costs two clock reads an op.
  void SetProfiling(bool on);
  std::vector<OpProfile> Profile() const;
  // Schema name and output of each op, and its node in graph(), in the order of running.
  std::vector<std::string> OpLabels() const;
  std::vector<int> OpNodes() const;

 private:
  struct Op {
    std::unique_ptr<BoundOp> op;
    int node;
    size_t units = 0;
    size_t merge_units = 0;
    double seconds = 0;
    uint64_t calls = 0;
  };

  GraphExecutor(Graph graph, PackedStore weights, ThreadPool& pool, const ExecutorOptions& options);
  Status Bind(KvCacheView cache);
  float* PlaceOf(ValueId id) {
    const MemoryPlan::Place& place = memory_.places[static_cast<size_t>(id)];
    return reinterpret_cast<float*>(arena_.data() + place.offset);
  }
  void PrepareAll(const StepBatch& batch);
  // One worker's share of an op, up to the barrier behind it.
  void RunShare(const Op& op, size_t worker, bool always_meet);

  Graph graph_;
  PackedStore weights_;
  ThreadPool& pool_;
  ExecutorOptions options_;
  size_t vocab_size_;
  size_t hidden_size_ = 0;  // of the second output
  std::span<const float> hidden_;
  ValueId hidden_input_ = kNoValue;
  MemoryPlan memory_;
  Arena arena_;
  Arena scratch_;
  size_t scratch_per_worker_ = 0;
  size_t shared_bytes_ = 0;  // in scratch_, behind that of the workers
  std::vector<Op> ops_;
  bool profiling_ = false;
};

// Arena bytes of a graph for steps up to `limits`, without making an executor.
size_t ArenaBytesFor(const Graph& graph, const StepLimits& limits);

}  // namespace pelton
