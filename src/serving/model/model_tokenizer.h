#pragma once

#include <memory>
#include <string>

#include "base/status.h"
#include "models/weights/model_files.h"
#include "text/tokenizer/tokenizer.h"

namespace pelton {

// The tokenizer of an open model; null where it has none, and takes and gives ids only. Errors of
// the tokenizer's files, with their path.
Result<std::unique_ptr<Tokenizer>> TokenizerOf(const ModelFiles& files);

// The tokenizer of a model or of a bare vocabulary: a GGUF file, a model folder, a tokenizer.json
// or a SentencePiece .model.
Result<std::unique_ptr<Tokenizer>> LoadTokenizer(const std::string& path);

// Whether an id that both know means the same to a draft model and to `tokenizer`, which may be
// null: else InvalidArgument, with the first id that does not.
Status CheckSameVocabulary(const ModelFiles& draft_files, const Tokenizer* tokenizer);

}  // namespace pelton
