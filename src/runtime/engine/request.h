#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "runtime/engine/reasoning_limit.h"
#include "runtime/sample/output_constraint.h"
#include "runtime/sample/sampler.h"
#include "runtime/schedule/step_plan.h"
#include "runtime/sequence/sampling_params.h"

namespace pelton {

// Turns one sequence's output ids into text. Called on the engine thread only.
class TextDecoder {
 public:
  virtual ~TextDecoder() = default;
  // Appends the text that `id` completes: whole characters, nothing while one is incomplete.
  virtual void Append(int32_t id, std::string& out) = 0;
  // The output has ended: appends what an incomplete character becomes.
  virtual void Finish(std::string& out) = 0;
};

enum class FinishReason : uint8_t {
  kStop,       // an end token, a stop id or a stop string
  kLength,     // max_tokens or the end of the context
  kCancelled,  // by Cancel, or because the engine stops
  kDeadline,   // it did not start in time
  kError,      // FinishEvent::status says why
};
constexpr size_t kNumFinishReasons = 5;
// As the OpenAI interface spells it: "stop", "length", "cancelled", "deadline", "error".
std::string_view FinishReasonName(FinishReason reason);

// Log-probabilities are the model's own, before penalties and filters; `top` holds as many of the
// most probable tokens as were asked for, best first.
struct TokenEvent {
  int32_t id;
  std::string_view text;  // what became certain with this token; may be empty, or span characters
  float logprob;          // 0 unless asked for
  std::span<const TokenLogprob> top;
};

struct StartEvent {
  size_t prompt_tokens;  // cached ones included
  size_t cached_tokens;  // of the prompt, taken from the prefix cache
};

struct PromptTokenEvent {
  size_t position;  // from 1: the first token of a prompt has no log-probability
  int32_t id;
  float logprob;
  std::span<const TokenLogprob> top;
};

struct FinishEvent {
  FinishReason reason;
  Status status;          // not ok for kError, kDeadline and kCancelled
  std::string_view text;  // what was held back in case it would become a stop string
  int32_t stop_id = -1;   // the end token or stop id that was generated last
  int stop_string = -1;   // index in stop_strings of the one that was found
  size_t prompt_tokens = 0;
  size_t cached_tokens = 0;  // of the prompt, taken from the prefix cache
  size_t output_tokens = 0;
  size_t preemptions = 0;
  size_t accepted_drafts = 0;  // of the output, guessed and then found right
  size_t rejected_drafts = 0;  // guesses that were computed in vain
  int64_t queue_ns = 0;        // submission to first step
  int64_t prompt_ns = 0;  // first step to the end of the prompt, which is the first output token
  int64_t output_ns = 0;  // first output token to the last
};

// Receives what happens to one request, on the engine thread, in order: its start unless it ends
// before, prompt tokens, tokens, and exactly one OnFinish as the last call. Views are valid during
// the call only. A call must be short, since every sequence waits for it; it may call
// Engine::Submit and Cancel.
class RequestObserver {
 public:
  virtual ~RequestObserver() = default;
  virtual void OnStart(const StartEvent&) {}  // its first step is about to run
  virtual void OnPromptToken(const PromptTokenEvent&) {}
  virtual void OnToken(const TokenEvent& event) = 0;
  virtual void OnFinish(const FinishEvent& event) = 0;
};

// What a user wants generated.
struct Request {
  std::vector<int32_t> prompt_ids;
  SamplingParams params;
  std::string cache_salt;  // only requests with equal salts share cached prefixes
  ServiceClass service_class = ServiceClass::kStandard;
  std::string tenant;        // requests of equal tenants share what it is given
  double tenant_weight = 1;  // its share beside other tenants; above 0
  // Refused if the first token is not expected within this time; 0: it may take any.
  int64_t first_token_within_ns = 0;
  int64_t start_deadline_ns = kNoDeadline;  // on the engine's clock
  // Needed for stop strings, and for text in events; may be null otherwise.
  std::unique_ptr<TextDecoder> decoder;
  // Null: any token may be drawn. Otherwise only those that it allows, end tokens only where it may
  // end; the output ends where nothing may follow.
  std::unique_ptr<OutputConstraint> constraint;
  std::optional<ReasoningBudget> reasoning_budget;  // empty: as long as the model wants
  std::unique_ptr<RequestObserver> observer;        // not null; destroyed after OnFinish
};

}  // namespace pelton
