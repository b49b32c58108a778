#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/arena.h"
#include "base/thread_pool.h"
#include "graph/execute/graph_executor.h"
#include "models/weights/model_files.h"

namespace pelton::golden {

// The folder of independent results: $PELTON_GOLDEN, else ../shared/golden; nullopt if there is
// none. tests/data/golden, which the repository carries, is always there.
std::optional<std::string> FullSet();

// What the reference computed for one prompt.
struct Prompt {
  std::string name;
  std::vector<int32_t> ids;
  std::vector<size_t> logits_positions;
  std::vector<float> logits;      // [logits_positions, vocab]
  std::vector<int32_t> best_ids;  // [ids] the best token behind each, with coarse_agreement
  // The reference's own bfloat16 chose other experts or keys in some of its rows.
  bool other_choices = false;
  std::vector<int32_t> greedy_ids;
  std::vector<float> greedy_margins;
  // Of coarser arithmetic. Where a router chooses otherwise, logits move by whole units though
  // nothing is wrong: twice what the reference's own bfloat16 does to a prompt with such rows.
  double coarse_tolerance = 0;
};

struct Case {
  std::string name;        // "llama", "llama/Q4_0"
  std::string model_path;  // a folder or a GGUF file
  std::vector<Prompt> prompts;
  size_t max_context = 512;  // that the model is opened for
  double float32_tolerance = 0;
  // The share of equal best tokens that the reference's own bfloat16 reached, where rows with other
  // choices move logits by whole units; 0 for cases without such rows.
  double coarse_agreement = 0;
  // What bfloat16 of others must reach: the same, estimated from the few rows that the reference
  // counted, less the standard error.
  double tile_agreement = 0;
  bool logits_are_no_bound = false;  // in any prompt
};

// The model of a folder and of each GGUF file in it, with their results.
std::vector<Case> LoadCases(const std::string& folder, const std::string& name);

struct RunnerOptions {
  PassOptions passes;
  size_t threads = 1;
  size_t max_step_tokens = 256;
  size_t max_context = 512;
  bool need_invariant = true;
  std::optional<KvDType> kv_dtype = {};  // empty: f16, or f32 where the numerics are exact
  bool as_prompts = true;                // what is appended; else as if the model had generated it
  // Done to the model's graph before the passes run; may be empty.
  std::function<void(Graph&)> before_passes = {};
};

// A model on the executor alone: one sequence, its cache blocks in a scrambled order.
class Runner {
 public:
  Runner(const std::string& model_path, const RunnerOptions& options);

  size_t vocab() const { return executor_->vocab_size(); }

  // Forgets the sequence.
  void Reset() { context_ = 0; }
  // Appends tokens in steps of at most `chunk`; the logits of each, [tokens, vocab].
  std::vector<float> Append(std::span<const int32_t> tokens, size_t chunk);

 private:
  std::optional<ModelFiles> files_;
  ThreadPool pool_;
  Arena cache_;
  std::vector<int32_t> block_table_;
  size_t block_tokens_ = 0;
  std::unique_ptr<GraphExecutor> executor_;
  size_t context_ = 0;
  size_t max_step_tokens_;
  bool as_prompts_;
};

}  // namespace pelton::golden
