#include "runtime/embed/embedding_engine.h"

#include <fmt/format.h>

#include <algorithm>
#include <future>
#include <utility>

#include "base/check.h"

namespace pelton {

// The rows of one step.
struct EmbeddingEngine::Step {
  std::vector<int32_t> tokens, positions, token_types, wanted_rows;
  std::vector<SequenceSpan> sequences;
  std::vector<Taken> taken;

  void Add(const EmbeddingInput& input, Pooling pooling) {
    const auto first = static_cast<int32_t>(tokens.size());
    const auto count = static_cast<int32_t>(input.ids.size());
    sequences.push_back({first, count, count, nullptr});
    tokens.insert(tokens.end(), input.ids.begin(), input.ids.end());
    for (int32_t i = 0; i < count; ++i) positions.push_back(i);
    token_types.insert(token_types.end(), input.token_types.begin(), input.token_types.end());
    token_types.resize(tokens.size(), 0);
    const int32_t begin = pooling == Pooling::kLast ? count - 1 : 0;
    const int32_t end = pooling == Pooling::kFirst ? 1 : count;
    for (int32_t i = begin; i < end; ++i) wanted_rows.push_back(first + i);
  }
};

EmbeddingEngine::EmbeddingEngine(const EmbeddingEngineOptions& options,
                                 std::unique_ptr<StepExecutor> executor, MetricRegistry& metrics)
    : options_(options),
      executor_(std::move(executor)),
      steps_(metrics.AddCounter("pelton_embedding_steps_total", "", "Steps of the encoder.")),
      tokens_(metrics.AddCounter("pelton_embedding_tokens_total", "", "Tokens that were encoded.")),
      inputs_(metrics.AddCounter("pelton_embedding_inputs_total", "", "Texts that were encoded.")),
      step_tokens_(metrics.AddHistogram("pelton_embedding_step_tokens", "", "Tokens of a step.",
                                        {16, 64, 256, 1024, 4096})) {
  const StepLimits& limits = executor_->limits();
  PELTON_CHECK(options_.max_input_tokens > 0 && options_.max_input_tokens <= limits.max_tokens &&
                   options_.max_input_tokens <= limits.max_logit_rows &&
                   options_.max_input_tokens <= limits.max_context,
               "the longest input fits a step");
  thread_ = std::thread([this] { Loop(); });
}

EmbeddingEngine::~EmbeddingEngine() {
  {
    const MutexLock lock(mutex_);
    stopping_ = true;
  }
  wake_.WakeOne();
  thread_.join();
}

Status EmbeddingEngine::Check(const EmbeddingRequest& request) const {
  if (request.inputs.empty()) return InvalidArgument("found no input, expected at least one");
  if (request.dimensions > width()) {
    return InvalidArgument(fmt::format("dimensions: found {}, expected at most {}, the model's",
                                       request.dimensions, width()));
  }
  for (size_t i = 0; i < request.inputs.size(); ++i) {
    const EmbeddingInput& input = request.inputs[i];
    if (input.ids.empty() || input.ids.size() > options_.max_input_tokens) {
      return InvalidArgument(fmt::format("input {}: found {} tokens, expected 1 to {}", i,
                                         input.ids.size(), options_.max_input_tokens));
    }
    if (!input.token_types.empty() && input.token_types.size() != input.ids.size()) {
      return InvalidArgument(fmt::format("input {}: found {} token types, expected {}", i,
                                         input.token_types.size(), input.ids.size()));
    }
    const auto outside = [](const std::vector<int32_t>& ids, size_t limit) {
      return std::find_if(ids.begin(), ids.end(), [limit](int32_t id) {
        return id < 0 || static_cast<size_t>(id) >= limit;
      });
    };
    if (const auto id = outside(input.ids, options_.vocab_size); id != input.ids.end()) {
      return InvalidArgument(fmt::format("input {}: found token {}, expected an id below {}", i,
                                         *id, options_.vocab_size));
    }
    if (const auto type = outside(input.token_types, options_.num_token_types);
        type != input.token_types.end()) {
      return InvalidArgument(fmt::format("input {}: found token type {}, expected one below {}", i,
                                         *type, options_.num_token_types));
    }
  }
  return OkStatus();
}

Result<uint64_t> EmbeddingEngine::Submit(EmbeddingRequest request) {
  RETURN_IF_ERROR(Check(request));
  auto live = std::make_unique<Live>();
  live->request = std::move(request);
  live->result.width = live->request.dimensions == 0 ? width() : live->request.dimensions;
  live->result.values.resize(live->result.width * live->request.inputs.size());
  uint64_t id;
  {
    const MutexLock lock(mutex_);
    if (num_live_ >= options_.max_queued) {
      return Unavailable(fmt::format("{} requests run or wait, the most that max_queued allows",
                                     options_.max_queued));
    }
    ++num_live_;
    id = live->id = next_id_++;
    submitted_.push_back(std::move(live));
  }
  wake_.WakeOne();
  return id;
}

void EmbeddingEngine::Cancel(uint64_t id) {
  {
    const MutexLock lock(mutex_);
    // Repeated calls within one step must not grow the list.
    if (std::find(cancelled_.begin(), cancelled_.end(), id) != cancelled_.end()) return;
    cancelled_.push_back(id);
  }
  wake_.WakeOne();
}

EmbeddingResult EmbeddingEngine::Run(EmbeddingRequest request) {
  std::promise<EmbeddingResult> promise;
  request.done = [&promise](EmbeddingResult result) { promise.set_value(std::move(result)); };
  const Result<uint64_t> id = Submit(std::move(request));
  if (!id.ok()) return {.status = id.status(), .values = {}};
  return promise.get_future().get();
}

void EmbeddingEngine::End(Live& live, Status status) {
  live.result.status = std::move(status);
  if (!live.result.status.ok()) live.result.values.clear();
  live.request.done(std::move(live.result));
}

void EmbeddingEngine::Loop() {
  while (true) {
    std::vector<uint64_t> cancelled;
    bool stopping;
    {
      const MutexLock lock(mutex_);
      num_live_ = live_.size() + submitted_.size();
      while (submitted_.empty() && cancelled_.empty() && !stopping_ && live_.empty()) {
        wake_.Wait(mutex_);
      }
      for (auto& live : submitted_) live_.push_back(std::move(live));
      submitted_.clear();
      cancelled.swap(cancelled_);
      stopping = stopping_;
    }
    for (const uint64_t id : cancelled) {
      const auto it = std::find_if(live_.begin(), live_.end(),
                                   [id](const auto& live) { return live->id == id; });
      if (it == live_.end()) continue;
      End(**it, Cancelled("the request was cancelled"));
      live_.erase(it);
    }
    if (stopping) {
      for (const auto& live : live_) End(*live, Cancelled("the engine has stopped"));
      live_.clear();
      return;
    }
    if (!live_.empty()) RunStep();
    FinishDone();
  }
}

void EmbeddingEngine::RunStep() {
  const StepLimits& limits = executor_->limits();
  Step step;
  turn_ %= live_.size();
  for (size_t passed = 0; passed < live_.size(); turn_ = (turn_ + 1) % live_.size()) {
    Live& live = *live_[turn_];
    if (live.planned == live.request.inputs.size()) {
      ++passed;
      continue;
    }
    const EmbeddingInput& input = live.request.inputs[live.planned];
    const size_t wanted = live.request.pooling == Pooling::kMean ? input.ids.size() : 1;
    if (step.tokens.size() + input.ids.size() > limits.max_tokens ||
        step.sequences.size() == limits.max_sequences ||
        step.wanted_rows.size() + wanted > limits.max_logit_rows) {
      break;  // the next step begins with it
    }
    step.Add(input, live.request.pooling);
    step.taken.push_back({turn_, live.planned++});
    passed = 0;
  }
  const std::span<const float> rows = executor_->Run({.tokens = step.tokens,
                                                      .positions = step.positions,
                                                      .slots = {},
                                                      .sequences = step.sequences,
                                                      .logit_rows = step.wanted_rows,
                                                      .token_types = step.token_types,
                                                      .prompt_rows = step.tokens.size()});
  size_t begin = 0;
  for (const Taken& taken : step.taken) {
    const EmbeddingRequest& request = live_[taken.live]->request;
    const size_t count =
        (request.pooling == Pooling::kMean ? request.inputs[taken.input].ids.size() : 1) * width();
    Pool(taken, rows.subspan(begin, count));
    begin += count;
  }
  steps_.Add();
  tokens_.Add(step.tokens.size());
  inputs_.Add(step.taken.size());
  step_tokens_.Observe(static_cast<double>(step.tokens.size()));
}

void EmbeddingEngine::Pool(const Taken& taken, std::span<const float> rows) {
  Live& live = *live_[taken.live];
  std::vector<float> vector(width());
  MeanOfRows(rows, vector);  // of one row: the row
  vector.resize(live.result.width);
  if (live.request.normalize) Normalize(vector);
  std::copy(
      vector.begin(), vector.end(),
      live.result.values.begin() + static_cast<std::ptrdiff_t>(taken.input * live.result.width));
  ++live.finished;
  const size_t tokens = live.request.inputs[taken.input].ids.size();
  live.result.tokens += tokens;
  if (live.request.computed) live.request.computed(tokens);
}

void EmbeddingEngine::FinishDone() {
  std::erase_if(live_, [](const std::unique_ptr<Live>& live) {
    if (live->finished < live->request.inputs.size()) return false;
    End(*live, OkStatus());
    return true;
  });
}

}  // namespace pelton
