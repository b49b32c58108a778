#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "serving/anthropic/message_blocks.h"
#include "serving/anthropic/messages_request.h"
#include "serving/request/chat_messages.h"
#include "text_model.h"

// Any text as the body of a request to Anthropic's interface, to answer it and to count its tokens.
// Blocks that are accepted become messages that templates can rely on.

namespace pelton {
namespace {

void CheckBlocks(std::string_view body) {
  const Result<Json> json = ParseJson(body);
  if (!json.ok() || !json->is_object()) return;
  FieldReader reader(*json);
  const Json* system = reader.Find("system");
  Json messages;
  if (const Json* given = reader.Find("messages")) {
    ReadMessageBlocks(reader, system, *given, &messages);
    if (reader.ok()) {
      Check(!messages.empty() && messages.back()["role"] != "assistant");
      const bool many = messages.size() > 4096;
      Check(many || NormalizeMessages(&messages).message.empty());
      for (const Json& message : messages) {
        Check(message["role"] != "tool" || message["tool_call_id"].is_string());
      }
    }
  }
  FieldReader tools_reader(*json);
  Json functions;
  if (const Json* tools = tools_reader.Find("tools")) {
    ReadAnthropicTools(tools_reader, *tools, &functions);
    if (!tools_reader.ok()) return;
    for (const Json& tool : functions) {
      Check(!tool["function"]["name"].get_ref<const std::string&>().empty());
      Check(tool["function"]["parameters"].is_object());
    }
  }
}

void RunOne(std::string_view body) {
  CheckBlocks(body);
  MessagesRequest request, counted;
  const std::optional<ApiError> error = ReadMessagesRequest(TextModel(), body, false, &request);
  const std::optional<ApiError> refused = ReadMessagesRequest(TextModel(), body, true, &counted);
  if (refused) CheckRefusal(*refused, body);
  if (error) return CheckRefusal(*error, body);
  CheckGeneration(request.generation);
  Check(request.generation.params.max_tokens.has_value());
  // Of fields that both know they say the same.
  if (!refused) Check(counted.generation.prompts == request.generation.prompts);
}

}  // namespace
}  // namespace pelton

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  pelton::RunOne({reinterpret_cast<const char*>(data), size});
  return 0;
}
