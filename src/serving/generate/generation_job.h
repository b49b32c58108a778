#pragma once

#include <memory>

#include "serving/api/route.h"
#include "serving/generate/answer_writer.h"
#include "serving/generate/generation_request.h"
#include "serving/model/language_model.h"

namespace pelton {

// Runs a request on the model's engine and tells the writer what it comes to. Ends the engine's
// work when the client leaves. Tokens are set aside for the call's tenant, and paid for as they
// are used: a prompt when the first of its answers starts, an answer token by token. The model must
// outlive the answer. Any thread but the engine's; does not wait.
void StartGeneration(const LanguageModel& model, GenerationRequest request, const ApiCall& call,
                     std::unique_ptr<AnswerWriter> writer);

}  // namespace pelton
