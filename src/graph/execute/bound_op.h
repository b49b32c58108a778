#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "graph/execute/packed_store.h"
#include "graph/execute/step_executor.h"
#include "graph/ir/graph.h"
#include "graph/plan/memory_plan.h"

namespace pelton {

// What an op is told about the step that it runs in.
struct StepState {
  const StepBatch* batch;
  SymbolValues sizes;
  std::span<std::byte> shared = {};  // 64-byte aligned; empty while its size is being found out
};

// One op of a plan, with its kernel chosen and its memory known.
class BoundOp {
 public:
  virtual ~BoundOp() = default;

  // Takes in the sizes of a step, before any worker runs it, and gives the number of units. No
  // allocation.
  virtual size_t Prepare(const StepState& step) = 0;
  virtual void Run(size_t begin, size_t end, std::byte* scratch) const noexcept = 0;
  // Scratch that any prepared step may need per worker; asked for after Prepare with the largest.
  virtual size_t ScratchBytes() const = 0;
  // Memory that the workers share while the op runs, asked for likewise: StepState::shared has as
  // much or more.
  virtual size_t SharedBytes() const { return 0; }
  // What is left to do when all units are done, in units of its own; asked for after Prepare.
  virtual size_t MergeUnits() const { return 0; }
  virtual void Merge(size_t begin, size_t end, std::byte* scratch) const noexcept {
    static_cast<void>(begin), static_cast<void>(end), static_cast<void>(scratch);
  }
  // Whether rows of prompts have an arithmetic of their own.
  virtual bool PromptsDiffer() const { return false; }
  // Name of the implementation in use, after Prepare.
  virtual const char* impl_name() const = 0;
};

// Everything that ops are bound to. Borrowed; must outlive the ops.
struct BindContext {
  const Graph& graph;
  const MemoryPlan& memory;
  const PackedStore& weights;
  std::byte* arena;
  KvCacheView cache;
  size_t workers;  // that share the units of an op
  bool need_invariant;
  bool prompts_apart;
  const std::vector<bool>& bf16_rows;  // by value: of PromptRowsInBf16; empty: of none
};

// The quantised values whose rows of prompts hold bf16 instead: all nodes that make or read them
// are matmuls that compute prompts in bf16, which then need not quantise.
std::vector<bool> PromptRowsInBf16(const Graph& graph);

// The op of one node; null for views, which need no work. Requires: a verified graph whose matmul
// weights are packed.
std::unique_ptr<BoundOp> BindNode(const BindContext& context, const Node& node);

}  // namespace pelton
