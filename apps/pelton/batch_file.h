#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "runtime/engine/run_to_completion.h"
#include "serving/model/language_model.h"

namespace pelton {

// A request as a command line or a line of a file states it.
struct PromptRequest {
  std::vector<int32_t> prompt_ids;
  SamplingParams params;
};

// One request of each line of a JSONL file: `prompt`, `messages` or `prompt_ids`, and any sampling
// field, over `defaults`. `raw`: prompts are not put into the chat template. InvalidArgument with
// the line and the field.
Result<std::vector<PromptRequest>> ReadRequests(const std::string& path, const LanguageModel& model,
                                                const SamplingParams& defaults,
                                                const std::string& system, bool raw);

// The result of one request as the commands print it: prompt_ids, ids, text, finish_reason,
// logprobs, prompt_logprobs, timings; or error.
nlohmann::ordered_json ResultJson(const PromptRequest& request, const RequestResult& result);

// Runs the requests as one continuous batch.
std::vector<RequestResult> RunRequests(const LanguageModel& model,
                                       const std::vector<PromptRequest>& requests);

// The messages of a chat with one question.
nlohmann::ordered_json OneQuestion(const std::string& system, const std::string& prompt);

}  // namespace pelton
