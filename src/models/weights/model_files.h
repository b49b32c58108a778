#pragma once

#include <optional>
#include <string>

#include "base/status.h"
#include "models/weights/gguf_metadata.h"
#include "models/weights/model_config.h"
#include "models/weights/weight_source.h"

namespace pelton {

// A model on disk, opened: what it looks like, its weights, and where its text side is.
struct ModelFiles {
  std::string path;  // as given to OpenModel
  ModelConfig config;
  WeightSource weights;

  // A GGUF file carries tokenizer and chat template in its metadata (keys "tokenizer.*"); borrows
  // the mapping that `weights` keeps, so it lives as long as this struct. Empty for a folder.
  std::optional<GgufMetadata> gguf;

  // Of a folder; empty where it has no such file.
  std::string tokenizer_json_path;
  std::string tokenizer_model_path;  // SentencePiece

  // The chat template's text: tokenizer.chat_template of a GGUF file; chat_template.jinja or, in
  // tokenizer_config.json, chat_template (the one named "default" if it is a list). Empty: none.
  std::string chat_template;
  // bos_token and eos_token of tokenizer_config.json as text; templates use them. Empty: not said.
  std::string bos_text;
  std::string eos_text;
};

// Opens `path`: a GGUF file (any part of a split one) or a folder with config.json, safetensors
// and tokenizer files as Hugging Face lays them out; a folder with exactly one GGUF model opens
// that. NotFound if there is nothing, InvalidArgument if it is another kind of file, otherwise the
// errors of OpenGguf, OpenSafetensors, ConfigFromGguf and ConfigFromJson. Messages begin with the
// path of the file at fault.
Result<ModelFiles> OpenModel(const std::string& path);

}  // namespace pelton
