#include "serving/generate/generation_request.h"

#include <fmt/format.h>

#include <algorithm>

#include "serving/generate/output_grammar.h"
#include "serving/model/long_text.h"
#include "serving/request/chat_messages.h"

namespace pelton {
namespace {

// Whether a prompt ends inside the reasoning that its template opened.
bool OpensReasoning(std::string_view prompt) {
  const size_t end = prompt.find_last_not_of(" \n\t\r");
  return end != std::string_view::npos && prompt.substr(0, end + 1).ends_with("<think>");
}

OutputFormat& FormatOf(GenerationRequest* request) {
  return request->format ? *request->format : request->format.emplace();
}

}  // namespace

std::string AddTools(const LanguageModel& model, const Json& tools, ChatPrompt* chat,
                     GenerationRequest* request, bool forced) {
  std::vector<ToolSpec> specs;
  if (std::string problem = CheckTools(tools, &specs); !problem.empty()) return problem;
  if (specs.empty()) return "";
  if (!model.chat.format || !model.chat.format->KnowsTools()) {
    if (!forced) return "tools: the model's chat template knows no tools";
    FormatOf(request).tools = std::move(specs);
    return "";
  }
  FormatOf(request).tools = std::move(specs);
  chat->tools = tools;
  return "";
}

std::string ToolChoiceProblem(const GenerationRequest& request) {
  const ToolChoice& choice = request.tool_choice;
  if (choice.kind == ToolChoice::Kind::kAuto) return "";
  if (!request.format || request.format->tools.empty()) return "tool_choice: there are no tools";
  if (choice.kind == ToolChoice::Kind::kRequired) return "";
  const auto has_name = [&](const ToolSpec& tool) { return tool.name == choice.name; };
  if (std::ranges::any_of(request.format->tools, has_name)) return "";
  return fmt::format("tool_choice: no tool is named \"{}\"", choice.name.substr(0, 80));
}

std::optional<ApiError> AddPrompt(const LanguageModel& model, std::string_view text,
                                  bool add_special, GenerationRequest* request) {
  const size_t least = MinTokensOfLongText(*model.tokenizer, text);
  const std::optional<PromptLimit>& limit = request->prompt_limit;
  const size_t most = limit ? limit->tokens : model.context_tokens;
  if (least > most) {
    ApiError error{.message = fmt::format("the prompt has at least {} tokens, but the context "
                                          "holds {}",
                                          least, most),
                   .param = request->prompt_field,
                   .code = "context_length_exceeded"};
    if (limit) {
      error.message = fmt::format("{}: found {}, but the prompt has at least {} tokens",
                                  limit->field, most, least);
      error.param = limit->field;
    }
    return error;
  }
  request->prompts.push_back(
      model.tokenizer->Encode(text, {.parse_special = true, .add_special = add_special}));
  return std::nullopt;
}

std::optional<ApiError> AddChat(const LanguageModel& model, ChatPrompt chat,
                                GenerationRequest* request) {
  if (const MessageProblem problem = NormalizeMessages(&chat.messages); !problem.message.empty()) {
    return ApiError{.message = problem.message, .param = problem.param};
  }
  const Result<std::string> text = RenderPrompt(model, chat);
  if (!text.ok()) return ApiErrorOf(text.status(), request->prompt_field);
  if (auto error = AddPrompt(model, *text, false, request)) return error;
  OutputFormat& format = FormatOf(request);
  format.family = model.chat.parser_family;
  format.reasoning_open = OpensReasoning(*text);
  return CompileOutput(model, request);
}

std::optional<ApiError> CheckParams(const LanguageModel& model, const SamplingParams& params) {
  const Status status = params.Validate(model.files.config.vocab);
  if (status.ok()) return std::nullopt;
  // The message begins with the field's name.
  return ApiErrorOf(status, status.message().substr(0, status.message().find(' ')));
}

}  // namespace pelton
