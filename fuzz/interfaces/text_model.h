#pragma once

#include <optional>
#include <string_view>

#include "serving/generate/generation_request.h"
#include "serving/model/language_model.h"

namespace pelton {

void Check(bool condition);

// A model of bytes whose template knows tools and reasoning; it has no weights and no engine. Made
// once.
const LanguageModel& TextModel();

// A refusal says in few words what is wrong, and names a field unless the body as a whole is.
void CheckRefusal(const ApiError& error, std::string_view body);

// What an accepted request to generate promises to those who run it.
void CheckGeneration(const GenerationRequest& request);

}  // namespace pelton
