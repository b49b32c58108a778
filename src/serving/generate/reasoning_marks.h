#pragma once

#include <optional>
#include <string>

#include "runtime/engine/reasoning_limit.h"
#include "serving/generate/generation_request.h"

namespace pelton {

// What stands around a model's reasoning.
struct ReasoningMarks {
  std::string begin;    // empty: the prompt ends inside the reasoning
  std::string end;      // as the model writes it
  std::string closing;  // ends it, and begins the answer
};

// Empty where the model's template knows no reasoning.
std::optional<ReasoningMarks> ReasoningMarksOf(const LanguageModel& model,
                                               const OutputFormat& format);

// For the engine: at most `tokens` of reasoning. Empty as above.
std::optional<ReasoningBudget> MakeReasoningBudget(const LanguageModel& model,
                                                   const OutputFormat& format, size_t tokens);

}  // namespace pelton
