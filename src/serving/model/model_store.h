#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/status.h"

namespace pelton {

// The folder where models are kept by name. A model is one GGUF file, NAME.gguf, or a folder NAME
// as Hugging Face lays it out; plain files that other tools can read too.
struct StoredModel {
  std::string name;
  std::string path;
  uint64_t bytes = 0;
};

// The models in `folder`, by name; empty if there is no such folder.
std::vector<StoredModel> ListStore(const std::string& folder);

// The path that MODEL on a command line means: an existing file or folder, or a name in the store
// ("smollm2" is the embedded default model). NotFound, naming both places and the nearest name.
Result<std::string> ResolveModel(const std::string& model, const std::string& store_folder);

// The user's own store: $XDG_CACHE_HOME/pelton/models. No thread may change the environment
// meanwhile.
std::string DefaultModelsFolder();

// Names that ResolveModel knows beside paths.
std::vector<std::string> KnownModelNames(const std::string& store_folder);

// The embedded default model: its short name and its file in the store.
inline constexpr const char* kDefaultModelName = "smollm2";
inline constexpr const char* kDefaultModelFile = "smollm2-135m-instruct-q4_1.gguf";
// The default model for embeddings, a folder.
inline constexpr const char* kDefaultEncoderName = "minilm";
inline constexpr const char* kDefaultEncoderFolder = "all-minilm-l6-v2";

}  // namespace pelton
