#include <algorithm>
#include <chrono>
#include <cstdint>
#include <iterator>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/check.h"
#include "text/parsers/json_scanner.h"
#include "text/parsers/output_parser.h"
#include "text/parsers/parsed_message.h"

// Input: a byte for the family, a byte of switches, a byte that says how the text is cut, then the
// model's text, or, with switch 4, a chat template. Bytes from 0xF0 on and a few control characters
// stand for pieces of markup, so that mutations find them.
namespace pelton {
namespace {

constexpr std::string_view kPieces[] = {
    "<tool_call>",
    "</tool_call>",
    "<function=f>\n<parameter=a>\n",
    "\n</parameter>\n</function>",
    "<arg_key>a</arg_key><arg_value>",
    "</arg_value>",
    "<｜tool▁call▁begin｜>f<｜tool▁sep｜>",
    "<｜tool▁call▁end｜><｜tool▁calls▁end｜>",
    "<|tool_call_begin|>functions.f:0<|tool_call_argument_begin|>",
    "[TOOL_CALLS]f[ARGS]",
    "<|start|>assistant<|channel|>commentary to=functions.f <|constrain|>json<|message|>",
    "<|channel|>analysis<|message|>",
    "<|end|>",
    "{\"name\": \"f\", \"parameters\": {\"a\": ",
    "<think>",
    "</think>",
};

// DeepSeek's DSML, for bytes from 0x10 on.
constexpr std::string_view kDsmlPieces[] = {
    "\n\n<｜DSML｜function_calls>\n<｜DSML｜invoke name=\"f\">\n",
    "<｜DSML｜parameter name=\"a\" string=\"false\">",
    "<｜DSML｜parameter name=\"b\" string=\"true\">",
    "</｜DSML｜parameter>\n",
    "</｜DSML｜invoke>\n",
    "<｜DSML｜invoke name=\"f\">",
    "</｜DSML｜function_calls>",
};

std::string Expanded(std::string_view input) {
  std::string text;
  for (const char c : input) {
    const auto byte = static_cast<uint8_t>(c);
    if (byte >= 0xF0) {
      text += kPieces[byte - 0xF0];
    } else if (byte >= 0x10 && byte < 0x10 + std::size(kDsmlPieces)) {
      text += kDsmlPieces[byte - 0x10];
    } else {
      text += c;
    }
  }
  return text;
}

void ParseOne(std::string_view family, bool has_tools, bool reasoning_open, uint8_t seed,
              const std::string& text) {
  static const std::vector<ToolSpec> tools = {
      {"f", R"({"properties": {"a": {"type": "integer"}, "b": {"type": ["string", "null"]}}})"}};
  const auto parse = [&](const std::vector<size_t>& cuts) {
    const auto parser = std::move(
        MakeOutputParser(family, has_tools ? std::span(tools) : std::span<const ToolSpec>(),
                         reasoning_open)
            .value());
    return ParseInChunks(*parser, text, cuts);
  };
  const ParsedMessage whole = parse({});
  std::vector<size_t> every, some;
  uint32_t random = seed;
  for (size_t cut = 0; cut <= text.size(); ++cut) {
    every.push_back(cut);
    random = random * 1664525 + 1013904223;
    if (random >> 24 < 32) some.push_back(cut);
  }
  PELTON_CHECK(parse(every) == whole, "bytes one by one give the same message");
  PELTON_CHECK(parse(some) == whole, "other chunks give the same message");

  for (const ParsedMessage::Call& call : whole.calls) {
    PELTON_CHECK(IsJsonObject(call.arguments), "arguments are a JSON object");
  }
  PELTON_CHECK(has_tools || whole.calls.empty(), "without tools there are no calls");
  const bool nothing_found = whole.calls.empty() && whole.reasoning.empty() && !reasoning_open &&
                             text.find("hink>") == text.npos && text.find("HINK]") == text.npos;
  // Harmony's channels are no content, whether there are calls or not.
  if (nothing_found && (family != "gpt-oss" || text.find("<|message|>") == text.npos)) {
    PELTON_CHECK(whole.content == text, "nothing is lost");
  }
}

}  // namespace
}  // namespace pelton

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 3) return 0;
  const auto families = pelton::OutputParserFamilies();
  const size_t choice = data[0] % (families.size() + 1);
  const std::string_view family = choice < families.size() ? families[choice] : "none";
  const std::string_view rest(reinterpret_cast<const char*>(data) + 3, size - 3);
  const auto start = std::chrono::steady_clock::now();
  if ((data[1] & 4) != 0) {
    const std::string_view found = pelton::FamilyOfTemplate(rest);
    PELTON_CHECK(found.empty() || std::ranges::find(families, found) != families.end(),
                 "a template's family is known");
  }
  pelton::ParseOne(family, (data[1] & 1) == 0, (data[1] & 2) != 0, data[2], pelton::Expanded(rest));
  PELTON_CHECK(std::chrono::steady_clock::now() - start < std::chrono::seconds(2),
               "the time is bounded");
  return 0;
}
