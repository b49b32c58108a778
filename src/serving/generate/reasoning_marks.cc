#include "serving/generate/reasoning_marks.h"

namespace pelton {

std::optional<ReasoningMarks> ReasoningMarksOf(const LanguageModel& model,
                                               const OutputFormat& format) {
  if (format.family == "gpt-oss") {
    return ReasoningMarks{.begin = "<|channel|>analysis<|message|>",
                          .end = "<|end|>",
                          .closing = "<|end|><|start|>assistant<|channel|>final<|message|>"};
  }
  const bool bracket = format.family.starts_with("mistral");
  ReasoningMarks marks{.begin = bracket ? "[THINK]" : "<think>",
                       .end = bracket ? "[/THINK]" : "</think>",
                       .closing = {}};
  if (format.reasoning_open) {
    marks.begin.clear();
  } else if (!model.chat.format) {
    return std::nullopt;
  } else if (model.chat.format->chat_template() != nullptr &&
             model.files.chat_template.find(marks.end) == std::string::npos) {
    return std::nullopt;
  }
  marks.closing = "\n" + marks.end + "\n\n";
  return marks;
}

std::optional<ReasoningBudget> MakeReasoningBudget(const LanguageModel& model,
                                                   const OutputFormat& format, size_t tokens) {
  const std::optional<ReasoningMarks> marks = ReasoningMarksOf(model, format);
  if (!marks) return std::nullopt;
  const auto ids = [&](const std::string& text) {
    return model.tokenizer->Encode(text, {.parse_special = true, .add_special = false});
  };
  ReasoningBudget budget{.tokens = tokens,
                         .begin = ids(marks->begin),
                         .end = ids(marks->end),
                         .closing = ids(marks->closing)};
  // A vocabulary that cannot write the marks cannot reason.
  if (budget.end.empty() || budget.closing.empty()) return std::nullopt;
  if (budget.begin.empty() && !format.reasoning_open) return std::nullopt;
  return budget;
}

}  // namespace pelton
