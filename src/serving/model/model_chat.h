#pragma once

#include <optional>
#include <string>

#include "base/status.h"
#include "models/weights/model_files.h"
#include "text/template/chat_format.h"

namespace pelton {

// How the chats of a model are written, and the calls in its answers.
struct ModelChat {
  std::optional<jinja::ChatFormat> format;  // nothing: prompts have to be given raw
  std::string parser_family;                // of OutputParserFamilies(); empty: no calls are known
};

// By the chat template of the model's files. DeepSeek-V3.2 and V4 come without one, and have a form
// in code if there is a vocabulary. InvalidArgument if the template is none.
Result<ModelChat> ChatOf(const ModelFiles& files);

}  // namespace pelton
