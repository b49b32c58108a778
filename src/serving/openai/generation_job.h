#pragma once

#include <memory>

#include "net/http/server.h"
#include "serving/model/language_model.h"
#include "serving/openai/generation_request.h"

namespace pelton {

// Runs a request on the model's engine and answers it, whole or as a stream of events, from the
// engine's thread. Ends the engine's work when the client leaves. Errors before the first token are
// answers of their own; later ones are an error event after which the connection is closed. The
// model must outlive the answer. Any thread but the engine's; does not wait.
void StartGeneration(const LanguageModel& model, GenerationRequest request,
                     std::shared_ptr<HttpResponse> response);

}  // namespace pelton
