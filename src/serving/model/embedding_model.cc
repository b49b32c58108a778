#include "serving/model/embedding_model.h"

#include <fmt/format.h>

#include <algorithm>

#include "graph/execute/graph_executor.h"
#include "models/build/build_graph.h"
#include "models/build/quantize_weights.h"
#include "serving/model/language_model.h"
#include "serving/model/long_text.h"
#include "serving/model/model_tokenizer.h"

namespace pelton {
namespace {

// What a tokenizer puts around a text.
struct Frame {
  std::vector<int32_t> before, after;
};

Frame FrameOf(const Tokenizer& tokenizer) {
  const EncodeOptions with{.parse_special = false, .add_special = true};
  const std::vector<int32_t> around = tokenizer.Encode("", with);
  const std::vector<int32_t> whole = tokenizer.Encode("a", with);
  const auto ends = std::mismatch(around.begin(), around.end(), whole.begin(), whole.end());
  return {{around.begin(), ends.first}, {ends.first, around.end()}};
}

std::vector<int32_t> Body(const Tokenizer& tokenizer, std::string_view text) {
  return tokenizer.Encode(text, {.parse_special = false, .add_special = false});
}

Status TooLong(size_t found, size_t most, bool at_least = false) {
  return InvalidArgument(
      fmt::format("found {}{} tokens, expected at most {}; truncate_prompt_tokens cuts them",
                  at_least ? "at least " : "", found, most));
}

Result<ModelFiles> OpenEncoder(const std::string& path) {
  ASSIGN_OR_RETURN(ModelFiles files, OpenModel(path));
  if (files.config.encoder) return files;
  return Unimplemented(
      fmt::format("{}: embeddings of {} are not supported, expected an encoder (bert)", path,
                  files.config.architecture));
}

StepLimits LimitsOf(const ModelConfig& config, const EmbeddingLoadOptions& options) {
  const auto context = static_cast<size_t>(config.context_tokens);
  const size_t step_tokens = std::max(options.max_step_tokens, context);
  return {.max_tokens = step_tokens,
          .max_sequences = step_tokens,
          .max_logit_rows = step_tokens,
          .max_context = context};
}

}  // namespace

Result<EmbeddingInput> EmbeddingModel::Encode(std::string_view text, size_t truncate_tokens) const {
  const Frame frame = FrameOf(*tokenizer);
  const size_t around = frame.before.size() + frame.after.size();
  const size_t least = MinTokensOfLongText(*tokenizer, text) + around;
  if (truncate_tokens == 0 && least > max_tokens) return TooLong(least, max_tokens, true);
  std::vector<int32_t> body = Body(*tokenizer, text);
  if (truncate_tokens > 0) {
    body.resize(std::min(body.size(), truncate_tokens > around ? truncate_tokens - around : 0));
  }
  EmbeddingInput input{.ids = frame.before, .token_types = {}};
  input.ids.insert(input.ids.end(), body.begin(), body.end());
  input.ids.insert(input.ids.end(), frame.after.begin(), frame.after.end());
  if (input.ids.size() > max_tokens) return TooLong(input.ids.size(), max_tokens);
  if (input.ids.empty()) return InvalidArgument("found an empty text, expected one with tokens");
  return input;
}

Result<EmbeddingInput> EmbeddingModel::EncodePair(std::string_view first, std::string_view second,
                                                  size_t truncate_tokens) const {
  const Frame frame = FrameOf(*tokenizer);
  const size_t around = frame.before.size() + 2 * frame.after.size();
  const size_t least =
      MinTokensOfLongText(*tokenizer, first) + MinTokensOfLongText(*tokenizer, second) + around;
  if (truncate_tokens == 0 && least > max_tokens) return TooLong(least, max_tokens, true);
  std::vector<int32_t> a = Body(*tokenizer, first), b = Body(*tokenizer, second);
  if (truncate_tokens > 0) {
    const size_t room = truncate_tokens > around ? truncate_tokens - around : 0;
    while (a.size() + b.size() > room) (a.size() > b.size() ? a : b).pop_back();
  }
  EmbeddingInput input{.ids = frame.before, .token_types = {}};
  input.ids.insert(input.ids.end(), a.begin(), a.end());
  input.ids.insert(input.ids.end(), frame.after.begin(), frame.after.end());
  input.token_types.resize(input.ids.size(), 0);
  input.ids.insert(input.ids.end(), b.begin(), b.end());
  input.ids.insert(input.ids.end(), frame.after.begin(), frame.after.end());
  input.token_types.resize(input.ids.size(), files.config.token_types > 1 ? 1 : 0);
  if (input.ids.size() > max_tokens) return TooLong(input.ids.size(), max_tokens);
  return input;
}

Result<bool> IsEncoder(const std::string& path) {
  ASSIGN_OR_RETURN(const ModelFiles files, OpenModel(path));
  return files.config.encoder;
}

Result<size_t> PlanEmbeddingMemory(const std::string& path, const EmbeddingLoadOptions& options) {
  ASSIGN_OR_RETURN(const ModelFiles files, OpenEncoder(path));
  ASSIGN_OR_RETURN(Graph graph, BuildGraph(files.config, files.weights));
  RETURN_IF_ERROR(RunPasses(options.passes, graph).status());
  ASSIGN_OR_RETURN(const size_t weight_bytes, PackedStore::BytesFor(graph));
  return weight_bytes + ArenaBytesFor(graph, LimitsOf(files.config, options));
}

Result<std::unique_ptr<EmbeddingModel>> LoadEmbeddingModel(const std::string& path,
                                                           const EmbeddingLoadOptions& options) {
  ASSIGN_OR_RETURN(ModelFiles files, OpenEncoder(path));
  auto model = std::make_unique<EmbeddingModel>(std::move(files));
  const ModelConfig& config = model->files.config;
  ASSIGN_OR_RETURN(model->pooling_config, ReadPoolingConfig(model->files));
  model->pooling = *ParsePooling(model->pooling_config.mode);
  ASSIGN_OR_RETURN(model->tokenizer, LoadTokenizer(path));
  ASSIGN_OR_RETURN(Graph graph, BuildGraph(config, model->files.weights));
  std::vector<std::vector<std::byte>> quantized;
  if (options.passes.numerics == Numerics::kFast) quantized = QuantizeWeights(&graph);
  RETURN_IF_ERROR(RunPasses(options.passes, graph).status());
  model->pool =
      std::make_unique<ThreadPool>(options.threads == 0 ? UsableCores() : options.threads);
  ASSIGN_OR_RETURN(PackedStore weights, PackedStore::Pack(
                                            graph, *model->pool,
                                            [&](const StoredTensor& tensor) {
                                              model->files.weights.Forget(tensor.data);
                                            },
                                            options.cancelled));
  model->max_tokens = static_cast<size_t>(config.context_tokens);
  ASSIGN_OR_RETURN(
      std::unique_ptr<GraphExecutor> executor,
      GraphExecutor::Create(std::move(graph), std::move(weights), {}, *model->pool,
                            {.limits = LimitsOf(config, options), .prompts_apart = true}));
  MetricRegistry* metrics = options.metrics;
  if (metrics == nullptr) {
    model->own_metrics = std::make_unique<MetricRegistry>();
    metrics = model->own_metrics.get();
  }
  model->engine = std::make_unique<EmbeddingEngine>(
      EmbeddingEngineOptions{.max_queued = options.max_queued,
                             .vocab_size = config.vocab,
                             .num_token_types = config.token_types,
                             .max_input_tokens = model->max_tokens},
      std::move(executor), *metrics);
  return model;
}

}  // namespace pelton
