#include <iostream>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "command.h"
#include "line_reader.h"
#include "text/parsers/output_parser.h"

namespace pelton {
namespace {

using Json = nlohmann::ordered_json;

struct ParseOptions {
  std::string family;
  bool jsonl = false;
};

// OpenAI's form of tools, [{"type": "function", "function": {"name", "parameters"}}], or the inner
// objects alone.
Result<std::vector<ToolSpec>> ReadTools(const Json& tools) {
  std::vector<ToolSpec> specs;
  if (tools.is_null()) return specs;
  if (!tools.is_array()) return InvalidArgument("tools: expected an array");
  for (const Json& tool : tools) {
    const Json& function = tool.is_object() && tool.contains("function") ? tool["function"] : tool;
    if (!function.is_object() || !function.contains("name") || !function["name"].is_string()) {
      return InvalidArgument("tools: expected functions with a \"name\"");
    }
    ToolSpec spec{.name = function["name"].get<std::string>()};
    if (function.contains("parameters") && !function["parameters"].is_null()) {
      spec.parameters_json = function["parameters"].dump();
    }
    specs.push_back(std::move(spec));
  }
  return specs;
}

Result<Json> ParseLine(const std::string& family, const Json& in) {
  if (!in.is_object() || !in.contains("text") || !in["text"].is_string()) {
    return InvalidArgument("expected an object with \"text\"");
  }
  ASSIGN_OR_RETURN(const std::vector<ToolSpec> tools, ReadTools(in.value("tools", Json())));
  const bool reasoning_open = in.contains("reasoning_open") && in["reasoning_open"] == true;
  ASSIGN_OR_RETURN(const std::unique_ptr<OutputParser> parser,
                   MakeOutputParser(family, tools, reasoning_open));
  OutputDelta whole;
  parser->Feed(in["text"].get<std::string>(), &whole);
  parser->Finish(&whole);

  const auto text_or_null = [](const std::string& text) {
    return text.empty() ? Json() : Json(text);
  };
  Json out;
  out["content"] = text_or_null(whole.content);
  out["reasoning_content"] = text_or_null(whole.reasoning);
  out["tool_calls"] = Json::array();
  std::vector<std::pair<std::string, std::string>> calls;
  for (const OutputDelta::Call& part : whole.calls) {
    if (part.index == calls.size()) calls.emplace_back(part.name, "");
    calls[part.index].second += part.arguments;
  }
  for (const auto& [name, arguments] : calls) {
    // Numbers beyond the range of double are JSON, but nothing that this library can hold.
    Json value = Json::parse(arguments, nullptr, false);
    if (value.is_discarded()) value = arguments;
    out["tool_calls"].push_back({{"name", name}, {"arguments", std::move(value)}});
  }
  return out;
}

int Run(const ParseOptions& options) {
  // Also where there is no line: a wrong name is the caller's mistake.
  if (const auto made = MakeOutputParser(options.family, {}, false); !made.ok()) {
    return Fail(made.status());
  }
  const Status status = ForEachLine(std::cin, [&](const std::string& line) -> Status {
    ASSIGN_OR_RETURN(const Json out, ParseLine(options.family, Json::parse(line, nullptr, false)));
    std::cout << out.dump(-1, ' ', false, Json::error_handler_t::replace) << '\n';
    return OkStatus();
  });
  std::cout.flush();
  return status.ok() ? kExitOk : Fail(status);
}

}  // namespace

Command ParseCommand() {
  auto options = std::make_shared<ParseOptions>();
  Command command{
      .name = "parse",
      .summary = "a model's output into reasoning, content and tool calls",
      .description =
          "Reads JSON lines from standard input, {\"text\",\"tools\",\"reasoning_open\"}: what a "
          "model wrote, special tokens included, the request's tools as OpenAI writes them, and "
          "whether the prompt ended inside the reasoning. Prints {\"content\","
          "\"reasoning_content\",\"tool_calls\":[{\"name\",\"arguments\"}]} for each. FAMILY is "
          "the form in which the model writes its calls."};
  Option family{.names = "family",
                .value = "FAMILY",
                .help = "the form of the calls; none: calls are text",
                .group = "arguments",
                .target = &options->family,
                .required = true};
  family.choices.assign(OutputParserFamilies().begin(), OutputParserFamilies().end());
  family.choices.emplace_back("none");
  command.options.push_back(std::move(family));
  command.options.push_back({.names = "--jsonl",
                             .value = "",
                             .help = "read JSON lines from standard input (always so)",
                             .group = "input",
                             .target = &options->jsonl});
  command.run = [options] { return Run(*options); };
  command.storage = options;
  return command;
}

}  // namespace pelton
