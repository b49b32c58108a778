#include <fmt/format.h>

#include <cstdio>

#include "batch_file.h"
#include "command.h"
#include "model_options.h"
#include "profile_file.h"
#include "request_options.h"

namespace pelton {
namespace {

struct ProfileOptions {
  ModelOptions model;
  RequestOptions request;
  std::string prompt = "Tell me about turbines.";
  std::string out = "pelton-trace.json";
  int64_t requests = 1;
};

int Run(const ProfileOptions& options) {
  if (options.requests < 1 || options.requests > 1024) {
    return Fail(
        InvalidArgument(fmt::format("--requests: found {}, expected 1 to 1024", options.requests)));
  }
  const auto count = static_cast<size_t>(options.requests);
  const Result<LoadOptions> load = options.model.Load(count);
  if (!load.ok()) return Fail(load.status());
  const Result<std::unique_ptr<LanguageModel>> opened = options.model.Open(*load);
  if (!opened.ok()) return Fail(opened.status());
  const LanguageModel& model = **opened;
  if (model.tokenizer == nullptr) return Fail(InvalidArgument("the model has no tokenizer"));
  const Result<RequestDefaults> defaults = options.request.Defaults(model);
  if (!defaults.ok()) return Fail(defaults.status());
  const Result<PromptRequest> request = RequestOf(model, *defaults, options.prompt);
  if (!request.ok()) return Fail(request.status());
  model.profile->Start();
  const std::vector<RequestResult> results =
      RunRequests(model, std::vector<PromptRequest>(count, *request));
  const ProfileRecord record = model.profile->Stop();
  for (const RequestResult& result : results) {
    if (!result.status.ok()) return Fail(result.status);
  }
  const Status written = WriteProfile(model, record, options.out);
  return written.ok() ? kExitOk : Fail(written);
}

}  // namespace

Command ProfileCommand() {
  auto options = std::make_shared<ProfileOptions>();
  options->request.max_tokens = 64;
  Command command{
      .name = "profile",
      .summary = "record where the time of a model goes",
      .description =
          "Answers PROMPT and writes a timeline of requests, steps and ops to a file that "
          "ui.perfetto.dev and chrome://tracing open; stderr gets the ops that took most time. "
          "Nothing leaves the machine: Perfetto reads the file in the browser. A running server is "
          "recorded by POST /debug/profile, or from start to end by serve --profile."};
  options->model.AddModel(&command.options);
  command.options.push_back({.names = "prompt",
                             .value = "PROMPT",
                             .help = "what is asked",
                             .group = "arguments",
                             .target = &options->prompt});
  command.options.push_back({.names = "-o,--out",
                             .value = "FILE",
                             .help = "where the timeline goes [pelton-trace.json]",
                             .group = "output",
                             .target = &options->out});
  command.options.push_back({.names = "--requests",
                             .value = "N",
                             .help = "ask so many times at once [1]",
                             .group = "prompt",
                             .target = &options->requests});
  options->request.Add(&command.options);
  options->model.AddPlan(&command.options);
  options->model.AddRuntime(&command.options);
  command.run = [options] { return Run(*options); };
  command.storage = options;
  return command;
}

}  // namespace pelton
