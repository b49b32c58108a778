#include <string>
#include <string_view>
#include <utility>

#include "text/tokenizer/bpe_model.h"
#include "text/tokenizer/byte_alphabet.h"
#include "text/tokenizer/gguf_parts.h"
#include "text/tokenizer/known_splits.h"

namespace pelton::tokenizer {

namespace {

// Reads "left right"; a part may itself begin with a space.
Status AddMerges(const std::vector<std::string_view>& merges, MergeTableBuilder* table) {
  std::string left;
  std::string right;
  for (size_t i = 0; i < merges.size(); ++i) {
    const size_t space = merges[i].find(' ', 1);
    left.clear();
    right.clear();
    if (space == std::string_view::npos || !AppendBytesOf(merges[i].substr(0, space), &left) ||
        !AppendBytesOf(merges[i].substr(space + 1), &right)) {
      return DataLoss("tokenizer.ggml.merges[" + std::to_string(i) + "] is not two tokens");
    }
    if (!table->Add(left, right)) {
      return DataLoss("tokenizer.ggml.merges[" + std::to_string(i) +
                      "] has a part or a result that is no token");
    }
  }
  return OkStatus();
}

}  // namespace

Result<TokenizerParts> ByteLevelPartsFromGguf(const VocabMetadata& metadata) {
  const std::vector<std::string_view> tokens = metadata.Strings("tokenizer.ggml.tokens");
  if (tokens.empty()) return DataLoss("the file has no tokenizer.ggml.tokens");
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

  const std::vector<std::string_view> merges = metadata.Strings("tokenizer.ggml.merges");
  MergeTableBuilder table(*parts.vocabulary, merges.size(), MergeTable::Duplicates::kFirstWins);
  RETURN_IF_ERROR(AddMerges(merges, &table));
  ASSIGN_OR_RETURN(KnownSplit known,
                   MakeKnownSplit(metadata.String("tokenizer.ggml.pre").value_or("default")));
  parts.pre_tokenizer = std::move(known.pre_tokenizer);
  if (known.nfc) parts.normalizer.Add(MakeNormalForm(NormalForm::kNfc));
  RETURN_IF_ERROR(FinishPartsFromGguf(metadata, known.adds_bos, false, &parts));
  // Bytes that are no token vanish: the file's unknown token is not for them.
  parts.model = std::make_unique<BpeModel>(*parts.vocabulary, table.Finish(),
                                           BpeOptions{.ignore_merges = known.ignore_merges});
  return parts;
}

}  // namespace pelton::tokenizer
