#include "serving/responses/response_docs.h"

namespace pelton {
namespace {

// Of what is answered and of what is counted alike.
constexpr FieldDocs kAsked[] = {
    {"model", R"({"type":"string"})", "a name of /v1/models; without one the first"},
    {"input", R"({"type":["string","array"]})", "a text, or items: messages, calls, their results",
     true},
    {"instructions", R"({"type":"string"})", "what stands before the conversation"},
    {"previous_response_id", R"({"type":"string"})", "a stored response that this one follows"},
    {"truncation", R"({"enum":["auto","disabled"]})"},
    {"text",
     R"({"type":"object","properties":{"format":{"type":["object","null"],"properties":{"type":
      {"enum":["text","json_object","json_schema"]}},"required":["type"]}}})",
     "what the answer must be"},
    {"tools", R"({"type":"array","items":{"type":"object","required":["type","name"]}})",
     "functions that the model may call"},
    {"tool_choice", R"({"anyOf":[{"enum":["auto","none","required"]},{"type":"object"}]})"},
    {"parallel_tool_calls", R"({"type":"boolean"})"},
    {"reasoning", R"({"type":"object"})"},
};

constexpr FieldDocs kAnswered[] = {
    {"stream", R"({"type":"boolean"})", "events as the response grows"},
    {"background", R"({"type":"boolean"})", "goes on when its client leaves; must be stored"},
    {"store", R"({"type":"boolean"})", "kept for previous_response_id and GET; true if absent"},
    {"max_output_tokens", R"({"type":"integer","minimum":0,"maximum":4294967295})"},
    {"temperature", R"({"type":"number","minimum":0,"maximum":100})", "0: the likeliest token"},
    {"top_p", R"({"type":"number","exclusiveMinimum":0,"maximum":1})"},
    {"top_logprobs", R"({"type":"integer","minimum":0,"maximum":20})"},
    {"metadata", R"({"type":"object","additionalProperties":{"type":"string","maxLength":512},
      "maxProperties":16,"propertyNames":{"maxLength":64}})",
     "comes back with the response"},
    {"service_tier", R"({"enum":["auto","default","priority","flex"]})"},
    {"user", R"({"type":"string"})", "changes nothing"},
};

constexpr std::string_view kResponse = R"({"type":"object","required":
  ["id","object","created_at","status","model","output"],"properties":{"id":{"type":"string"},
  "object":{"const":"response"},"status":{"enum":["completed","incomplete","failed","in_progress",
  "queued","cancelled"]},"output":{"type":"array","items":{"type":"object","required":["type"]}}}})";

}  // namespace

std::vector<RouteDocs> ResponseDocs() {
  return {{.method = "POST",
           .path = "/responses",
           .summary = "The next part of a conversation, which is stored",
           .body = {kAsked, kAnswered},
           .answer = kResponse,
           .events = "text/event-stream"},
          {.method = "POST",
           .path = "/responses/input_tokens",
           .summary = "How many tokens a response would read",
           .body = {kAsked},
           .answer = R"({"type":"object","required":["object","input_tokens"]})"},
          {.method = "GET",
           .path = "/responses/*",
           .summary = "A stored response, or with /input_items behind its name what it was asked"},
          {.method = "POST",
           .path = "/responses/*",
           .summary = "With /cancel behind its name: ends a response in the background"},
          {.method = "DELETE", .path = "/responses/*", .summary = "Forgets a stored response"}};
}

}  // namespace pelton
