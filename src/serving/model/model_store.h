#pragma once

#include <cstdint>
#include <string>
#include <string_view>
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

// The user's own files, $XDG_CACHE_HOME/pelton, and the store in it, models. No thread may change
// the environment meanwhile.
std::string UserCacheFolder();
std::string DefaultModelsFolder();

// Whether a name may become a file's in the store: 1 to 200 letters, digits and "._-", not
// beginning with ".".
bool IsStoreName(std::string_view name);

// Another name for a model of the store, without another copy of its data: hard links to its files.
// NotFound if `from` is not in the store; InvalidArgument if `to` is no name or is taken.
Result<StoredModel> CopyInStore(const std::string& folder, const std::string& from,
                                const std::string& to);

// Takes a model's files out of the store; all parts of a split one. Whoever has them open keeps
// them. NotFound if it is not there. Nothing outside the folder is touched, whatever links lead to.
Status RemoveFromStore(const std::string& folder, const std::string& name);

// Names that ResolveModel knows beside paths.
std::vector<std::string> KnownModelNames(const std::string& store_folder);

// The embedded default model: its short name and its file in the store.
inline constexpr const char* kDefaultModelName = "smollm2";
inline constexpr const char* kDefaultModelFile = "smollm2-135m-instruct-q4_1.gguf";
// The default model for embeddings, a folder.
inline constexpr const char* kDefaultEncoderName = "minilm";
inline constexpr const char* kDefaultEncoderFolder = "all-minilm-l6-v2";

}  // namespace pelton
