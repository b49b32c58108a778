#pragma once

#include <string>
#include <string_view>

#include "base/status.h"
#include "serving/model/language_model.h"

namespace pelton {

// The prompt for the assistant's next message: `messages_json`, a JSON array of messages as in the
// OpenAI interface, through the model's chat template. InvalidArgument if the model has no template
// (then a prompt must be given raw) or if the template refuses the messages, with its reason.
Result<std::string> RenderMessages(const LanguageModel& model, std::string_view messages_json);

}  // namespace pelton
