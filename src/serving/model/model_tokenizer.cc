#include "serving/model/model_tokenizer.h"

#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <string_view>

#include "base/mapped_file.h"
#include "models/weights/gguf.h"
#include "serving/model/gguf_vocab.h"

namespace pelton {
namespace {

Result<std::string> ReadTextFile(const std::string& path) {
  ASSIGN_OR_RETURN(const MappedFile file, MappedFile::Open(path));
  return std::string(reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size());
}

std::string_view AsText(const MappedFile& file) {
  return {reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()};
}

// tokenizer_config.json beside a tokenizer.json, empty if there is none.
std::string ConfigBeside(const std::string& tokenizer_json_path) {
  const size_t slash = tokenizer_json_path.rfind('/');
  const std::string folder =
      slash == std::string::npos ? "." : tokenizer_json_path.substr(0, slash);
  Result<std::string> text = ReadTextFile(folder + "/tokenizer_config.json");
  return text.ok() ? std::move(text).value() : std::string();
}

Result<std::unique_ptr<Tokenizer>> TokenizerFromJsonFile(const std::string& path) {
  ASSIGN_OR_RETURN(const MappedFile file, MappedFile::Open(path));
  Result<std::unique_ptr<Tokenizer>> tokenizer =
      TokenizerFromJson(AsText(file), ConfigBeside(path));
  if (!tokenizer.ok()) return tokenizer.status().WithContext(path);
  return tokenizer;
}

Result<std::unique_ptr<Tokenizer>> TokenizerFromModelFile(const std::string& path) {
  ASSIGN_OR_RETURN(const MappedFile file, MappedFile::Open(path));
  Result<std::unique_ptr<Tokenizer>> tokenizer = TokenizerFromSentencePiece(file.bytes());
  if (!tokenizer.ok()) return tokenizer.status().WithContext(path);
  return tokenizer;
}

}  // namespace

Result<std::unique_ptr<Tokenizer>> TokenizerOf(const ModelFiles& files) {
  if (files.gguf) {
    Result<std::unique_ptr<Tokenizer>> tokenizer = TokenizerFromMetadata(GgufVocab(*files.gguf));
    if (!tokenizer.ok()) return tokenizer.status().WithContext(files.path);
    return tokenizer;
  }
  if (!files.tokenizer_json_path.empty()) return TokenizerFromJsonFile(files.tokenizer_json_path);
  if (!files.tokenizer_model_path.empty())
    return TokenizerFromModelFile(files.tokenizer_model_path);
  return std::unique_ptr<Tokenizer>();  // the model takes and gives ids only
}

Result<std::unique_ptr<Tokenizer>> LoadTokenizer(const std::string& path) {
  if (path.ends_with(".json")) return TokenizerFromJsonFile(path);
  if (path.ends_with(".model")) return TokenizerFromModelFile(path);
  if (path.ends_with(".gguf")) {
    // A bare vocabulary is no whole model, so only the metadata is looked at.
    ASSIGN_OR_RETURN(const GgufModel file, OpenGguf(path));
    Result<std::unique_ptr<Tokenizer>> tokenizer = TokenizerFromMetadata(GgufVocab(file.metadata));
    if (!tokenizer.ok()) return tokenizer.status().WithContext(path);
    return tokenizer;
  }
  ASSIGN_OR_RETURN(const ModelFiles files, OpenModel(path));
  ASSIGN_OR_RETURN(std::unique_ptr<Tokenizer> tokenizer, TokenizerOf(files));
  if (tokenizer == nullptr) {
    return NotFound(fmt::format("{}: found no tokenizer.json and no tokenizer.model", path));
  }
  return tokenizer;
}

Status CheckSameVocabulary(const ModelFiles& draft_files, const Tokenizer* tokenizer) {
  ASSIGN_OR_RETURN(const std::unique_ptr<Tokenizer> draft, TokenizerOf(draft_files));
  if ((draft == nullptr) != (tokenizer == nullptr)) {
    return InvalidArgument(fmt::format(
        "{}: found {} tokenizer, but the main model has {}; a draft model needs the "
        "same vocabulary",
        draft_files.path, draft == nullptr ? "no" : "a", tokenizer == nullptr ? "none" : "one"));
  }
  if (draft == nullptr) return OkStatus();
  const size_t common = std::min(draft->vocab_size(), tokenizer->vocab_size());
  for (size_t i = 0; i < common; ++i) {
    const auto id = static_cast<int32_t>(i);
    if (draft->Piece(id) == tokenizer->Piece(id)) continue;
    return InvalidArgument(fmt::format(
        "{}: found token {} {:?}, expected {:?} as in the main model; a draft model needs the same "
        "vocabulary",
        draft_files.path, id, draft->Piece(id), tokenizer->Piece(id)));
  }
  return OkStatus();
}

}  // namespace pelton
