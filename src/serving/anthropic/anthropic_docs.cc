#include "serving/anthropic/anthropic_docs.h"

namespace pelton {
namespace {

// Of answers and of counts.
constexpr FieldDocs kShared[] = {
    {"model", R"({"type":"string"})", "a name of /v1/models; without one the first"},
    {"messages", R"({"type":"array","minItems":1,"items":{"type":"object","properties":{"role":
      {"enum":["user","assistant","system"]},"content":{"type":["string","array"]}},
      "required":["role","content"],"additionalProperties":false}})",
     "the conversation; the last message is not the assistant's", true},
    {"system", R"({"type":["string","array"]})"},
    {"tools", R"({"type":"array","items":{"type":"object","required":["name","input_schema"]}})"},
    {"tool_choice", R"({"type":"object","properties":{"type":{"enum":["auto","any","tool","none"]}},
      "required":["type"]})"},
    {"thinking",
     R"({"type":"object","properties":{"type":{"enum":["enabled","disabled","adaptive"]}},
      "required":["type"]})"},
    {"output_config", R"({"type":"object"})"},
    {"cache_control", R"({"type":"object"})", "changes nothing: all prefixes are cached"},
    {"speed", R"({"enum":["standard"]})"},
};

constexpr FieldDocs kMessages[] = {
    {"max_tokens", R"({"type":"integer","minimum":0,"maximum":4294967295})", "", true},
    {"stream", R"({"type":"boolean"})"},
    {"temperature", R"({"type":"number","minimum":0,"maximum":100})"},
    {"top_p", R"({"type":"number","exclusiveMinimum":0,"maximum":1})"},
    {"top_k", R"({"type":"integer","minimum":0,"maximum":4294967295})"},
    {"stop_sequences", R"({"type":["string","array"],"items":{"type":"string"}})"},
    {"metadata", R"({"type":"object","properties":{"user_id":{"type":["string","null"]}},
      "additionalProperties":false})"},
    {"service_tier", R"({"enum":["auto","standard_only"]})"},
};

constexpr std::string_view kMessage = R"({"type":"object","required":["id","type","role","model",
  "content","stop_reason","usage"],"properties":{"type":{"const":"message"},
  "role":{"const":"assistant"},"content":{"type":"array","items":{"type":"object",
  "required":["type"]}},"usage":{"type":"object","required":["input_tokens","output_tokens"]}}})";

}  // namespace

std::vector<RouteDocs> AnthropicDocs() {
  return {{.method = "POST",
           .path = "/v1/messages",
           .summary = "The answer to a conversation, as Anthropic's interface gives it",
           .body = {kShared, kMessages},
           .answer = kMessage,
           .events = "text/event-stream"},
          {.method = "POST",
           .path = "/v1/messages/count_tokens",
           .summary = "How many tokens a conversation has",
           .body = {kShared},
           .answer = R"({"type":"object","required":["input_tokens"],
                         "properties":{"input_tokens":{"type":"integer"}}})"}};
}

}  // namespace pelton
