#pragma once

#include <string>
#include <vector>

#include "text/parsers/output_parser.h"

namespace pelton {

// What the deltas of one choice came to.
struct AnswerText {
  struct Call {
    std::string id;
    std::string name;
    std::string arguments;  // the text of a JSON object
  };
  std::string content;
  std::string reasoning;
  std::vector<Call> calls;

  void Append(const OutputDelta& delta);
};

}  // namespace pelton
