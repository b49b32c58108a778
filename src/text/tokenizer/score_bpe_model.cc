#include "text/tokenizer/score_bpe_model.h"

#include <algorithm>

#include "text/tokenizer/utf8.h"

namespace pelton::tokenizer {

namespace {

// Where the second word of `text` begins: at the first U+2581 behind another character.
size_t FirstWordEnd(std::string_view text) {
  size_t marks = 0;
  while (text.substr(marks).starts_with(kSpaceMark)) marks += kSpaceMark.size();
  return std::min(text.find(kSpaceMark, marks), text.size());
}

}  // namespace

bool AppendByteTokens(const Vocabulary& vocabulary, std::string_view text,
                      std::vector<int32_t>* ids) {
  for (const char c : text) {
    if (vocabulary.ByteToken(static_cast<unsigned char>(c)) == kNoToken) return false;
  }
  for (const char c : text) ids->push_back(vocabulary.ByteToken(static_cast<unsigned char>(c)));
  return true;
}

ScoreBpeModel::ScoreBpeModel(const Vocabulary& vocabulary, std::vector<float> scores,
                             int32_t unknown_id)
    : vocabulary_(vocabulary), scores_(std::move(scores)), unknown_id_(unknown_id) {
  for (int32_t id = 0; static_cast<size_t>(id) < vocabulary.size(); ++id) {
    const std::string_view text = vocabulary.text(id);
    if (vocabulary.Find(text) != id) continue;  // merges do not lead to it
    words_are_separate_ &= FirstWordEnd(text) == text.size();
  }
}

void ScoreBpeModel::Encode(std::string_view piece, std::vector<int32_t>* ids) const {
  std::vector<MergeSymbol> symbols;
  std::vector<MergeCandidate<float>> candidates;
  bool after_unknown = false;
  while (!piece.empty()) {
    const std::string_view word =
        piece.substr(0, words_are_separate_ ? FirstWordEnd(piece) : piece.size());
    piece.remove_prefix(word.size());
    SplitCharacters(word, &symbols);
    struct Found {
      float priority;
      int32_t id;
    };
    const auto find = [&](const MergeSymbol& left, const MergeSymbol& right) {
      const size_t size = size_t{left.size} + right.size;
      if (size > vocabulary_.longest_text()) return Found{0, kNoToken};
      const int32_t id = vocabulary_.Find(word.substr(left.start, size));
      return Found{id == kNoToken ? 0 : -scores_[static_cast<size_t>(id)], id};
    };
    MergePairs(find, symbols, candidates);
    for (const MergeSymbol& symbol : symbols) {
      if (symbol.size == 0) continue;
      const bool unknown =
          symbol.id == kNoToken &&
          !AppendByteTokens(vocabulary_, word.substr(symbol.start, symbol.size), ids);
      if (symbol.id != kNoToken) ids->push_back(symbol.id);
      if (unknown && !after_unknown && unknown_id_ != kNoToken) ids->push_back(unknown_id_);
      after_unknown = unknown;
    }
  }
}

size_t ScoreBpeModel::MaxTokenBytes() const {
  return vocabulary_.HasByteTokens() ? std::max<size_t>(1, vocabulary_.longest_text()) : 0;
}

void ScoreBpeModel::SplitCharacters(std::string_view word,
                                    std::vector<MergeSymbol>* symbols) const {
  symbols->clear();
  for (size_t pos = 0; pos < word.size();) {
    const size_t start = pos;
    DecodeUtf8(word, &pos);
    const auto index = static_cast<int32_t>(symbols->size());
    symbols->push_back({static_cast<uint32_t>(start), static_cast<uint32_t>(pos - start),
                        vocabulary_.Find(word.substr(start, pos - start)), index - 1,
                        pos == word.size() ? -1 : index + 1});
  }
}

}  // namespace pelton::tokenizer
