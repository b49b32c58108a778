#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "text/parsers/output_parser.h"

namespace pelton {

// The message that deltas add up to.
struct ParsedMessage {
  struct Call {
    std::string id, name, arguments;
    bool operator==(const Call&) const = default;
  };
  std::string content, reasoning;
  std::vector<Call> calls;
  bool operator==(const ParsedMessage&) const = default;

  void Add(const OutputDelta& delta) {
    content += delta.content;
    reasoning += delta.reasoning;
    for (const OutputDelta::Call& call : delta.calls) {
      PELTON_CHECK(call.index <= calls.size(), "calls come in their order");
      if (call.index == calls.size()) {
        PELTON_CHECK(!call.name.empty(), "the first delta of a call names it");
        calls.push_back({.id = call.id, .name = call.name});
      }
      calls[call.index].arguments += call.arguments;
    }
  }
};

// Parses `text` to its end, cut at the ascending offsets `cuts`.
inline ParsedMessage ParseInChunks(OutputParser& parser, std::string_view text,
                                   const std::vector<size_t>& cuts = {}) {
  ParsedMessage message;
  size_t begin = 0;
  const auto feed = [&](size_t end) {
    OutputDelta delta;
    parser.Feed(text.substr(begin, end - begin), &delta);
    message.Add(delta);
    begin = end;
  };
  for (const size_t cut : cuts) feed(cut);
  feed(text.size());
  OutputDelta delta;
  parser.Finish(&delta);
  message.Add(delta);
  return message;
}

}  // namespace pelton
