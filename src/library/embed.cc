#include "library/embed.h"

#include <fmt/format.h>

#include <utility>

#include "library/generate_options.h"

namespace pelton::library {

Result<EmbeddingResult> Embed(const LoadedModel& model, std::span<const char* const> texts,
                              const size_t* sizes, const pelton_embed_options& options) {
  if (model.encoder == nullptr || model.encoder->cross_encoder()) {
    return InvalidArgument(model.path + ": gives no embeddings, expected an encoder of texts");
  }
  if (texts.empty()) return InvalidArgument("num_texts: found 0, expected 1 or more");
  const EmbeddingModel& encoder = *model.encoder;
  EmbeddingRequest request;
  for (size_t i = 0; i < texts.size(); ++i) {
    if (texts[i] == nullptr) return InvalidArgument(fmt::format("texts[{}]: found NULL", i));
    const std::string_view text = TextOf(texts[i], sizes == nullptr ? PELTON_WHOLE : sizes[i]);
    Result<EmbeddingInput> input = encoder.Encode(text, options.truncate_tokens);
    if (!input.ok()) return input.status().WithContext(fmt::format("texts[{}]", i));
    request.inputs.push_back(std::move(input).value());
  }
  request.pooling = encoder.pooling;
  request.normalize =
      options.normalize < 0 ? encoder.pooling_config.normalize : options.normalize != 0;
  request.dimensions = options.dimensions;
  EmbeddingResult result = encoder.engine->Run(std::move(request));
  RETURN_IF_ERROR(result.status);
  return result;
}

}  // namespace pelton::library
