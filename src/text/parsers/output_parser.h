#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace pelton {

// A tool of the request. `parameters_json` is the JSON schema of its arguments, an object; empty if
// the tool takes none. It gives the arguments' types where the model writes them as plain text.
struct ToolSpec {
  std::string name;
  std::string parameters_json;
  bool strict = false;  // the arguments must follow their schema
};

// What became certain: text to append, and calls to append or to add. Fields grow only; a caller
// clears the object between two uses as it likes.
struct OutputDelta {
  struct Call {
    size_t index;           // of the call in the message, from 0
    std::string id;         // as the model wrote it; empty in families whose calls have none
    std::string name;       // only in the first delta of a call; never empty there
    std::string arguments;  // JSON text to append; all deltas together are one JSON object
  };
  std::string content;
  std::string reasoning;
  std::vector<Call> calls;
};

// Splits the text that a model writes, special tokens included, into reasoning, content and tool
// calls. The message does not depend on how the text is cut into chunks: it is a function of the
// bytes, each of which is looked at as it comes.
//
// Content is given as soon as it cannot be the beginning of markup, and in whole characters if the
// chunks are. A call is given whole, when its last argument is complete: until then it may turn out
// to be text, and markup that is no well-formed call stays in the content, every byte of it. Time
// is linear in the text and the memory at most proportional to it. One thread at a time.
class OutputParser {
 public:
  virtual ~OutputParser() = default;
  // Appends to `out` what `text`, UTF-8, makes certain.
  virtual void Feed(std::string_view text, OutputDelta* out) = 0;
  // The text is over: appends what was held back. Nothing may follow.
  virtual void Finish(OutputDelta* out) = 0;
};

// `family` is one of OutputParserFamilies(); "" and "none" read no calls. Without tools no family
// does. Whatever the family, a message that begins with <think> (in Mistral's: [THINK]) has
// reasoning; gpt-oss has channels instead. `reasoning_open`: the prompt ends inside the reasoning,
// so the text begins there.
// kInvalidArgument: an unknown family, or parameters that are not a JSON object.
Result<std::unique_ptr<OutputParser>> MakeOutputParser(std::string_view family,
                                                       std::span<const ToolSpec> tools,
                                                       bool reasoning_open);

// All families that read calls, in the order of the documentation.
std::span<const std::string_view> OutputParserFamilies();

// The family of the calls that a chat template writes, by the markers in its text; "" if none is
// recognised.
std::string_view FamilyOfTemplate(std::string_view chat_template);

}  // namespace pelton
