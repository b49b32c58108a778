#include "text/tokenizer/sentencepiece_parts.h"

#include <cmath>
#include <memory>
#include <string>
#include <utility>

#include "text/tokenizer/byte_token.h"
#include "text/tokenizer/score_bpe_model.h"
#include "text/tokenizer/unigram_model.h"
#include "text/tokenizer/utf8.h"

namespace pelton::tokenizer {

namespace {

void AppendUnescaped(std::string_view text, std::string* out) {
  size_t done = 0;
  for (size_t at = text.find(kSpaceMark); at != std::string_view::npos;
       at = text.find(kSpaceMark, done)) {
    out->append(text.substr(done, at - done)).push_back(' ');
    done = at + kSpaceMark.size();
  }
  out->append(text.substr(done));
}

Result<std::unique_ptr<Vocabulary>> MakeVocabulary(const SentencePieceSource& source,
                                                   std::string_view name) {
  size_t bytes = 0;
  for (const std::string_view text : source.texts) bytes += text.size();
  auto vocabulary = std::make_unique<Vocabulary>();
  vocabulary->Reserve(source.texts.size(), bytes);
  std::string piece;
  for (size_t i = 0; i < source.texts.size(); ++i) {
    const std::string_view text = source.texts[i];
    if (std::isnan(source.scores[i])) {
      return DataLoss(std::string(name) + ": the score of token " + std::to_string(i) +
                      " is not a number");
    }
    piece.clear();
    if (source.kinds[i] == TokenKind::kByte) {
      const std::optional<unsigned char> byte = ByteOfToken(text);
      if (!byte) {
        return DataLoss(std::string(name) + ": byte token " + std::to_string(i) + " is \"" +
                        std::string(text.substr(0, 64)) + "\", expected \"<0x00>\" to \"<0xFF>\"");
      }
      piece.push_back(static_cast<char>(*byte));
    } else {
      AppendUnescaped(text, &piece);
    }
    vocabulary->Append(text, piece, source.kinds[i]);
  }
  vocabulary->BuildIndex();
  return vocabulary;
}

}  // namespace

Result<TokenizerParts> PartsFromSentencePiece(SentencePieceSource source, std::string_view name) {
  if (source.scores.size() != source.texts.size() || source.kinds.size() != source.texts.size()) {
    return DataLoss(std::string(name) + " has " + std::to_string(source.texts.size()) +
                    " tokens, but " + std::to_string(source.scores.size()) + " scores");
  }
  TokenizerParts parts;
  ASSIGN_OR_RETURN(parts.vocabulary, MakeVocabulary(source, name));
  const Vocabulary& vocabulary = *parts.vocabulary;
  parts.unknown = source.unknown;
  parts.strips_first_space =
      source.normalization.dummy_prefix && !source.normalization.dummy_suffix;
  for (size_t i = 0; i < source.texts.size(); ++i) {
    if (source.kinds[i] != TokenKind::kUserDefined || source.texts[i].empty()) continue;
    const AddedToken token = {.id = static_cast<int32_t>(i), .special = false};
    if (!parts.added_normalized.Add(source.texts[i], token)) {
      return DataLoss(std::string(name) + ": user-defined token " + std::to_string(i) + " has " +
                      std::to_string(source.texts[i].size()) + " bytes, more than " +
                      std::to_string(AddedTokens::kMaxBytes));
    }
  }
  parts.normalizer.Add(MakeSentencePieceNormalizer(std::move(source.normalization)));
  const int32_t unknown = parts.unknown.value_or(kNoToken);
  if (source.unigram) {
    parts.model = std::make_unique<UnigramModel>(
        vocabulary, std::vector<double>(source.scores.begin(), source.scores.end()),
        UnigramModel::Options{.byte_fallback = true, .unknown_id = unknown});
  } else {
    parts.model = std::make_unique<ScoreBpeModel>(vocabulary, std::move(source.scores), unknown);
  }
  return parts;
}

}  // namespace pelton::tokenizer
