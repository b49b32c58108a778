#include "serving/generate/engine_request.h"

#include <optional>
#include <string_view>

#include "serving/generate/output_grammar.h"
#include "serving/generate/reasoning_marks.h"
#include "serving/request/prompt.h"

namespace pelton {
namespace {

// Whether the text must show control tokens because the markup that the parser reads, and takes out
// again, may be made of them.
bool NeedsControlTokens(const LanguageModel& model, const GenerationRequest& request) {
  if (!request.format) return false;
  if (!request.format->tools.empty()) return true;
  const auto is_control = [&](std::string_view marker) {
    const std::optional<int32_t> id = model.tokenizer->TokenId(marker);
    return id && model.tokenizer->IsSpecial(*id);
  };
  return is_control("<think>") || is_control("[THINK]") || is_control("<|channel|>");
}

}  // namespace

Request EngineRequest(const LanguageModel& model, const GenerationRequest& request, size_t choice) {
  Request asked;
  asked.prompt_ids = request.prompts[choice / request.n];
  asked.params = request.params;
  // Answers to one prompt must differ, and be the same each time that a seed is given.
  if (asked.params.seed) *asked.params.seed += choice;
  asked.service_class = request.terms.service_class;
  asked.first_token_within_ns = request.terms.first_token_within_ns;
  asked.decoder = MakeTextDecoder(model, !NeedsControlTokens(model, request));
  if (request.thinking_budget && request.format) {
    asked.reasoning_budget = MakeReasoningBudget(model, *request.format, *request.thinking_budget);
  }
  if (request.grammar) asked.constraint = MakeConstraint(request.grammar, *model.tokenizer);
  return asked;
}

}  // namespace pelton
