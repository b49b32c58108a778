#include <string>
#include <string_view>
#include <utility>

#include "text/tokenizer/bpe_model.h"
#include "text/tokenizer/byte_alphabet.h"
#include "text/tokenizer/byte_token.h"
#include "text/tokenizer/gguf_parts.h"
#include "text/tokenizer/known_splits.h"
#include "text/tokenizer/sentencepiece_parts.h"

namespace pelton::tokenizer {

namespace {

// The pre-tokenizers of vocabularies that are written as SentencePiece does, U+2581 for a space,
// but merge by rank.
bool IsCharacterLevel(std::string_view pre) {
  return pre == "gemma4" || pre == "sarvam-moe" || pre == "granite-embed-multi-311m";
}

// Reads "left right"; a part may itself begin with a space.
Result<MergeTable> ReadMerges(const VocabMetadata& metadata, const Vocabulary& vocabulary,
                              bool byte_level) {
  const std::vector<std::string_view> merges = metadata.Strings("tokenizer.ggml.merges");
  MergeTableBuilder table(vocabulary, merges.size(), MergeTable::Duplicates::kFirstWins);
  std::string left;
  std::string right;
  for (size_t i = 0; i < merges.size(); ++i) {
    const size_t space = merges[i].find(' ', 1);
    bool sound = space != std::string_view::npos;
    if (sound && byte_level) {
      left.clear();
      right.clear();
      sound = AppendBytesOf(merges[i].substr(0, space), &left) &&
              AppendBytesOf(merges[i].substr(space + 1), &right);
    } else if (sound) {
      left = merges[i].substr(0, space);
      right = merges[i].substr(space + 1);
    }
    if (!sound) {
      return DataLoss("tokenizer.ggml.merges[" + std::to_string(i) + "] is not two tokens");
    }
    if (!table.Add(left, right)) {
      return DataLoss("tokenizer.ggml.merges[" + std::to_string(i) +
                      "] has a part or a result that is no token");
    }
  }
  return table.Finish();
}

Result<TokenizerParts> CharacterLevelParts(const VocabMetadata& metadata) {
  SentencePieceSource source;
  source.texts = metadata.Strings("tokenizer.ggml.tokens");
  const size_t size = source.texts.size();
  source.scores.assign(size, 0);  // ranks decide instead
  ASSIGN_OR_RETURN(source.kinds, KindsFromGguf(metadata, size));
  for (size_t i = 0; i < size; ++i) {
    if (source.kinds[i] == TokenKind::kNormal && ByteOfToken(source.texts[i])) {
      source.kinds[i] = TokenKind::kByte;
    }
  }
  source.normalization.dummy_prefix = false;
  source.normalization.remove_extra_spaces = false;
  ASSIGN_OR_RETURN(TokenizerParts parts,
                   PartsFromSentencePiece(std::move(source), "tokenizer.ggml.tokens"));
  RETURN_IF_ERROR(FinishPartsFromGguf(metadata, true, false, &parts));
  ASSIGN_OR_RETURN(MergeTable merges, ReadMerges(metadata, *parts.vocabulary, false));
  parts.model =
      std::make_unique<BpeModel>(*parts.vocabulary, std::move(merges),
                                 BpeOptions{.byte_level = false,
                                            .byte_fallback = true,
                                            .fuse_unknown = true,
                                            .unknown_id = parts.unknown.value_or(kNoToken)});
  return parts;
}

}  // namespace

Result<TokenizerParts> RankedBpePartsFromGguf(const VocabMetadata& metadata) {
  const std::vector<std::string_view> tokens = metadata.Strings("tokenizer.ggml.tokens");
  if (tokens.empty()) return DataLoss("the file has no tokenizer.ggml.tokens");
  const bool is_gemma = metadata.String("tokenizer.ggml.model") == "gemma4";
  const std::string_view pre =
      metadata.String("tokenizer.ggml.pre").value_or(is_gemma ? "gemma4" : "default");
  if (is_gemma || IsCharacterLevel(pre)) return CharacterLevelParts(metadata);
  ASSIGN_OR_RETURN(const std::vector<TokenKind> kinds, KindsFromGguf(metadata, tokens.size()));
  size_t bytes = 0;
  for (const std::string_view token : tokens) bytes += token.size();
  TokenizerParts parts;
  parts.vocabulary = std::make_unique<Vocabulary>();
  parts.vocabulary->Reserve(tokens.size(), bytes);
  std::string raw;
  for (size_t i = 0; i < tokens.size(); ++i) {
    raw.clear();
    // Added tokens are written as they are. So are those that the alphabet cannot spell.
    if (kinds[i] != TokenKind::kNormal || !AppendBytesOf(tokens[i], &raw)) raw = tokens[i];
    parts.vocabulary->Append(raw, raw, kinds[i]);
  }
  parts.vocabulary->BuildIndex();

  ASSIGN_OR_RETURN(MergeTable merges, ReadMerges(metadata, *parts.vocabulary, true));
  ASSIGN_OR_RETURN(KnownSplit known, MakeKnownSplit(pre));
  parts.pre_tokenizer = std::move(known.pre_tokenizer);
  if (known.nfc) parts.normalizer.Add(MakeNormalForm(NormalForm::kNfc));
  RETURN_IF_ERROR(FinishPartsFromGguf(metadata, known.adds_bos, false, &parts));
  // Bytes that are no token vanish: the file's unknown token is not for them.
  parts.model = std::make_unique<BpeModel>(*parts.vocabulary, std::move(merges),
                                           BpeOptions{.ignore_merges = known.ignore_merges});
  return parts;
}

}  // namespace pelton::tokenizer
