#include <simdjson.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "serving/request/chat_messages.h"
#include "serving/request/sampling_fields.h"

// Any text as the body of a request. What is accepted as JSON a second parser accepts too, and the
// other way round; what is accepted as messages or tools has the form that templates and parsers
// rely on; a failure names its field and has a message.

namespace pelton {
namespace {

void Check(bool condition) {
  if (!condition) __builtin_trap();
}

// The second parser knows neither numbers beyond 64 bits nor all depths; ours refuses what is
// nested deeper than 64.
void CompareParsers(std::string_view text, bool accepted) {
  simdjson::dom::parser parser;
  const simdjson::error_code error = parser.parse(simdjson::padded_string(text)).error();
  switch (error) {
    case simdjson::SUCCESS:
      // Too many members for ours take four bytes each.
      Check(accepted || text.size() > 4 * 4096 ||
            std::count_if(text.begin(), text.end(), [](char c) { return c == '[' || c == '{'; }) >
                64);
      return;
    case simdjson::NUMBER_ERROR:
    case simdjson::DEPTH_ERROR:
    case simdjson::CAPACITY:
    case simdjson::MEMALLOC:
      return;
    default:
      Check(!accepted);
  }
}

void CheckMessages(Json messages) {
  const MessageProblem problem = NormalizeMessages(&messages);
  if (!problem.message.empty()) {
    Check(problem.param.rfind("messages", 0) == 0);
    return;
  }
  for (const Json& message : messages) {
    Check(message["role"].is_string() && message["content"].is_string());
    if (!message.contains("tool_calls") || message["tool_calls"].is_null()) continue;
    for (const Json& call : message["tool_calls"]) {
      Check(call["function"]["name"].is_string());
      Check(!call["function"].contains("arguments") || call["function"]["arguments"].is_object());
    }
  }
}

void RunOne(std::string_view text) {
  const Result<Json> json = ParseJson(text);
  CompareParsers(text, json.ok());
  if (!json.ok()) return;
  Check(ParseJson(ToText(*json)).ok());
  if (!json->is_object()) return;
  FieldReader reader(*json);
  SamplingParams params;
  ReadSamplingFields(reader, &params);
  std::string name;
  bool stream = false;
  reader.String("model", &name);
  reader.Bool("stream", &stream);
  if (const Json* messages = reader.Find("messages")) CheckMessages(*messages);
  if (const Json* tools = reader.Find("tools")) {
    std::vector<ToolSpec> specs;
    if (CheckTools(*tools, &specs).empty()) {
      for (const ToolSpec& spec : specs) {
        Check(spec.parameters_json.empty() || ParseJson(spec.parameters_json)->is_object());
      }
    }
  }
  if (reader.ok()) {
    // What passes the second check is in range; nothing may trap on the way.
    (void)params.Validate(1000);
  }
  reader.RefuseUnknown();
  Check(reader.ok() || (!reader.failed_field().empty() && !reader.status().message().empty()) ||
        json->contains(""));
}

}  // namespace
}  // namespace pelton

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  pelton::RunOne({reinterpret_cast<const char*>(data), size});
  return 0;
}
