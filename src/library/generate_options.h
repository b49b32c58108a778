#pragma once

#include "base/status.h"
#include "pelton.h"
#include "serving/generate/generation_request.h"
#include "serving/model/language_model.h"

namespace pelton::library {

// A caller's options, with one prompt, as every interface's requests are: checked, in token ids,
// its grammar compiled. InvalidArgument naming the field; Unimplemented for grammars that are not
// supported.
Result<GenerationRequest> ReadGenerateOptions(const LanguageModel& model,
                                              const pelton_generate_options& given);

// A text of the caller's, null counted as empty; the size may be PELTON_WHOLE.
std::string_view TextOf(const char* text, size_t bytes);

// The text of a chat. InvalidArgument naming the argument.
Result<std::string> RenderChat(const LanguageModel& model, const char* messages_json,
                               const char* tools_json, const char* template_args_json,
                               bool add_generation_prompt);

}  // namespace pelton::library
