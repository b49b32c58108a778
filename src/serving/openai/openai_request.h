#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "serving/generate/generation_request.h"

namespace pelton {

// How an answer of OpenAI's interface is stated.
struct OpenAiForm {
  bool chat = true;   // chat/completions, else completions
  std::string model;  // as the client named it
  uint32_t n = 1;     // answers to each prompt
  size_t choices = 1;
  bool stream = false;
  bool include_usage = false;
  std::vector<std::string>
      echo;  // of each prompt, the text that comes before its answers; or empty
};

struct OpenAiRequest {
  OpenAiForm form;
  GenerationRequest generation;
};

// Reads the body of a request. Every field of the interface is honoured or refused by name; the
// error's param is the field. Tokenises, so it takes time linear in the body. Any thread.
std::optional<ApiError> ReadChatRequest(const LanguageModel& model, std::string_view body,
                                        OpenAiRequest* request);
std::optional<ApiError> ReadCompletionRequest(const LanguageModel& model, std::string_view body,
                                              OpenAiRequest* request);

}  // namespace pelton
