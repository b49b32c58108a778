#include <memory>
#include <string>
#include <string_view>

#include "text/tokenizer/gguf_parts.h"
#include "text/tokenizer/unicode.h"
#include "text/tokenizer/wordpiece_model.h"

namespace pelton::tokenizer {

namespace {

constexpr std::string_view kWordMark = "\u2581";  // what GGUF puts before a word's first token
constexpr std::string_view kContinuation = "##";

}  // namespace

Result<TokenizerParts> WordPiecePartsFromGguf(const VocabMetadata& metadata) {
  const std::vector<std::string_view> tokens = metadata.Strings("tokenizer.ggml.tokens");
  if (tokens.empty()) return DataLoss("the file has no tokenizer.ggml.tokens");
  ASSIGN_OR_RETURN(const std::vector<TokenKind> kinds, KindsFromGguf(metadata, tokens.size()));
  size_t bytes = 0;
  for (const std::string_view token : tokens) bytes += token.size() + kContinuation.size();
  TokenizerParts parts;
  parts.vocabulary = std::make_unique<Vocabulary>();
  parts.vocabulary->Reserve(tokens.size(), bytes);
  std::string text;
  std::string piece;
  for (size_t i = 0; i < tokens.size(); ++i) {
    // As vocab.txt has them: words are bare and continuations marked, not the other way round.
    // Special tokens and some others were left alone by the converter.
    const bool marked = kinds[i] == TokenKind::kNormal && tokens[i].starts_with(kWordMark);
    const bool word = marked || kinds[i] != TokenKind::kNormal || tokens[i].starts_with("[unused");
    const std::string_view bare = marked ? tokens[i].substr(kWordMark.size()) : tokens[i];
    text.assign(word ? "" : kContinuation).append(bare);
    piece.assign(word ? " " : "").append(bare);
    parts.vocabulary->Append(text, piece, kinds[i]);
  }
  parts.vocabulary->BuildIndex();
  parts.strips_first_space = true;
  // Files that do not say whether case and accents count are from BERT's uncased vocabularies.
  const bool lower = metadata.Bool("tokenizer.ggml.normalizer.lowercase").value_or(true);
  parts.normalizer.Add(MakeBertNormalizer(
      {.strip_accents = metadata.Bool("tokenizer.ggml.normalizer.strip_accents").value_or(lower),
       .lower_case = lower}));
  parts.pre_tokenizer.Add(MakeClassSplit(kSpace, SplitBehavior::kRemoved));
  parts.pre_tokenizer.Add(MakeClassSplit(kPunct, SplitBehavior::kIsolated, true));
  RETURN_IF_ERROR(FinishPartsFromGguf(metadata, false, false, &parts));
  const auto token_id = [&](std::string_view key) -> std::optional<int32_t> {
    const std::optional<int64_t> id = metadata.Integer(key);
    if (!id || *id < 0 || static_cast<uint64_t>(*id) >= tokens.size()) return std::nullopt;
    return static_cast<int32_t>(*id);
  };
  auto first = token_id("tokenizer.ggml.cls_token_id");
  if (!first) first = parts.bos;
  // The format's own spelling.
  const auto last = token_id("tokenizer.ggml.seperator_token_id");
  parts.prefix.clear();
  parts.suffix.clear();
  if (first && metadata.Bool("tokenizer.ggml.add_bos_token").value_or(true)) {
    parts.prefix.push_back(*first);
  }
  if (last && metadata.Bool("tokenizer.ggml.add_sep_token").value_or(true)) {
    parts.suffix.push_back(*last);
  }
  if (!parts.bos) parts.bos = first;
  parts.model = std::make_unique<WordPieceModel>(
      *parts.vocabulary, WordPieceModel::Options{.continuation_prefix = std::string(kContinuation),
                                                 .unknown_id = parts.unknown.value_or(kNoToken)});
  return parts;
}

}  // namespace pelton::tokenizer
