#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/metrics.h"
#include "base/status.h"
#include "base/thread_pool.h"
#include "graph/execute/graph_executor.h"
#include "graph/passes/passes.h"
#include "models/weights/model_files.h"
#include "runtime/engine/request_sink.h"
#include "runtime/kv/prefix_store.h"
#include "runtime/profile/profile_recorder.h"
#include "serving/model/model_chat.h"
#include "text/grammar/grammar.h"
#include "text/tokenizer/tokenizer.h"

namespace pelton {

// Where guesses at next tokens come from: kNgram from the text before, kMtp from the model's own
// layer for it, kDraft from a smaller model. kAuto: kDraft where such a model is named, else kMtp
// where the model has that layer, else kNgram; but kOff where results depend on how many rows a
// step has.
enum class Speculation : uint8_t { kAuto, kOff, kNgram, kMtp, kDraft };

inline constexpr size_t kExpertsThatFit = ~size_t{0};

struct LoadOptions {
  PassOptions passes;         // numerics, fusion level
  bool invariant = true;      // results of a request are the same bits whatever runs beside it
  size_t threads = 0;         // 0: every core that this process may use
  size_t context_tokens = 0;  // longest sequence; 0: what the model and the memory allow
  size_t kv_tokens = 0;       // tokens in the KV cache; 0: context_tokens for each sequence,
                              // at most half of the memory
  size_t kv_bytes = 0;        // the same as a size; 0: as kv_tokens says
  std::optional<KvDType> kv_dtype;  // empty: f16, or f32 where the numerics are exact
  size_t most_kv_bytes = 0;      // of a KV cache whose size is chosen here; 0: half of the memory
  size_t memory_bytes = 0;       // that the model may take; 0: what is available
  size_t max_sequences = 1;      // in one step
  size_t max_step_tokens = 512;  // rows of one step
  size_t max_logit_rows = 32;    // of one step; at least one for each sequence
  bool prefix_cache = true;
  size_t max_queued = 1024;
  Speculation speculate = Speculation::kAuto;
  std::string draft_model;  // for kDraft: the path of a model with the same vocabulary
  size_t draft_tokens = 3;  // that kMtp and kDraft guess in a row at most
  ClassPolicies policies = kDefaultPolicies;
  int64_t gather_ns = 0;
  size_t touch_ahead_bytes = 0;  // of the KV cache's memory, made ready while nobody waits
  SamplingDefaults sampling;     // before what the model's files advise
  // Where packed weights are kept for later loads; empty: nowhere.
  std::string packed_cache_folder;
  bool verify_packed_cache = false;  // reads a file there whole before it is used
  // Of experts that a router chooses, in memory at a time, the others in a file of that folder, if
  // there is one; 0: all; kExpertsThatFit: all, or where that is too much half of what the memory
  // leaves.
  size_t expert_bytes = 0;
  std::function<void(std::string_view line)> report;  // of trouble with packed weights' files
  PrefixStore* store = nullptr;       // borrowed; keeps the prefix cache when the model goes
  MetricRegistry* metrics = nullptr;  // borrowed; null: the model's own
  const std::atomic<bool>* cancelled = nullptr;  // borrowed; ends the load early when it is true
};

// Memory that a loaded model takes, by level (docs/design/memory.md).
struct MemoryUse {
  size_t packed_weight_bytes = 0;
  size_t expert_bytes = 0;  // at most, of experts that are mapped from a file; 0: they are packed
  size_t mapped_bytes = 0;  // the model file: tables read in place
  size_t kv_bytes = 0;
  size_t kv_bytes_per_token = 0;
  size_t arena_bytes = 0;
  size_t arena_sum_bytes = 0;  // without sharing
  size_t scratch_bytes = 0;
};

// A model that is ready to run: files, text side, plan, packed weights, KV blocks and threads.
// Members are destroyed in reverse order, so what borrows comes after what it borrows from. The
// engine is safe to use from any thread, everything else is read-only.
struct LanguageModel {
  explicit LanguageModel(ModelFiles opened) : files(std::move(opened)) {}

  ModelFiles files;
  std::optional<ModelFiles> draft_files;
  std::unique_ptr<Tokenizer> tokenizer;
  ModelChat chat;
  std::string bos_text, eos_text;  // for templates
  std::vector<PassReport> pass_reports;
  std::unique_ptr<ThreadPool> pool;
  MonotonicClock clock;
  std::unique_ptr<MetricRegistry> own_metrics;
  MetricRegistry* metrics = nullptr;  // what the engine counts in
  // Told of the engine's steps, ops and requests while it records.
  std::unique_ptr<ProfileRecorder> profile = std::make_unique<ProfileRecorder>();
  std::unique_ptr<RequestSink> engine;
  GraphExecutor* executor = nullptr;  // the engine's; for inspection while no step runs
  size_t context_tokens = 0;
  Numerics numerics = Numerics::kFast;
  bool invariant = true;
  bool prefix_cache = false;
  Speculation speculate = Speculation::kOff;  // never kAuto
  MemoryUse memory;

  // Made with the first call, which sorts the vocabulary. Requires: there is a tokenizer.
  GrammarCompiler& grammars() const;

 private:
  mutable std::once_flag grammars_made_;
  mutable std::unique_ptr<GrammarCompiler> grammars_;
};

// Opens a model and makes it ready. Errors: those of OpenModel, BuildGraph and the tokenizers;
// those of BuildMtpGraph where guesses are to come from that layer; all of them, naming it, for the
// draft model, and InvalidArgument if its vocabulary is another one;
// ResourceExhausted, with all sizes and the context that would fit, if memory does not suffice;
// Cancelled.
Result<std::unique_ptr<LanguageModel>> LoadLanguageModel(const std::string& path,
                                                         const LoadOptions& options);

// What LoadLanguageModel would take, of which sizes and context depend on nothing but the files and
// the options if memory_bytes is stated. Errors as there.
struct ModelMemoryPlan {
  size_t weight_bytes = 0;
  size_t expert_bytes = 0;  // of these, of experts that are mapped from a file; 0: all are packed
  size_t arena_bytes = 0;
  size_t kv_bytes = 0;
  size_t context_tokens = 0;

  size_t TotalBytes() const { return weight_bytes + arena_bytes + kv_bytes; }
};
Result<ModelMemoryPlan> PlanModelMemory(const std::string& path, const LoadOptions& options);

// Fills the text side from model->files: tokenizer, the form of chats, BOS and EOS. Without a
// vocabulary the tokenizer stays null.
Status LoadTextSide(LanguageModel* model);

// The graph of a model after its passes, without weights in memory: for inspection. Of the options
// passes and context count.
struct PlannedModel {
  ModelFiles files;
  Graph plain;
  Graph planned;
  std::vector<PassReport> pass_reports;
};
Result<PlannedModel> PlanModel(const std::string& path, const LoadOptions& options);

// What the system has left, less something for the rest of the process.
size_t MemoryForModels();

// Cores that this process may run on.
size_t UsableCores();

}  // namespace pelton
