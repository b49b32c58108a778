#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "net/http/server.h"
#include "serving/model/language_model.h"

namespace pelton {

// /tokenize and /detokenize, in vLLM's and llama.cpp's forms: a prompt (or content) or messages to
// tokens, and tokens to a prompt (content).
void AnswerTokenize(const LanguageModel& model, std::string_view body, HttpResponse& response);
void AnswerDetokenize(const LanguageModel& model, std::string_view body, HttpResponse& response);

// An entry of /v1/models.
std::string ModelJson(const LanguageModel& model, std::string_view name);

}  // namespace pelton
