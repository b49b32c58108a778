#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "serving/generate/generation_request.h"

namespace pelton {

struct OllamaRequest {
  bool chat = true;   // /api/chat, else /api/generate
  std::string model;  // as the client named it, without ":latest"
  bool stream = true;
  bool show_thinking = true;
  bool only_load = false;                // nothing is asked: the model is to be there
  std::optional<int64_t> keep_alive_ns;  // after the answer; 0: not at all, below 0: for ever
  GenerationRequest generation;
};

// Reads the body of /api/chat or /api/generate. Every field is honoured or refused by name; a
// prompt beyond options.num_ctx is refused, never cut. Tokenises, so it takes time linear in the
// body. Any thread.
std::optional<ApiError> ReadOllamaRequest(const LanguageModel& model, std::string_view body,
                                          bool chat, OllamaRequest* request);

// A request that asks for nothing but that its model goes (keep_alive is 0).
bool OnlyUnloads(std::string_view body);

// The time that "keep_alive" states, as a number of seconds or a duration; absent: it states none.
void ReadKeepAlive(FieldReader& reader, std::optional<int64_t>* ns);

// "smollm2" of "smollm2:latest".
std::string WithoutLatest(std::string name);

}  // namespace pelton
