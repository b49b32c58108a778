#include "serving/generate/answer_text.h"

namespace pelton {

void AnswerText::Append(const OutputDelta& delta) {
  content += delta.content;
  reasoning += delta.reasoning;
  for (const OutputDelta::Call& call : delta.calls) {
    if (call.index >= calls.size()) calls.push_back({call.id, call.name, ""});
    calls[call.index].arguments += call.arguments;
  }
}

}  // namespace pelton
