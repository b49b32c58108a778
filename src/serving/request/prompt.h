#pragma once

#include <memory>
#include <string>
#include <vector>

#include "runtime/engine/request.h"
#include "serving/model/language_model.h"
#include "serving/request/field_reader.h"

namespace pelton {

// The ids of a prompt that is not a chat: the text with BOS where the model wants it.
std::vector<int32_t> EncodeRaw(const LanguageModel& model, std::string_view text);

// A chat as the OpenAI interface states it.
struct ChatPrompt {
  Json messages;  // an array of messages
  Json tools;     // an array of tools, or null
  Json kwargs;    // an object of further variables for the template, or null
  bool add_generation_prompt = true;
};

// The text of a chat in the model's form. InvalidArgument if the model has none (then a prompt must
// be given raw) or if its template refuses the messages, with the reason.
Result<std::string> RenderPrompt(const LanguageModel& model, const ChatPrompt& chat);

// The ids of RenderPrompt; the template writes BOS itself where the model wants it.
Result<std::vector<int32_t>> EncodeChat(const LanguageModel& model, const ChatPrompt& chat);

// Decoder for stop strings and text; null if the model has no vocabulary. `skip_special` leaves
// control tokens out of the text.
std::unique_ptr<TextDecoder> MakeTextDecoder(const LanguageModel& model, bool skip_special = true);

}  // namespace pelton
