#include "serving/generate/answer_reader.h"

#include "serving/api/unique_id.h"

namespace pelton {

Result<AnswerReader> AnswerReader::Create(const GenerationRequest& request) {
  if (!request.format) return AnswerReader(nullptr, {});
  const OutputFormat& format = *request.format;
  ASSIGN_OR_RETURN(std::unique_ptr<OutputParser> parser,
                   MakeOutputParser(format.family, format.tools, format.reasoning_open));
  return AnswerReader(std::move(parser), request.call_id_prefix);
}

OutputDelta AnswerReader::Read(std::string_view text, bool last) {
  OutputDelta delta;
  if (parser_ == nullptr) {
    delta.content = text;
    return delta;
  }
  parser_->Feed(text, &delta);
  if (last) parser_->Finish(&delta);
  for (OutputDelta::Call& call : delta.calls) {
    if (!call.name.empty() && call.id.empty()) call.id = UniqueId(call_id_prefix_);
  }
  return delta;
}

}  // namespace pelton
