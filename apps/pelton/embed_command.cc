#include <fmt/format.h>

#include <iostream>
#include <nlohmann/json.hpp>

#include "command.h"
#include "line_reader.h"
#include "model_options.h"
#include "serving/model/embedding_model.h"

namespace pelton {
namespace {

using Json = nlohmann::ordered_json;

struct EmbedOptions {
  ModelOptions model;
  std::vector<std::string> texts;
  bool jsonl = false;
  int64_t truncate_tokens = 0;
};

// One JSON line for a vector; shortest decimals that read back as the same f32.
void PrintVector(std::span<const float> vector, size_t tokens) {
  std::string line = "{\"embedding\":[";
  for (size_t d = 0; d < vector.size(); ++d) {
    fmt::format_to(std::back_inserter(line), "{}{}", d == 0 ? "" : ",", vector[d]);
  }
  fmt::print("{}],\"tokens\":{}}}\n", line, tokens);
}

// Many lines at a time, so that steps are full.
constexpr size_t kBatch = 256;

class LineEmbedder {
 public:
  LineEmbedder(const EmbeddingModel& model, const EmbedOptions& options)
      : model_(model), options_(options) {}

  Status Add(const std::string& text) {
    ASSIGN_OR_RETURN(EmbeddingInput input,
                     model_.Encode(text, static_cast<size_t>(options_.truncate_tokens)));
    inputs_.push_back(std::move(input));
    return inputs_.size() < kBatch ? OkStatus() : Flush();
  }

  Status Flush() {
    if (inputs_.empty()) return OkStatus();
    std::vector<size_t> tokens;
    tokens.reserve(inputs_.size());
    for (const EmbeddingInput& input : inputs_) tokens.push_back(input.ids.size());
    EmbeddingRequest request;
    request.inputs = std::move(inputs_);
    request.pooling = model_.pooling;
    request.normalize = model_.pooling_config.normalize;
    const EmbeddingResult result = model_.engine->Run(std::move(request));
    RETURN_IF_ERROR(result.status);
    for (size_t i = 0; i < tokens.size(); ++i) {
      PrintVector(std::span(result.values).subspan(i * result.width, result.width), tokens[i]);
    }
    inputs_.clear();
    return OkStatus();
  }

 private:
  const EmbeddingModel& model_;
  const EmbedOptions& options_;
  std::vector<EmbeddingInput> inputs_;
};

Status AddLine(const std::string& line, LineEmbedder& embedder) {
  const Json in = Json::parse(line, nullptr, false);
  if (in.is_string()) return embedder.Add(in.get<std::string>());
  if (in.is_object() && in.contains("text") && in["text"].is_string()) {
    return embedder.Add(in["text"].get<std::string>());
  }
  return InvalidArgument("expected a JSON string or an object with \"text\"");
}

int Run(const EmbedOptions& options) {
  if (options.truncate_tokens < 0) {
    return Fail(InvalidArgument(
        fmt::format("--truncate: found {}, expected 0 or more", options.truncate_tokens)));
  }
  if (options.texts.empty() && !options.jsonl) {
    return Fail(InvalidArgument("found no TEXT, expected one, or --jsonl"));
  }
  const Result<std::string> path = options.model.Path();
  if (!path.ok()) return Fail(path.status());
  const Result<LoadOptions> load = options.model.Load(1);
  if (!load.ok()) return Fail(load.status());
  const Result<std::unique_ptr<EmbeddingModel>> model = LoadEmbeddingModel(
      *path,
      {.passes = load->passes, .threads = load->threads, .max_step_tokens = load->max_step_tokens});
  if (!model.ok()) return Fail(model.status());
  if ((*model)->cross_encoder()) {
    return Fail(InvalidArgument(*path + ": scores pairs of texts; serve it for /v1/rerank"));
  }
  LineEmbedder embedder(**model, options);
  Status status;
  for (const std::string& text : options.texts) {
    if (status.ok()) status = embedder.Add(text);
  }
  if (status.ok() && options.jsonl) {
    status =
        ForEachLine(std::cin, [&](const std::string& line) { return AddLine(line, embedder); });
  }
  if (status.ok()) status = embedder.Flush();
  return status.ok() ? kExitOk : Fail(status);
}

}  // namespace

Command EmbedCommand() {
  auto options = std::make_shared<EmbedOptions>();
  Command command{.name = "embed",
                  .summary = "texts to vectors",
                  .description =
                      "Prints the embedding of each TEXT, or with --jsonl of each line of standard "
                      "input (a JSON string, or an object with \"text\"), as a JSON line "
                      "{\"embedding\",\"tokens\"}. MODEL is an encoder (BERT): a Hugging Face "
                      "folder or a GGUF file, or minilm. Pooling and norm are those of the model's "
                      "sentence-transformers files; mean and 1 where it has none."};
  options->model.AddModel(&command.options);
  command.options.push_back({.names = "text",
                             .value = "TEXT",
                             .help = "a text; may be given again",
                             .group = "arguments",
                             .target = &options->texts});
  command.options.push_back({.names = "--jsonl",
                             .value = "",
                             .help = "read JSON lines from standard input",
                             .group = "input",
                             .target = &options->jsonl});
  command.options.push_back({.names = "--truncate",
                             .value = "TOKENS",
                             .help = "cut longer texts; 0 refuses those that the model cannot "
                                     "read [0]",
                             .group = "input",
                             .target = &options->truncate_tokens});
  options->model.AddPlan(&command.options);
  options->model.AddRuntime(&command.options);
  command.run = [options] { return Run(*options); };
  command.storage = options;
  return command;
}

}  // namespace pelton
