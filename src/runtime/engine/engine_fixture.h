#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/metrics.h"
#include "runtime/engine/engine_core.h"
#include "runtime/engine/guessing_executor.h"
#include "runtime/engine/hashing_executor.h"
#include "runtime/engine/reading_executor.h"
#include "runtime/engine/request.h"
#include "runtime/engine/run_to_completion.h"

namespace pelton {

// The ids of the answer.
inline std::vector<int32_t> OutputIds(const RequestResult& result) {
  std::vector<int32_t> ids;
  ids.reserve(result.output.size());
  for (const TokenRecord& token : result.output) ids.push_back(token.id);
  return ids;
}

// For tests: writes everything down that happens to one request.
class Recording final : public RequestObserver {
 public:
  explicit Recording(RequestResult& result) : result_(result) {}
  void OnStart(const StartEvent& event) override {
    PELTON_CHECK(!start_, "a request starts once");
    start_ = event;
  }
  void OnPromptToken(const PromptTokenEvent& event) override {
    PELTON_CHECK(start_, "a request starts before its prompt is read");
    result_.prompt.push_back({event.id, event.logprob, {event.top.begin(), event.top.end()}});
  }
  void OnToken(const TokenEvent& event) override {
    PELTON_CHECK(start_, "a request starts before its tokens come");
    result_.output.push_back({event.id, event.logprob, {event.top.begin(), event.top.end()}});
    result_.text.append(event.text);
  }
  void OnFinish(const FinishEvent& event) override {
    PELTON_CHECK(result_.finish.prompt_tokens == 0, "a request finishes once");
    PELTON_CHECK(!start_ || (start_->prompt_tokens == event.prompt_tokens &&
                             start_->cached_tokens == event.cached_tokens),
                 "start and end tell the same of the prompt");
    PELTON_CHECK(result_.output.size() == event.output_tokens, "each token is told once");
    result_.text.append(event.text);
    result_.status = event.status;
    result_.reason = event.reason;
    result_.finish = event;
  }

 private:
  RequestResult& result_;
  std::optional<StartEvent> start_;
};

// For tests: token i is the letter 'a' + i; the bytes of "é" come in two tokens, 26 and 27.
class LetterDecoder final : public TextDecoder {
 public:
  void Append(int32_t id, std::string& out) override {
    if (half_ && id == 27)
      out += "é";
    else if (half_)
      out += "\xEF\xBF\xBD";
    half_ = id == 26;
    if (id < 26) out += static_cast<char>('a' + id);
  }
  void Finish(std::string& out) override {
    if (std::exchange(half_, false)) out += "\xEF\xBF\xBD";
  }

 private:
  bool half_ = false;
};

// For tests: token i may come next if i % 3 is the number of tokens so far, modulo 3; the output
// may end from `may_end` tokens on and must after `most`. It foresees some tokens, mostly wrong
// ones.
class TurnConstraint final : public OutputConstraint {
 public:
  TurnConstraint(size_t may_end, size_t most) : may_end_(may_end), most_(most) {}
  bool FillMask(std::span<uint32_t> mask) override {
    for (uint32_t& word : mask) word = 0;
    for (size_t i = 0; count_ < most_ && i < mask.size() * 32; ++i) {
      if (i % 3 == count_ % 3) mask[i / 32] |= 1u << i % 32;
    }
    return true;
  }
  bool Accept(int32_t id) override { return static_cast<size_t>(id) % 3 == count_++ % 3; }
  void Retract(size_t count) override { count_ -= count; }
  bool MayEnd() const override { return count_ >= may_end_; }
  size_t Foresee(std::span<const uint32_t>, std::span<int32_t> ids) override {
    for (size_t i = 0; i < ids.size(); ++i) {
      ids[i] = static_cast<int32_t>((count_ + i) % 3 + 3 * (count_ % 2));
    }
    // At times one that is not allowed.
    if (count_ % 5 == 4) ids[1] += 1;
    return count_ % 4 == 3 ? 0 : ids.size();
  }

 private:
  const size_t may_end_;
  const size_t most_;
  size_t count_ = 0;
};

// A core over the hashing model, with all its parts in reach.
class CoreFixture {
 public:
  // By whom guesses are made: by a GuessingExecutor over a second layer, or by a ReadingExecutor
  // over a cache of its own.
  enum class Drafts { kNone, kLayer, kModel };
  struct Shape {
    size_t num_blocks = 64;
    size_t block_tokens = 4;
    size_t vocab_size = 40;
    bool prompts_differ = false;
    Drafts drafts = Drafts::kNone;
    StepLimits limits{.max_tokens = 32, .max_sequences = 8, .max_logit_rows = 8, .max_context = 96};
  };

  CoreFixture(const Shape& shape, EngineOptions options) {
    pool = BlockPool::Create({.data = nullptr,
                              .dtype = KvDType::kF32,
                              .num_blocks = shape.num_blocks,
                              .layers = shape.drafts == Drafts::kLayer ? size_t{2} : size_t{1},
                              .kv_heads = 1,
                              .head_dim = 1,
                              .block_tokens = shape.block_tokens})
               .value();
    executor = std::make_unique<HashingExecutor>(pool->view(), shape.limits, shape.vocab_size);
    executor->prompts_differ = shape.prompts_differ;
    options.kv_blocks = shape.num_blocks;
    resolved = ResolveEngineOptions(options, shape.limits, shape.vocab_size).value();
    DraftCache cache = {.view = pool->view(), .first_layer = pool->view().layers - 1};
    if (shape.drafts == Drafts::kLayer) {
      guesser = std::make_unique<GuessingExecutor>(cache.view, shape.limits, shape.vocab_size);
    } else if (shape.drafts == Drafts::kModel) {
      draft_memory.resize(pool->num_blocks() * pool->view().BlockBytes());
      cache.view.data = draft_memory.data();
      guesser = std::make_unique<ReadingExecutor>(cache.view, pool->view(), *executor, shape.limits,
                                                  shape.vocab_size);
    }
    if (guesser != nullptr) {
      draft_model = std::make_unique<DraftModel>(*guesser, cache, shape.vocab_size, clock);
    }
    core =
        std::make_unique<EngineCore>(resolved, *pool, *executor, clock, metrics, draft_model.get());
  }

  // Queues a request; `result` must outlive it. The request's observer is made here.
  Result<uint64_t> Add(Request request, RequestResult& result) {
    request.observer = std::make_unique<Recording>(result);
    auto live = PrepareRequest(std::move(request), {.options = resolved,
                                                    .step = executor->limits(),
                                                    .geometry = pool->view(),
                                                    .vocab_size = executor->vocab_size()});
    if (!live.ok()) return live.status();
    const uint64_t id = ++last_id;
    (*live)->sequence.id = id;
    (*live)->submitted_ns = clock.NowNs();
    core->Add(std::move(live).value());
    return id;
  }

  RequestResult RunAlone(Request request) {
    RequestResult result;
    const Result<uint64_t> id = Add(std::move(request), result);
    if (!id.ok()) result.status = id.status();
    RunAll();
    return result;
  }

  void RunAll() {
    while (core->num_live() > 0) Step();
  }
  void Step() {
    core->Step();
    clock.Advance(1000);
  }

  ManualClock clock{1};
  MetricRegistry metrics;
  std::unique_ptr<BlockPool> pool;
  std::unique_ptr<HashingExecutor> executor;
  std::vector<std::byte> draft_memory;   // of a ReadingExecutor
  std::unique_ptr<TestGuesser> guesser;  // may be null, as the model
  std::unique_ptr<DraftModel> draft_model;
  EngineOptions resolved;
  std::unique_ptr<EngineCore> core;  // goes first
  uint64_t last_id = 0;
};

}  // namespace pelton
