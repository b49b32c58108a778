#pragma once

#include <string>

#include "serving/api/route.h"
#include "serving/generate/served_model.h"
#include "serving/model/language_model.h"

namespace pelton {

// /tokenize and /detokenize, in vLLM's and llama.cpp's forms: a prompt (or content) or messages to
// tokens, and tokens to a prompt (content).
void AnswerTokenize(const LanguageModel& model, const ApiCall& call);
void AnswerDetokenize(const LanguageModel& model, const ApiCall& call);

// An entry of /v1/models.
std::string ModelJson(const ListedModel& listed);

}  // namespace pelton
