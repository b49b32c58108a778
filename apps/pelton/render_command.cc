#include <fmt/format.h>

#include <iostream>
#include <nlohmann/json.hpp>
#include <optional>

#include "base/mapped_file.h"
#include "command.h"
#include "line_reader.h"
#include "model_options.h"
#include "models/weights/model_files.h"
#include "serving/model/model_chat.h"
#include "text/template/chat_format.h"
#include "text/template/value_json.h"

namespace pelton {
namespace {

using jinja::ChatFormat;
using jinja::Template;
using jinja::TemplateError;
using jinja::Value;
using Json = nlohmann::ordered_json;

struct RenderOptions {
  ModelOptions model;
  bool jsonl = false;
};

// What a whole input is rendered with, and the tokens that a template may name.
struct Source {
  std::optional<ChatFormat> format;  // empty: each line brings its own
  std::string bos_text, eos_text;
};

Result<Source> Open(const ModelOptions& options) {
  Source source;
  if (options.model == "-") return source;
  if (options.model.ends_with(".jinja")) {
    ASSIGN_OR_RETURN(const MappedFile file, MappedFile::Open(options.model));
    Result<Template> parsed = Template::Parse(
        std::string_view(reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()));
    if (!parsed.ok()) return parsed.status().WithContext(options.model);
    source.format.emplace(*std::move(parsed));
    return source;
  }
  ASSIGN_OR_RETURN(const std::string path, options.Path());
  ASSIGN_OR_RETURN(const ModelFiles files, OpenModel(path));
  ASSIGN_OR_RETURN(ModelChat chat, ChatOf(files));
  if (!chat.format) return InvalidArgument(path + ": the model has no chat template");
  source.format = std::move(chat.format);
  source.bos_text = files.bos_text;
  source.eos_text = files.eos_text;
  return source;
}

const Value* Field(const Value& line, const char* name) {
  const Value* value = line.dict().Find(name);
  return value != nullptr && !value->is_none() ? value : nullptr;
}

std::string TextOr(const Value& line, const char* name, const std::string& otherwise) {
  const Value* value = Field(line, name);
  return value != nullptr && value->is_string() ? value->text() : otherwise;
}

// One line of input to one text. Failures of the template are results, told by `error`.
Result<std::string> RenderLine(const Source& source, const Value& line, TemplateError* error) {
  std::optional<jinja::CivilTime> now;
  if (const Value* time = Field(line, "now")) {
    if (!time->is_string()) return InvalidArgument("now: expected a date and time as a string");
    ASSIGN_OR_RETURN(now, jinja::ParseCivilTime(time->text()));
  }
  std::optional<ChatFormat> own;
  if (const Value* text = Field(line, "template")) {
    if (!text->is_string()) return InvalidArgument("template: expected a string");
    Result<Template> parsed = Template::Parse(text->text(), {}, error);
    RETURN_IF_ERROR(parsed.status());
    own.emplace(*std::move(parsed));
  }
  const ChatFormat* chosen = own ? &*own : source.format ? &*source.format : nullptr;
  if (chosen == nullptr) return InvalidArgument("expected \"template\"");
  if (const Value* variables = Field(line, "variables")) {
    const Template* text = chosen->chat_template();
    if (text == nullptr) return InvalidArgument("variables: the model has no chat template");
    jinja::RenderOptions options;
    options.now = now;
    return text->Render(*variables, options, error);
  }
  jinja::ChatInputs inputs;
  if (const Value* messages = Field(line, "messages")) inputs.messages = *messages;
  if (const Value* tools = Field(line, "tools")) inputs.tools = *tools;
  if (const Value* documents = Field(line, "documents")) inputs.documents = *documents;
  if (const Value* kwargs = Field(line, "kwargs")) inputs.kwargs = *kwargs;
  if (const Value* prompt = Field(line, "add_generation_prompt")) {
    if (!prompt->is(jinja::Kind::kBool)) {
      return InvalidArgument("add_generation_prompt: expected true or false");
    }
    inputs.add_generation_prompt = prompt->as_bool();
  }
  inputs.bos_token = TextOr(line, "bos_token", source.bos_text);
  inputs.eos_token = TextOr(line, "eos_token", source.eos_text);
  inputs.now = now;
  return chosen->Render(inputs, error);
}

int Run(const RenderOptions& options) {
  const Result<Source> source = Open(options.model);
  if (!source.ok()) return Fail(source.status());
  const Status status = ForEachLine(std::cin, [&](const std::string& text) -> Status {
    ASSIGN_OR_RETURN(const Value line, jinja::ValueFromJson(text));
    if (!line.is(jinja::Kind::kDict)) return InvalidArgument("expected a JSON object");
    TemplateError error;
    const Result<std::string> rendered = RenderLine(*source, line, &error);
    Json out;
    if (rendered.ok()) {
      out["text"] = *rendered;
    } else if (!error.message.empty()) {
      out["error"] = jinja::TemplateErrorKindName(error.kind);
      out["message"] = error.message;
      if (error.line > 0) out["line"] = error.line;
    } else {
      return rendered.status();
    }
    std::cout << out.dump(-1, ' ', false, Json::error_handler_t::replace) << '\n';
    return OkStatus();
  });
  std::cout.flush();
  return status.ok() ? kExitOk : Fail(status);
}

}  // namespace

Command RenderCommand() {
  auto options = std::make_shared<RenderOptions>();
  Command command{
      .name = "render",
      .summary = "messages through a chat template",
      .description =
          "Renders JSON lines from standard input with the chat template of MODEL, a .jinja file, "
          "or, with -, one that each line brings: {\"messages\",\"tools\","
          "\"add_generation_prompt\",\"kwargs\",\"bos_token\",\"eos_token\",\"now\"} or "
          "{\"template\",\"variables\"}. Prints {\"text\"} or {\"error\",\"message\"} for each."};
  options->model.AddModel(&command.options);
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
