#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <string>
#include <string_view>

namespace pelton {

// Names of a decoder's tensors in the two formats.
struct TensorNames {
  bool gguf;

  std::string Layer(uint32_t layer, std::string_view in_gguf, std::string_view in_folder) const {
    return gguf ? fmt::format("blk.{}.{}", layer, in_gguf)
                : fmt::format("model.layers.{}.{}", layer, in_folder);
  }
  std::string Embedding() const { return gguf ? "token_embd.weight" : "model.embed_tokens.weight"; }
  std::string FinalNorm() const { return gguf ? "output_norm.weight" : "model.norm.weight"; }
  std::string Head() const { return gguf ? "output.weight" : "lm_head.weight"; }
};

}  // namespace pelton
