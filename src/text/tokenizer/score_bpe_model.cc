#include "text/tokenizer/score_bpe_model.h"

#include "text/tokenizer/pair_merger.h"
#include "text/tokenizer/utf8.h"

namespace pelton::tokenizer {

bool AppendByteTokens(const Vocabulary& vocabulary, std::string_view text,
                      std::vector<int32_t>* ids) {
  for (const char c : text) {
    if (vocabulary.ByteToken(static_cast<unsigned char>(c)) == kNoToken) return false;
  }
  for (const char c : text) ids->push_back(vocabulary.ByteToken(static_cast<unsigned char>(c)));
  return true;
}

void ScoreBpeModel::Encode(std::string_view piece, std::vector<int32_t>* ids) const {
  std::vector<MergeSymbol> symbols;
  symbols.reserve(piece.size());
  for (size_t pos = 0; pos < piece.size();) {
    const size_t start = pos;
    DecodeUtf8(piece, &pos);
    const auto index = static_cast<int32_t>(symbols.size());
    symbols.push_back({static_cast<uint32_t>(start), static_cast<uint32_t>(pos - start),
                       vocabulary_.Find(piece.substr(start, pos - start)), index - 1,
                       pos == piece.size() ? -1 : index + 1});
  }
  struct Found {
    float priority;
    int32_t id;
  };
  MergePairs<float>(symbols, [&](const MergeSymbol& left, const MergeSymbol& right) {
    const size_t size = size_t{left.size} + right.size;
    if (size > vocabulary_.longest_text()) return Found{0, kNoToken};
    const int32_t id = vocabulary_.Find(piece.substr(left.start, size));
    return Found{id == kNoToken ? 0 : -scores_[static_cast<size_t>(id)], id};
  });
  bool after_unknown = false;
  for (const MergeSymbol& symbol : symbols) {
    if (symbol.size == 0) continue;
    const bool unknown =
        symbol.id == kNoToken &&
        !AppendByteTokens(vocabulary_, piece.substr(symbol.start, symbol.size), ids);
    if (symbol.id != kNoToken) ids->push_back(symbol.id);
    if (unknown && !after_unknown && unknown_id_ != kNoToken) ids->push_back(unknown_id_);
    after_unknown = unknown;
  }
}

}  // namespace pelton::tokenizer
