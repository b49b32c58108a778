#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "runtime/sequence/sampling_params.h"
#include "serving/model/language_model.h"
#include "serving/openai/api_error.h"
#include "text/parsers/output_parser.h"

namespace pelton {

// A request to chat/completions or completions, checked and turned into token ids.
struct GenerationRequest {
  bool chat = true;
  std::string model;                          // as the client named it
  std::vector<std::vector<int32_t>> prompts;  // one for a chat; each is answered n times
  std::vector<std::string> prompt_texts;      // of `prompts`, for echo
  SamplingParams params;
  uint32_t n = 1;
  bool echo = false;
  bool stream = false;
  bool include_usage = false;
  // How the answer's text is read; chats only.
  std::string parser_family;
  std::vector<ToolSpec> tools;
  bool reasoning_open = false;

  size_t choices() const { return prompts.size() * n; }
};

// Answers of one request.
inline constexpr size_t kMaxChoices = 128;

// Reads the body of a request. Every field of the interface is honoured or refused by name; the
// error's param is the field. Tokenises, so it takes time linear in the body. Any thread.
std::optional<ApiError> ReadChatRequest(const LanguageModel& model, std::string_view body,
                                        GenerationRequest* request);
std::optional<ApiError> ReadCompletionRequest(const LanguageModel& model, std::string_view body,
                                              GenerationRequest* request);

}  // namespace pelton
