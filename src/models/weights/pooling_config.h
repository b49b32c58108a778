#pragma once

#include <string>
#include <string_view>

#include "base/status.h"
#include "models/weights/model_files.h"

namespace pelton {

// How a model's makers turn hidden states into an embedding.
struct PoolingConfig {
  std::string mode = "mean";  // "mean", "cls" or "last"
  bool normalize = true;      // to an L2 norm of 1
  bool matryoshka = false;    // whether the first numbers of an embedding are one too
};

// From sentence-transformers' files in a model's folder (modules.json, and config.json of the
// pooling module) and matryoshka_dimensions or is_matryoshka of config.json, or from a GGUF file's
// pooling_type; the defaults above where it says nothing. Unimplemented for another way.
Result<PoolingConfig> ReadPoolingConfig(const ModelFiles& files);

// The parts of it, from the texts of the files. `file` names them in messages.
Result<std::string> PoolingModeFromJson(std::string_view text, std::string_view file);
struct SentenceModules {
  std::string pooling_folder;  // empty: no such module
  bool normalize = false;
};
Result<SentenceModules> SentenceModulesFromJson(std::string_view text, std::string_view file);

}  // namespace pelton
