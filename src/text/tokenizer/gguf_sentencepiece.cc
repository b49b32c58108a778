#include <string>
#include <string_view>
#include <utility>

#include "text/tokenizer/gguf_parts.h"
#include "text/tokenizer/sentencepiece_parts.h"

namespace pelton::tokenizer {

Result<TokenizerParts> SentencePiecePartsFromGguf(const VocabMetadata& metadata, bool unigram) {
  SentencePieceSource source;
  source.texts = metadata.Strings("tokenizer.ggml.tokens");
  if (source.texts.empty()) return DataLoss("the file has no tokenizer.ggml.tokens");
  const size_t size = source.texts.size();
  source.scores = metadata.Floats("tokenizer.ggml.scores");
  // Without scores every merge is as good as another.
  if (source.scores.empty()) source.scores.assign(size, 0);
  ASSIGN_OR_RETURN(source.kinds, KindsFromGguf(metadata, size));
  source.unigram = unigram;
  const std::optional<int64_t> unknown = metadata.Integer("tokenizer.ggml.unknown_token_id");
  if (unknown && *unknown >= 0 && static_cast<uint64_t>(*unknown) < size) {
    source.unknown = static_cast<int32_t>(*unknown);
  }
  for (size_t i = 0; i < size; ++i) {
    // Some files (Phi-3) call the sentence marks user-defined, so that any text could spell them.
    if (source.kinds[i] == TokenKind::kUserDefined &&
        (source.texts[i] == "</s>" || source.texts[i] == "<s>")) {
      source.kinds[i] = TokenKind::kControl;
    }
  }
  SentencePieceNormalization& normalization = source.normalization;
  normalization.dummy_prefix = metadata.Bool("tokenizer.ggml.add_space_prefix").value_or(true);
  normalization.remove_extra_spaces =
      metadata.Bool("tokenizer.ggml.remove_extra_whitespaces").value_or(false);
  const std::span<const std::byte> charsmap = metadata.Bytes("tokenizer.ggml.precompiled_charsmap");
  if (!charsmap.empty()) {
    Result<Charsmap> map = Charsmap::FromBytes(charsmap);
    if (!map.ok()) return map.status().WithContext("tokenizer.ggml.precompiled_charsmap");
    normalization.charsmap = std::move(*map);
  }
  ASSIGN_OR_RETURN(TokenizerParts parts,
                   PartsFromSentencePiece(std::move(source), "tokenizer.ggml.tokens"));
  RETURN_IF_ERROR(FinishPartsFromGguf(metadata, !unigram, unigram, &parts));
  return parts;
}

}  // namespace pelton::tokenizer
