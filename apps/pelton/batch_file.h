#pragma once

#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "request_options.h"
#include "runtime/engine/run_to_completion.h"
#include "serving/model/language_model.h"
#include "text/grammar/grammar.h"

namespace pelton {

// A request as a command line or a line of a file states it.
struct PromptRequest {
  std::vector<int32_t> prompt_ids;
  SamplingParams params;
  std::shared_ptr<const CompiledGrammar> grammar = nullptr;  // what the answer must be
};

// The request for one prompt, of text or of ids. InvalidArgument, saying what cannot be done.
Result<PromptRequest> RequestOf(const LanguageModel& model, const RequestDefaults& defaults,
                                const std::string& prompt);
Result<PromptRequest> RequestOf(const LanguageModel& model, const RequestDefaults& defaults,
                                std::vector<int32_t> prompt_ids);

// One request of each line of a JSONL file: `prompt`, `messages` or `prompt_ids`, any sampling
// field, and what the answer must be as chats over HTTP state it. InvalidArgument with the line and
// the field.
Result<std::vector<PromptRequest>> ReadRequests(const std::string& path, const LanguageModel& model,
                                                const RequestDefaults& defaults);

// The result of one request as the commands print it: prompt_ids, ids, text, finish_reason,
// logprobs, prompt_logprobs, timings; or error.
nlohmann::ordered_json ResultJson(const PromptRequest& request, const RequestResult& result);

// Runs the requests as one continuous batch.
std::vector<RequestResult> RunRequests(const LanguageModel& model,
                                       const std::vector<PromptRequest>& requests);

// The engine's request, without an observer.
Request EngineRequest(const LanguageModel& model, const PromptRequest& request);

}  // namespace pelton
