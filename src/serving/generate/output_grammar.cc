#include "serving/generate/output_grammar.h"

#include <utility>

#include "serving/generate/reasoning_marks.h"
#include "serving/generate/tool_grammar.h"
#include "text/grammar/foresight.h"

namespace pelton {
namespace {

class GrammarConstraint final : public OutputConstraint {
 public:
  GrammarConstraint(std::shared_ptr<const CompiledGrammar> grammar, const Tokenizer& tokenizer)
      : matcher_(std::move(grammar)), foresight_(tokenizer) {}
  bool FillMask(std::span<uint32_t> mask) override { return matcher_.FillMask(mask); }
  bool Accept(int32_t id) override { return matcher_.Accept(id); }
  void Retract(size_t count) override { matcher_.Retract(count); }
  bool MayEnd() const override { return matcher_.IsComplete(); }
  size_t Foresee(std::span<const uint32_t> mask, std::span<int32_t> ids) override {
    return foresight_.Look(matcher_, mask, ids);
  }

 private:
  GrammarMatcher matcher_;
  GrammarForesight foresight_;
};

// The reasoning that comes first, as a structural tag's format; null if there is none.
Json ReasoningBefore(const LanguageModel& model, const OutputFormat& format) {
  if (format.family == "gpt-oss") return nullptr;
  const std::optional<ReasoningMarks> marks = ReasoningMarksOf(model, format);
  if (!marks) return nullptr;
  Json reasoning = {{"type", "sequence"},
                    {"elements",
                     {{{"type", "tag"},
                       {"begin", format.reasoning_open ? Json("") : Marker(model, marks->begin)},
                       {"content", {{"type", "any_text"}}},
                       {"end", Marker(model, marks->end)}},
                      {{"type", "regex"}, {"pattern", "[ \\n]{0,4}"}}}}};
  if (reasoning["elements"][0]["end"].is_object()) {
    // Text that ends with a control token is any tokens but that one.
    reasoning["elements"][0]["content"] = {{"type", "any_tokens"}};
  }
  if (format.reasoning_open) return reasoning;
  return {{"type", "optional"}, {"content", std::move(reasoning)}};
}

}  // namespace

std::optional<ApiError> CompileOutput(const LanguageModel& model, GenerationRequest* request) {
  const bool calls = request->format && !request->format->tools.empty() &&
                     NeedsGrammar(request->tool_choice, *request->format);
  if (!request->constraint && !calls) return std::nullopt;
  if (request->constraint && calls) {
    return ApiError{.message = "tool_choice: with " + request->constraint_field +
                               " only \"auto\" and \"none\" are possible",
                    .param = "tool_choice"};
  }
  const std::string field = calls ? "tools" : request->constraint_field;
  GrammarSource source;
  if (request->constraint) source = *request->constraint;
  if (request->format) {
    const Json reasoning = ReasoningBefore(model, *request->format);
    if (!reasoning.is_null()) source.before = ToText(reasoning);
  }
  if (!calls) {
    auto compiled = model.grammars().Compile(source);
    if (!compiled.ok()) return ApiErrorOf(compiled.status(), field);
    request->grammar = std::move(compiled).value();
    return std::nullopt;
  }
  source.kind = GrammarSource::Kind::kStructuralTag;
  bool strict = false;
  for (const ToolSpec& tool : request->format->tools) strict |= tool.strict;
  for (const bool whole : {true, false}) {
    Result<Json> format = CallFormat(model, request->tool_choice, whole, &*request->format);
    if (!format.ok()) return ApiErrorOf(format.status(), "tool_choice");
    source.text = ToText({{"type", "structural_tag"}, {"format", *std::move(format)}});
    auto compiled = model.grammars().Compile(source);
    if (compiled.ok()) {
      request->grammar = std::move(compiled).value();
      return std::nullopt;
    }
    // Arguments of tools that are not strict may be any object if their schema is not supported.
    if (strict || !whole) return ApiErrorOf(compiled.status(), field);
  }
  return std::nullopt;
}

std::unique_ptr<OutputConstraint> MakeConstraint(std::shared_ptr<const CompiledGrammar> grammar,
                                                 const Tokenizer& tokenizer) {
  return std::make_unique<GrammarConstraint>(std::move(grammar), tokenizer);
}

}  // namespace pelton
