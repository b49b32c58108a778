#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "base/status.h"

namespace pelton {

// What a model's files tell without its weights in memory.
struct ModelFacts {
  std::string path;
  std::string architecture;
  std::string format;        // "gguf" or "safetensors"
  std::string quantization;  // that most bytes of weights have: "Q4_0"
  bool encoder = false;
  uint64_t parameters = 0;
  uint64_t file_bytes = 0;  // of all its files
  int64_t modified = 0;     // Unix seconds, of the newest of them
  size_t context_tokens = 0;
  size_t vocab = 0;
  size_t hidden = 0;
  size_t layers = 0;
  std::string chat_template;  // empty: none
  bool knows_tools = false;   // its chats do
};

// Opens a model for its facts; errors are those of OpenModel.
Result<ModelFacts> ReadModelFacts(const std::string& path);

}  // namespace pelton
