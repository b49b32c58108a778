#include "serving/model/model_facts.h"

#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <set>

#include "base/dtype.h"
#include "models/weights/model_files.h"
#include "serving/model/model_chat.h"

namespace pelton {
namespace {

void AddWeights(const WeightSource& weights, ModelFacts* facts) {
  std::array<uint64_t, kDTypeCount> bytes = {};
  std::set<std::string> files;
  for (const TensorInfo& tensor : weights.tensors()) {
    facts->parameters += tensor.NumElements();
    bytes[static_cast<size_t>(tensor.dtype)] += tensor.data.size();
    files.insert(weights.FileOf(tensor));
  }
  const auto most = std::max_element(bytes.begin(), bytes.end());
  facts->quantization = DTypeName(static_cast<DType>(most - bytes.begin()));
  for (const std::string& file : files) {
    struct stat info {};
    if (::stat(file.c_str(), &info) != 0) continue;
    facts->file_bytes += static_cast<uint64_t>(info.st_size);
    facts->modified = std::max<int64_t>(facts->modified, info.st_mtime);
  }
}

}  // namespace

Result<ModelFacts> ReadModelFacts(const std::string& path) {
  ASSIGN_OR_RETURN(const ModelFiles files, OpenModel(path));
  const ModelConfig& config = files.config;
  ModelFacts facts{.path = path,
                   .architecture = config.architecture,
                   .format = files.gguf ? "gguf" : "safetensors",
                   .quantization = "",
                   .encoder = config.encoder,
                   .context_tokens = static_cast<size_t>(config.context_tokens),
                   .vocab = config.vocab,
                   .hidden = config.hidden,
                   .layers = config.layers,
                   .chat_template = files.chat_template};
  AddWeights(files.weights, &facts);
  const Result<ModelChat> chat = ChatOf(files);
  facts.knows_tools = chat.ok() && chat->format && chat->format->KnowsTools();
  return facts;
}

}  // namespace pelton
