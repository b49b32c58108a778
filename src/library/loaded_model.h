#pragma once

#include <atomic>
#include <cstddef>
#include <memory>
#include <string>

#include "base/status.h"
#include "pelton.h"
#include "serving/model/embedding_model.h"
#include "serving/model/language_model.h"

namespace pelton::library {

// A model as a caller opened it: one of the two is there. Any thread.
struct LoadedModel {
  std::string path;
  std::unique_ptr<LanguageModel> language;
  std::unique_ptr<EmbeddingModel> encoder;
  size_t max_sequences = 0;
  std::atomic<bool> closed = false;  // requests that are still being submitted end at once

  const Tokenizer* tokenizer() const {
    return encoder != nullptr ? encoder->tokenizer.get() : language->tokenizer.get();
  }
  const ModelConfig& config() const {
    return encoder != nullptr ? encoder->files.config : language->files.config;
  }
};

// Opens a path or a name in the store. InvalidArgument naming the option that is out of range;
// NotFound, which suggests the nearest name; the errors of LoadLanguageModel and
// LoadEmbeddingModel.
Result<std::shared_ptr<LoadedModel>> OpenLoadedModel(const std::string& model,
                                                     const pelton_model_options& options);

// The texts in it are the model's.
pelton_model_info InfoOf(const LoadedModel& model);

}  // namespace pelton::library
