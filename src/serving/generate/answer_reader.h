#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "base/status.h"
#include "serving/generate/generation_request.h"
#include "text/parsers/output_parser.h"

namespace pelton {

// Reads the text of one answer, as it comes, into content, reasoning and calls. One thread at a
// time.
class AnswerReader {
 public:
  // InvalidArgument if the parameters of a tool are not a JSON object.
  static Result<AnswerReader> Create(const GenerationRequest& request);

  // What `text` makes certain; `last`: nothing follows. Calls that the model gave no id get one.
  OutputDelta Read(std::string_view text, bool last);

 private:
  AnswerReader(std::unique_ptr<OutputParser> parser, std::string call_id_prefix)
      : parser_(std::move(parser)), call_id_prefix_(std::move(call_id_prefix)) {}

  std::unique_ptr<OutputParser> parser_;  // null: the text is content as it is
  std::string call_id_prefix_;
};

}  // namespace pelton
