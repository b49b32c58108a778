#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

#include "text/template/template.h"
#include "text/template/value_json.h"

// Input: a template, then optionally a NUL and the JSON of further variables. No input may crash,
// take long, or print text that is not UTF-8.
namespace pelton::jinja {
namespace {

constexpr std::string_view kVariables = R"({
  "messages": [
    {"role": "system", "content": "  be brief \n"},
    {"role": "user", "content": [{"type": "text", "text": "h\u00e9llo <b> & 'q' \"d\""}]},
    {"role": "assistant", "content": null, "tool_calls": [{"id": "1", "type": "function",
      "function": {"name": "f", "arguments": {"x": 1, "y": [1.5, true, null]}}}]},
    {"role": "tool", "content": "</think>\n42", "tool_call_id": "1"}],
  "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object",
    "properties": {"x": {"type": "integer"}}, "required": ["x"]}}}],
  "add_generation_prompt": true, "bos_token": "<s>", "eos_token": "</s>",
  "n": 7, "f": 2.5, "s": "Hello World", "l": [3, 1, 2], "d": {"a": 1, "b": {"c": []}}
})";

void Check(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "%s\n", what);
  std::abort();
}

void RenderOne(std::string_view source, std::string_view json) {
  RenderOptions options;
  options.limits.max_steps = 100'000;
  options.limits.max_output_bytes = 1 << 20;
  options.limits.max_value_bytes = 16 << 20;
  options.now = CivilTime{2025, 7, 26, 13, 45, 9};
  TemplateError error;
  const Result<Template> parsed = Template::Parse(source, options.limits, &error);
  if (!parsed.ok()) {
    Check(!error.message.empty() && error.line > 0, "a syntax error has no message or line");
    return;
  }
  static const Value default_variables = ValueFromJson(kVariables).value();
  Value variables = default_variables;
  if (!json.empty()) {
    const Result<Value> given = ValueFromJson(json);
    if (given.ok() && given->is(Kind::kDict)) variables = *given;
  }
  const Result<std::string> text = parsed->Render(variables, options, &error);
  if (!text.ok()) {
    Check(error.kind == TemplateErrorKind::kRaise || !error.message.empty(), "an error is silent");
    return;
  }
  Check(text->size() <= options.limits.max_output_bytes, "the text is longer than its limit");
  Check(Value::String(*text).text() == *text, "the text is not UTF-8");
  Check(parsed->Render(variables, options).value() == *text, "a second rendering differs");
}

}  // namespace
}  // namespace pelton::jinja

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const size_t nul = input.find('\0');
  const auto start = std::chrono::steady_clock::now();
  pelton::jinja::RenderOne(input.substr(0, nul), nul == input.npos ? "" : input.substr(nul + 1));
  const auto spent = std::chrono::steady_clock::now() - start;
  pelton::jinja::Check(spent < std::chrono::seconds(10), "the input takes too long");
  return 0;
}
