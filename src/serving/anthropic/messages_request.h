#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "serving/generate/generation_request.h"

namespace pelton {

struct MessagesRequest {
  std::string model;  // as the client named it
  bool stream = false;
  bool show_thinking = true;  // what the model reasons is part of the answer
  GenerationRequest generation;
};

// Reads the body of /v1/messages, or with `counting` that of /v1/messages/count_tokens. Every field
// is honoured or refused by name. Tokenises, so it takes time linear in the body. Any thread.
std::optional<ApiError> ReadMessagesRequest(const LanguageModel& model, std::string_view body,
                                            bool counting, MessagesRequest* request);

}  // namespace pelton
