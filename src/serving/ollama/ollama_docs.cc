#include "serving/ollama/ollama_docs.h"

namespace pelton {
namespace {

constexpr FieldDocs kShared[] = {
    {"model", R"({"type":"string","minLength":1})", "a name of /api/tags", true},
    {"stream", R"({"type":"boolean"})", "true unless it is said otherwise"},
    {"think", R"({"type":["boolean","string"]})"},
    {"format", R"({"type":["string","object"]})", "\"json\" or a JSON schema"},
    {"keep_alive", "{}", "changes nothing"},
    {"options", R"({"type":"object"})", "num_predict, num_ctx, temperature, …"},
};

constexpr FieldDocs kChat[] = {
    {"messages", R"({"type":"array","items":{"type":"object","properties":{"role":
      {"enum":["system","user","assistant","tool","developer","function"]}},
      "required":["role"]}})"},
    {"tools", R"({"type":"array","items":{"type":"object","required":["type","function"]}})"},
};

constexpr FieldDocs kGenerate[] = {
    {"prompt", R"({"type":"string"})"},
    {"system", R"({"type":"string"})"},
    {"raw", R"({"type":"boolean"})", "without the model's template"},
    {"suffix", R"({"enum":[""]})", "no model fills in the middle"},
    {"template", R"({"enum":[""]})", "the model's own is used"},
    {"context", R"({"enum":["",[]]})", "send the conversation to /api/chat"},
    {"images", R"({"enum":["",[]]})", "the model reads none"},
};

constexpr FieldDocs kShow[] = {
    {"model", R"({"type":"string"})"},
    {"name", R"({"type":"string"})"},
    {"verbose", R"({"type":"boolean"})"},
};

constexpr FieldDocs kPull[] = {
    {"model", R"({"type":"string"})", "hf.co/USER/REPO:QUANT"},
    {"name", R"({"type":"string"})", "the same"},
    {"stream", R"({"type":"boolean"})", "true unless it is said otherwise"},
    {"insecure", R"({"enum":[false]})"},
};

constexpr FieldDocs kCopy[] = {
    {"source", R"({"type":"string","minLength":1})", "a name in the store", true},
    {"destination", R"({"type":"string","minLength":1})", "another name for it", true},
};

constexpr FieldDocs kDelete[] = {
    {"model", R"({"type":"string"})", "a name in the store"},
    {"name", R"({"type":"string"})", "the same"},
};

constexpr std::string_view kAnswer =
    R"({"type":"object","required":["model","created_at","done"],
        "properties":{"model":{"type":"string"},"done":{"const":true}}})";
constexpr std::string_view kModels =
    R"({"type":"object","required":["models"],"properties":{"models":{"type":"array"}}})";

}  // namespace

std::vector<RouteDocs> OllamaDocs() {
  return {{.method = "POST",
           .path = "/api/chat",
           .summary = "The answer to a conversation, as Ollama's interface gives it",
           .body = {kShared, kChat},
           .answer = kAnswer,
           .events = "application/x-ndjson"},
          {.method = "POST",
           .path = "/api/generate",
           .summary = "The answer to a prompt",
           .body = {kShared, kGenerate},
           .answer = kAnswer,
           .events = "application/x-ndjson"},
          {.method = "POST",
           .path = "/api/show",
           .summary = "About one model",
           .body = {kShow},
           .answer = R"({"type":"object","required":["details","model_info","capabilities"]})"},
          {.method = "GET", .path = "/api/tags", .summary = "What is served", .answer = kModels},
          {.method = "GET", .path = "/api/ps", .summary = "What is in memory", .answer = kModels},
          {.method = "GET",
           .path = "/api/version",
           .summary = "The program's version",
           .answer = R"({"type":"object","required":["version"]})"}};
}

std::vector<RouteDocs> StoreDocs() {
  return {{.method = "POST",
           .path = "/api/pull",
           .summary = "Fetches a model into the store and serves it",
           .body = {kPull},
           .answer = R"({"type":"object","required":["status"]})",
           .events = "application/x-ndjson"},
          {.method = "POST",
           .path = "/api/copy",
           .summary = "Another name for a model of the store",
           .body = {kCopy}},
          {.method = "DELETE",
           .path = "/api/delete",
           .summary = "Takes a model out of the store",
           .body = {kDelete}},
          {.method = "POST", .path = "/api/create", .summary = "Is refused"},
          {.method = "POST", .path = "/api/push", .summary = "Is refused"}};
}

}  // namespace pelton
