#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>
#include <nlohmann/json.hpp>

#include "batch_file.h"
#include "chat.h"
#include "command.h"
#include "model_options.h"
#include "request_options.h"
#include "serving/request/field_reader.h"

namespace pelton {
namespace {

struct RunOptions {
  ModelOptions model;
  RequestOptions request;
  std::string prompt;
  std::string prompt_ids;
  std::string prompts_file;
  int64_t parallel = 32;
  bool json = false;
};

std::string ToLine(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

Result<PromptRequest> OneRequest(const RunOptions& options, const LanguageModel& model) {
  ASSIGN_OR_RETURN(const RequestDefaults defaults, options.request.Defaults(model));
  if (options.prompt_ids.empty()) return RequestOf(model, defaults, options.prompt);
  ASSIGN_OR_RETURN(std::vector<int32_t> ids, ParseIds(options.prompt_ids));
  return RequestOf(model, defaults, std::move(ids));
}

int RunFile(const RunOptions& options, const LanguageModel& model) {
  const Result<RequestDefaults> defaults = options.request.Defaults(model);
  if (!defaults.ok()) return Fail(defaults.status());
  const Result<std::vector<PromptRequest>> requests =
      ReadRequests(options.prompts_file, model, *defaults);
  if (!requests.ok()) return Fail(requests.status());
  const std::vector<RequestResult> results = RunRequests(model, *requests);
  int code = kExitOk;
  for (size_t i = 0; i < results.size(); ++i) {
    if (!results[i].status.ok() && code == kExitOk) code = Fail(results[i].status);
    if (options.json) {
      fmt::print("{}\n", ToLine(ResultJson((*requests)[i], results[i])));
    } else {
      fmt::print("{}\n", results[i].text);
    }
  }
  return code;
}

int RunOnce(const RunOptions& options, const LanguageModel& model) {
  Result<PromptRequest> request = OneRequest(options, model);
  if (!request.ok()) return Fail(request.status());
  if (options.json) {
    const std::vector<RequestResult> results = RunRequests(model, {*request});
    if (!results[0].status.ok()) return Fail(results[0].status);
    fmt::print("{}\n", ToLine(ResultJson(*request, results[0])));
    return kExitOk;
  }
  const StreamedAnswer answer = StreamAnswer(model, *request);
  if (!answer.status.ok()) return Fail(answer.status);
  PrintSpeed(answer.finish);
  return kExitOk;
}

int Run(const RunOptions& options) {
  if (options.parallel < 1 || options.parallel > 1024) {
    return Fail(
        InvalidArgument(fmt::format("--parallel: found {}, expected 1 to 1024", options.parallel)));
  }
  const bool batch = !options.prompts_file.empty();
  Result<LoadOptions> load = options.model.Load(batch ? static_cast<size_t>(options.parallel) : 1);
  if (!load.ok()) return Fail(load.status());
  load->max_queued = size_t{1} << 20;
  Result<std::unique_ptr<LanguageModel>> model = options.model.Open(*load);
  if (!model.ok()) return Fail(model.status());
  if (batch) return RunFile(options, **model);
  if (!options.prompt.empty() || !options.prompt_ids.empty()) return RunOnce(options, **model);
  if (options.json) return Fail(InvalidArgument("--json: expected a prompt"));
  const Result<RequestDefaults> defaults = options.request.Defaults(**model);
  if (!defaults.ok()) return Fail(defaults.status());
  if (defaults->constraint) {
    return Fail(InvalidArgument("--json-schema, --grammar and --regex: expected a prompt"));
  }
  return Chat(**model, defaults->params, defaults->system);
}

}  // namespace

Command RunCommand() {
  auto options = std::make_shared<RunOptions>();
  Command command{
      .name = "run",
      .summary = "answer a prompt, or chat",
      .description =
          "Answers PROMPT and exits; without a prompt it chats. --prompts runs a file of requests, "
          "one JSON object a line with prompt, messages or prompt_ids, any sampling field and what "
          "the answer must be (response_format, json_schema, guided_regex and so on, as over "
          "HTTP), as one "
          "continuous batch. --json prints one object a request, in the order of the input."};
  options->model.AddModel(&command.options);
  command.options.push_back({.names = "prompt",
                             .value = "PROMPT",
                             .help = "the question; without it a chat begins",
                             .group = "arguments",
                             .target = &options->prompt});
  command.options.push_back({.names = "--prompt-ids",
                             .value = "IDS",
                             .help = "the prompt as token ids, 1,2,3",
                             .group = "prompt",
                             .target = &options->prompt_ids});
  command.options.push_back({.names = "-f,--prompts",
                             .value = "FILE",
                             .help = "requests as JSON lines",
                             .group = "prompt",
                             .target = &options->prompts_file});
  options->request.Add(&command.options);
  command.options.push_back({.names = "--json",
                             .value = "",
                             .help = "print JSON",
                             .group = "output",
                             .target = &options->json});
  options->model.AddPlan(&command.options);
  options->model.AddRuntime(&command.options);
  options->model.AddPrefixCache(&command.options);
  command.options.push_back({.names = "--parallel,--max-num-seqs",
                             .value = "N",
                             .help = "sequences that run at once with --prompts [32]",
                             .group = "resources",
                             .target = &options->parallel});
  command.everyday = {"prompts", "system",      "max-tokens", "temperature", "top-p", "seed",
                      "stop",    "json-schema", "json",       "threads",     "ctx"};
  command.run = [options] { return Run(*options); };
  command.storage = options;
  return command;
}

}  // namespace pelton
