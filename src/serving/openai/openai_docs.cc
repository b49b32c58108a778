#include "serving/openai/openai_docs.h"

namespace pelton {
namespace {

// Of chats and completions alike.
constexpr FieldDocs kShared[] = {
    {"model", R"({"type":"string"})", "a name of /v1/models; without one the first"},
    {"stream", R"({"type":"boolean"})", "events as the answer grows"},
    {"stream_options",
     R"({"type":"object","properties":{"include_usage":{"type":["boolean","null"]},
      "include_obfuscation":{"type":["boolean","null"]}},"additionalProperties":false})",
     "only with stream"},
    {"n", R"({"type":"integer","minimum":1,"maximum":128})", "answers to each prompt"},
    {"max_tokens", R"({"type":"integer","minimum":0,"maximum":4294967295})"},
    {"min_tokens", R"({"type":"integer","minimum":0,"maximum":4294967295})"},
    {"temperature", R"({"type":"number","minimum":0,"maximum":100})", "0: the likeliest token"},
    {"top_p", R"({"type":"number","exclusiveMinimum":0,"maximum":1})"},
    {"top_k", R"({"type":"integer","minimum":0,"maximum":4294967295})", "0: all"},
    {"min_p", R"({"type":"number","minimum":0,"maximum":1})"},
    {"typical_p", R"({"type":"number","exclusiveMinimum":0,"maximum":1})"},
    {"repetition_penalty", R"({"type":"number","minimum":0,"maximum":100})"},
    {"presence_penalty", R"({"type":"number","minimum":-100,"maximum":100})"},
    {"frequency_penalty", R"({"type":"number","minimum":-100,"maximum":100})"},
    {"penalty_window", R"({"type":"integer","minimum":-1,"maximum":2147483647})",
     "tokens that penalties look at; -1: all"},
    {"logit_bias", R"({"type":"object","additionalProperties":
      {"type":"number","minimum":-100,"maximum":100}})",
     "from token ids to what is added"},
    {"seed", R"({"type":"integer","minimum":0})", "equal seeds give equal answers"},
    {"stop", R"({"type":["string","array"],"items":{"type":"string"}})",
     "texts that end the answer"},
    {"stop_ids", R"({"type":"array","items":{"type":"integer","minimum":0}})"},
    {"stop_token_ids", R"({"type":"array","items":{"type":"integer","minimum":0}})"},
    {"ignore_eos", R"({"type":"boolean"})"},
    {"response_format", R"({"type":"object","properties":{"type":{"enum":
      ["text","json_object","json_schema","structural_tag"]}},"required":["type"]})",
     "what the answer must be"},
    {"guided_json", R"({"type":["object","string","boolean"]})", "a JSON schema"},
    {"guided_regex", R"({"type":"string"})"},
    {"guided_choice", R"({"type":"array","items":{"type":"string"}})"},
    {"guided_grammar", R"({"type":"string"})", "GBNF"},
    {"structured_outputs", R"({"type":"object"})"},
    {"grammar", R"({"type":"string"})", "GBNF"},
    {"json_schema", R"({"type":["object","string","boolean"]})"},
    {"service_tier", R"({"enum":["auto","default","priority","flex"]})"},
    {"priority", R"({"type":["string","integer"]})", "a class's name, or small numbers first"},
    {"timeout", R"({"type":"number","minimum":0.001,"maximum":86400})",
     "seconds within which the first token is wanted"},
    {"user", R"({"type":"string"})", "changes nothing"},
    {"safety_identifier", R"({"type":"string"})", "changes nothing"},
    {"prompt_cache_key", R"({"type":"string"})", "changes nothing: all prompts are cached"},
    {"metadata", R"({"type":"object"})", "changes nothing"},
    {"store", R"({"enum":[false]})", "answers are not stored"},
};

constexpr FieldDocs kChat[] = {
    {"messages", R"({"type":"array","minItems":1,"items":{"type":"object","properties":{"role":
      {"enum":["system","developer","user","assistant","tool","function"]}},"required":["role"]}})",
     "the conversation", true},
    {"max_completion_tokens", R"({"type":"integer","minimum":0,"maximum":4294967295})"},
    {"logprobs", R"({"type":"boolean"})"},
    {"top_logprobs", R"({"type":"integer","minimum":0,"maximum":20})", "only with logprobs"},
    {"tools", R"({"type":"array","items":{"type":"object","required":["type","function"]}})",
     "functions that the model may call"},
    {"tool_choice", R"({"anyOf":[{"enum":["auto","none","required"]},{"type":"object",
      "properties":{"function":{"type":"object","required":["name"]}},"required":["function"]}]})"},
    {"parallel_tool_calls", R"({"type":"boolean"})"},
    {"chat_template_kwargs", R"({"type":"object"})", "variables of the template"},
    {"reasoning_effort", R"({"type":"string"})"},
    {"thinking_budget", R"({"type":"integer","minimum":0,"maximum":4294967295})",
     "tokens after which the reasoning is closed"},
};

constexpr FieldDocs kCompletion[] = {
    {"prompt", R"({"type":["string","array"],"minItems":1})",
     "a text, several, token ids, or lists of token ids", true},
    {"logprobs", R"({"type":"integer","minimum":0,"maximum":100})"},
    {"echo", R"({"type":"boolean"})", "the prompt comes before the answer"},
    {"best_of", R"({"type":"integer","minimum":1})", "as n"},
    {"suffix", R"({"enum":[""]})", "no model fills in the middle"},
};

constexpr FieldDocs kTokenize[] = {
    {"model", R"({"type":"string"})"},
    {"prompt", R"({"type":"string"})", "one of prompt, content and messages"},
    {"content", R"({"type":"string"})"},
    {"messages", R"({"type":"array","minItems":1})"},
    {"add_special", R"({"type":"boolean"})"},
    {"add_special_tokens", R"({"type":"boolean"})"},
    {"add_generation_prompt", R"({"type":"boolean"})"},
};

constexpr FieldDocs kDetokenize[] = {
    {"model", R"({"type":"string"})"},
    {"tokens", R"({"type":"array","items":{"type":"integer","minimum":0}})", "", true},
};

constexpr std::string_view kChatAnswer = R"({"type":"object","required":
  ["id","object","created","model","choices","usage"],"properties":{"id":{"type":"string"},
  "object":{"const":"chat.completion"},"created":{"type":"integer"},"model":{"type":"string"},
  "choices":{"type":"array","items":{"type":"object","required":["index","message","finish_reason"],
  "properties":{"index":{"type":"integer"},"finish_reason":{"enum":["stop","length","tool_calls"]},
  "message":{"type":"object","required":["role","content"],"properties":{"role":
  {"const":"assistant"},"content":{"type":["string","null"]}}}}}},
  "usage":{"$ref":"#/components/schemas/Usage"}}})";

constexpr std::string_view kCompletionAnswer = R"({"type":"object","required":
  ["id","object","created","model","choices","usage"],"properties":{"id":{"type":"string"},
  "object":{"const":"text_completion"},"created":{"type":"integer"},"model":{"type":"string"},
  "choices":{"type":"array","items":{"type":"object","required":["index","text","finish_reason"],
  "properties":{"index":{"type":"integer"},"text":{"type":"string"},
  "finish_reason":{"enum":["stop","length"]}}}},
  "usage":{"$ref":"#/components/schemas/Usage"}}})";

constexpr std::string_view kModel = R"({"type":"object","required":["id","object","created",
  "owned_by"],"properties":{"id":{"type":"string"},"object":{"const":"model"}}})";

constexpr std::string_view kModels = R"({"type":"object","required":["object","data"],"properties":
  {"object":{"const":"list"},"data":{"type":"array","items":{"type":"object","required":["id"]}}}})";

}  // namespace

std::vector<RouteDocs> OpenAiDocs() {
  return {{.method = "POST",
           .path = "/chat/completions",
           .summary = "The answer to a conversation",
           .body = {kShared, kChat},
           .answer = kChatAnswer,
           .events = "text/event-stream"},
          {.method = "POST",
           .path = "/completions",
           .summary = "How a text goes on",
           .body = {kShared, kCompletion},
           .answer = kCompletionAnswer,
           .events = "text/event-stream"},
          {.method = "POST",
           .path = "/tokenize",
           .summary = "The token ids of a prompt or of messages",
           .body = {kTokenize},
           .answer = R"({"type":"object","required":["tokens","count","max_model_len"]})"},
          {.method = "POST",
           .path = "/detokenize",
           .summary = "The text of token ids",
           .body = {kDetokenize},
           .answer = R"({"type":"object","required":["prompt","content"]})"},
          {.method = "GET", .path = "/models", .summary = "What is served", .answer = kModels},
          {.method = "GET", .path = "/models/*", .summary = "One model", .answer = kModel}};
}

}  // namespace pelton
