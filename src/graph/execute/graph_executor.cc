#include "graph/execute/graph_executor.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "base/checked_math.h"
#include "base/clock.h"

namespace pelton {
namespace {

SymbolValues LargestSizes(const StepLimits& limits) {
  return {limits.max_tokens, std::max<size_t>(limits.max_logit_rows, 1), limits.max_context};
}

}  // namespace

size_t ArenaBytesFor(const Graph& graph, const StepLimits& limits) {
  return PlanMemory(graph, LargestSizes(limits)).arena_bytes;
}

Result<std::unique_ptr<GraphExecutor>> GraphExecutor::Create(Graph graph, PackedStore weights,
                                                             KvCacheView cache, ThreadPool& pool,
                                                             const ExecutorOptions& options) {
  PELTON_CHECK(graph.outputs.size() == 1 || graph.outputs.size() == 2,
               "a language model gives logits, and at times hidden states");
  std::unique_ptr<GraphExecutor> executor(
      new GraphExecutor(std::move(graph), std::move(weights), pool, options));
  RETURN_IF_ERROR(executor->Bind(cache));
  return executor;
}

GraphExecutor::GraphExecutor(Graph graph, PackedStore weights, ThreadPool& pool,
                             const ExecutorOptions& options)
    : graph_(std::move(graph)),
      weights_(std::move(weights)),
      pool_(pool),
      options_(options),
      vocab_size_(static_cast<size_t>(graph_.value(graph_.outputs[0]).shape.cols().factor)),
      memory_(PlanMemory(graph_, LargestSizes(options.limits))) {
  if (graph_.outputs.size() == 2) {
    hidden_size_ = static_cast<size_t>(graph_.value(graph_.outputs[1]).shape.cols().factor);
  }
  for (const ValueId input : graph_.inputs) {
    if (graph_.value(input).type == ElementType::kF32) hidden_input_ = input;
  }
}

std::span<float> GraphExecutor::HiddenInput(size_t rows) {
  if (hidden_input_ == kNoValue) return {};
  PELTON_CHECK(rows <= options_.limits.max_tokens, "a step has at most so many rows");
  const auto size = static_cast<size_t>(graph_.value(hidden_input_).shape.cols().factor);
  return {PlaceOf(hidden_input_), rows * size};
}

Status GraphExecutor::Bind(KvCacheView cache) {
  ASSIGN_OR_RETURN(arena_, Arena::Allocate(memory_.arena_bytes, "activations"));
  std::vector<bool> bf16_rows;
  if (options_.need_invariant && options_.prompts_apart) bf16_rows = PromptRowsInBf16(graph_);
  const BindContext context{.graph = graph_,
                            .memory = memory_,
                            .weights = weights_,
                            .arena = arena_.data(),
                            .cache = cache,
                            .workers = pool_.size(),
                            .need_invariant = options_.need_invariant,
                            .prompts_apart = options_.prompts_apart,
                            .bf16_rows = bf16_rows};
  for (size_t n = 0; n < graph_.nodes.size(); ++n) {
    std::unique_ptr<BoundOp> op = BindNode(context, graph_.nodes[n]);
    if (op != nullptr) ops_.push_back({std::move(op), static_cast<int>(n)});
  }
  // The largest step decides how much scratch each worker needs.
  const auto tokens = static_cast<int32_t>(options_.limits.max_tokens);
  const auto limit = static_cast<int32_t>(options_.limits.max_context);
  const SequenceSpan all{0, tokens, std::max(limit, tokens), nullptr};
  const StepBatch largest{{}, {}, {}, std::span(&all, 1), {}};
  const StepState step{&largest, LargestSizes(options_.limits)};
  for (Op& op : ops_) {
    op.op->Prepare(step);
    scratch_per_worker_ = std::max(scratch_per_worker_, RoundUp(op.op->ScratchBytes(), 4096));
    shared_bytes_ = std::max(shared_bytes_, op.op->SharedBytes());
  }
  const std::optional<size_t> bytes = CheckedAdd(scratch_per_worker_ * pool_.size(), shared_bytes_);
  if (!bytes.has_value()) return ResourceExhausted("scratch memory of more bytes than there are");
  ASSIGN_OR_RETURN(scratch_, Arena::Allocate(*bytes, "scratch"));
  return OkStatus();
}

bool GraphExecutor::PromptsDiffer() const {
  return options_.need_invariant &&
         std::ranges::any_of(ops_, [](const Op& op) { return op.op->PromptsDiffer(); });
}

void GraphExecutor::PrepareAll(const StepBatch& batch) {
  int32_t context = 1;
  for (const SequenceSpan& sequence : batch.sequences)
    context = std::max(context, sequence.context);
  const StepState step{&batch,
                       {batch.tokens.size(), batch.logit_rows.size(), static_cast<size_t>(context)},
                       {scratch_.data() + scratch_per_worker_ * pool_.size(), shared_bytes_}};
  for (Op& op : ops_) {
    op.units = op.op->Prepare(step);
    op.merge_units = op.op->MergeUnits();
  }
}

void GraphExecutor::RunShare(const Op& op, size_t worker, bool always_meet) {
  std::byte* const scratch = scratch_.data() + worker * scratch_per_worker_;
  const size_t workers = pool_.size();
  const auto begin_of = [&](size_t units, size_t w) { return units * w / workers; };
  const size_t begin = begin_of(op.units, worker), end = begin_of(op.units, worker + 1);
  if (begin < end) op.op->Run(begin, end, scratch);
  // An op without units changed nothing that anybody could wait for.
  if (op.units > 0 || always_meet) pool_.Barrier();
  if (op.merge_units == 0) return;
  const size_t first = begin_of(op.merge_units, worker);
  const size_t last = begin_of(op.merge_units, worker + 1);
  if (first < last) op.op->Merge(first, last, scratch);
  pool_.Barrier();
}

std::span<float> GraphExecutor::Run(const StepBatch& batch) {
  PELTON_CHECK(!batch.tokens.empty() && batch.tokens.size() <= options_.limits.max_tokens &&
                   batch.sequences.size() <= options_.limits.max_sequences &&
                   batch.logit_rows.size() <= options_.limits.max_logit_rows &&
                   batch.prompt_rows <= batch.tokens.size(),
               "the scheduler keeps steps inside the plan's limits");
  PrepareAll(batch);
  OpSink* const sink =
      options_.sink != nullptr && options_.sink->active() ? options_.sink : nullptr;
  const MonotonicClock clock;
  const bool timed = profiling_ || sink != nullptr;
  pool_.Run([&](size_t worker) {
    for (Op& op : ops_) {
      if (!timed || worker != 0) {
        RunShare(op, worker, timed);
        continue;
      }
      const int64_t start_ns = clock.NowNs();
      RunShare(op, worker, timed);
      const int64_t end_ns = clock.NowNs();
      op.seconds += static_cast<double>(end_ns - start_ns) * 1e-9;
      ++op.calls;
      if (sink != nullptr) {
        sink->OnOp(static_cast<size_t>(&op - ops_.data()), op.op->impl_name(), start_ns, end_ns);
      }
    }
  });
  if (hidden_size_ > 0) {
    const bool all = graph_.value(graph_.outputs[1]).shape.rows().symbol == Symbol::kTokens;
    const size_t rows = all ? batch.tokens.size() : batch.logit_rows.size();
    hidden_ = {PlaceOf(graph_.outputs[1]), rows * hidden_size_};
  }
  return {PlaceOf(graph_.outputs[0]), batch.logit_rows.size() * vocab_size_};
}

void GraphExecutor::SetProfiling(bool on) {
  profiling_ = on;
  for (Op& op : ops_) {
    op.seconds = 0;
    op.calls = 0;
  }
}

std::vector<std::string> GraphExecutor::OpLabels() const {
  std::vector<std::string> labels;
  for (const Op& op : ops_) {
    const Node& node = graph_.nodes[static_cast<size_t>(op.node)];
    std::string label(SchemaOf(node.kind).name);
    for (ValueId output : node.outputs) {
      if (output == kNoValue) continue;
      label += " %" + graph_.value(output).name;
      break;
    }
    labels.push_back(std::move(label));
  }
  return labels;
}

std::vector<int> GraphExecutor::OpNodes() const {
  std::vector<int> nodes;
  nodes.reserve(ops_.size());
  for (const Op& op : ops_) nodes.push_back(op.node);
  return nodes;
}

std::vector<OpProfile> GraphExecutor::Profile() const {
  std::vector<std::string> labels = OpLabels();
  std::vector<OpProfile> profile;
  for (size_t i = 0; i < ops_.size(); ++i) {
    const Op& op = ops_[i];
    profile.push_back({std::move(labels[i]), op.op->impl_name(), op.seconds, op.calls});
  }
  return profile;
}

}  // namespace pelton
