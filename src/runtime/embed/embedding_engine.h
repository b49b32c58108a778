#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "base/metrics.h"
#include "base/mutex.h"
#include "base/status.h"
#include "graph/execute/step_executor.h"
#include "runtime/embed/pooling.h"

namespace pelton {

// One text, or a pair of texts told apart by their token types.
struct EmbeddingInput {
  std::vector<int32_t> ids;
  std::vector<int32_t> token_types;  // as many, or empty: all 0
};

// What became of a request: `values` holds width numbers for each input, in their order.
struct EmbeddingResult {
  Status status;
  std::vector<float> values;
  size_t width = 0;
  size_t tokens = 0;  // of the inputs that were computed
};

struct EmbeddingRequest {
  std::vector<EmbeddingInput> inputs;
  Pooling pooling = Pooling::kMean;
  size_t dimensions = 0;  // the first so many numbers of each vector only; 0: all
  bool normalize = true;  // to an L2 norm of 1, after `dimensions`
  // Called for each input that was computed, with its tokens, on the engine thread; may be null.
  std::function<void(size_t tokens)> computed;
  // Called once, on the engine thread; must be short. It may call Submit and Cancel.
  std::function<void(EmbeddingResult)> done;
};

struct EmbeddingEngineOptions {
  size_t max_queued = 1024;     // requests that run or wait
  size_t vocab_size = 0;        // ids lie below
  size_t num_token_types = 1;   // token types lie below
  size_t max_input_tokens = 0;  // of one input; at most the executor's step
};

// Turns texts into vectors: a thread that fills each step with whole inputs of the requests that
// wait, one of each request in turn, as long as they fit. An input's vector does not depend on the
// others of its step.
class EmbeddingEngine {
 public:
  // The executor gives one row per wanted row of the step (a hidden state, or a classifier's
  // numbers). Borrows `metrics`. Requires: max_input_tokens fits the executor's limits.
  EmbeddingEngine(const EmbeddingEngineOptions& options, std::unique_ptr<StepExecutor> executor,
                  MetricRegistry& metrics);

  // Requests that have not finished end with Cancelled.
  ~EmbeddingEngine();

  // Checks and queues a request. InvalidArgument, naming the input, for ids or types outside the
  // model, an empty or too long input, or dimensions beyond the model's; Unavailable if max_queued
  // requests wait. On failure `done` is not called. Any thread.
  Result<uint64_t> Submit(EmbeddingRequest request);

  // Ends a request before the next step, with Cancelled, unless it has finished. Any thread.
  void Cancel(uint64_t id);

  // Submits and waits. Not from `done`.
  EmbeddingResult Run(EmbeddingRequest request);

  size_t width() const { return executor_->vocab_size(); }
  const EmbeddingEngineOptions& options() const { return options_; }

 private:
  struct Live {
    uint64_t id = 0;
    EmbeddingRequest request;
    EmbeddingResult result;
    size_t planned = 0;   // inputs that a step has taken
    size_t finished = 0;  // inputs whose vector is there
  };
  // An input in the step.
  struct Taken {
    size_t live;  // index
    size_t input;
  };
  struct Step;

  Status Check(const EmbeddingRequest& request) const;
  void Loop();
  void RunStep();
  void Pool(const Taken& taken, std::span<const float> rows);
  void FinishDone();
  static void End(Live& live, Status status);

  const EmbeddingEngineOptions options_;
  const std::unique_ptr<StepExecutor> executor_;
  Counter& steps_;
  Counter& tokens_;
  Counter& inputs_;
  Histogram& step_tokens_;

  std::vector<std::unique_ptr<Live>> live_;  // engine thread only
  size_t turn_ = 0;                          // whose turn it is; engine thread only

  Mutex mutex_;
  CondVar wake_;
  bool stopping_ GUARDED_BY(mutex_) = false;
  uint64_t next_id_ GUARDED_BY(mutex_) = 1;
  size_t num_live_ GUARDED_BY(mutex_) = 0;  // submitted and not finished
  std::vector<std::unique_ptr<Live>> submitted_ GUARDED_BY(mutex_);
  std::vector<uint64_t> cancelled_ GUARDED_BY(mutex_);

  std::thread thread_;  // last: it starts when everything else is there
};

}  // namespace pelton
