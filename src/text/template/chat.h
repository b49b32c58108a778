#pragma once

#include <optional>
#include <string>

#include "base/status.h"
#include "text/template/template.h"

namespace pelton::jinja {

// What a chat template is rendered with, as in transformers' apply_chat_template.
struct ChatInputs {
  Value messages;   // a list of dicts
  Value tools;      // a list of dicts, or none
  Value documents;  // likewise
  bool add_generation_prompt = true;
  std::string bos_token;
  std::string eos_token;
  // A dict of further variables (chat_template_kwargs), or none. They may replace every variable
  // but the messages.
  Value kwargs;
  std::optional<CivilTime> now;  // see RenderOptions
  TemplateLimits limits;
};

// The prompt. Fails like Template::Render; InvalidArgument too if an input has the wrong type.
Result<std::string> RenderChat(const Template& chat_template, const ChatInputs& inputs,
                               TemplateError* error = nullptr);

}  // namespace pelton::jinja
