#pragma once

#include <memory>
#include <optional>
#include <string>

#include "runtime/sample/output_constraint.h"
#include "serving/api/api_error.h"
#include "serving/generate/generation_request.h"
#include "text/grammar/grammar.h"

namespace pelton {

// Compiles what the request's output must be: its grammar, or what its tools and their choice come
// to. With a model that reasons, the grammar begins after the reasoning. Nothing happens without
// either. Takes up to some seconds for the largest grammars, so it is for the thread that reads
// requests.
std::optional<ApiError> CompileOutput(const LanguageModel& model, GenerationRequest* request);

// A fresh output of a compiled grammar, for the engine. Borrows the tokenizer.
std::unique_ptr<OutputConstraint> MakeConstraint(std::shared_ptr<const CompiledGrammar> grammar,
                                                 const Tokenizer& tokenizer);

}  // namespace pelton
