#include "text/tokenizer/unigram_model.h"

#include <algorithm>
#include <utility>

#include "text/tokenizer/score_bpe_model.h"
#include "text/tokenizer/utf8.h"

namespace pelton::tokenizer {

namespace {

// Below the lowest score of a token. Source: google/sentencepiece, src/unigram_model.cc.
constexpr double kUnknownPenalty = 10;

}  // namespace

UnigramModel::UnigramModel(const Vocabulary& vocabulary, std::vector<double> scores,
                           Options options)
    : vocabulary_(vocabulary), scores_(std::move(scores)), options_(options) {
  double lowest = 0;
  bool any = false;
  for (int32_t id = 0; static_cast<size_t>(id) < vocabulary.size(); ++id) {
    if (vocabulary.kind(id) != TokenKind::kNormal || vocabulary.text(id).empty()) continue;
    const double score = scores_[static_cast<size_t>(id)];
    trie_.Insert(vocabulary.text(id), id);
    lowest = any ? std::min(lowest, score) : score;
    any = true;
  }
  unknown_score_ = Rounded(lowest - kUnknownPenalty);
}

double UnigramModel::Rounded(double score) const {
  return options_.sums == Sums::kFloat ? static_cast<double>(static_cast<float>(score)) : score;
}

void UnigramModel::Relax(double score, int32_t id, size_t start, Best* best) const {
  score = Rounded(score);
  if (best->start >= 0 && !(score > best->score)) return;
  best->score = score;
  best->id = id;
  best->start = static_cast<int64_t>(start);
}

void UnigramModel::Encode(std::string_view piece, std::vector<int32_t>* ids) const {
  std::vector<Best> best(piece.size() + 1);
  for (size_t start = 0; start < piece.size();) {
    const double score = best[start].score;
    size_t character_end = start;
    DecodeUtf8(piece, &character_end);
    bool has_character = false;
    int32_t node = PrefixTrie::kRoot;
    for (size_t pos = start; pos < piece.size();) {
      node = trie_.Step(node, static_cast<unsigned char>(piece[pos]));
      if (node < 0) break;
      ++pos;
      const int32_t id = trie_.Value(node);
      if (id < 0) continue;
      Relax(score + scores_[static_cast<size_t>(id)], id, start, &best[pos]);
      has_character |= pos == character_end;
    }
    if (!has_character) {
      Relax(score + unknown_score_, kNoToken, start, &best[character_end]);
    }
    start = character_end;
  }
  std::vector<size_t> ends;  // of the best way's steps, last first
  for (size_t end = piece.size(); end > 0; end = static_cast<size_t>(best[end].start)) {
    ends.push_back(end);
  }
  for (size_t i = ends.size(); i-- > 0;) {
    if (best[ends[i]].id != kNoToken) {
      ids->push_back(best[ends[i]].id);
      continue;
    }
    const auto start = static_cast<size_t>(best[ends[i]].start);
    while (i > 0 && best[ends[i - 1]].id == kNoToken) --i;
    AppendUnknown(piece.substr(start, ends[i] - start), ids);
  }
}

size_t UnigramModel::MaxTokenBytes() const {
  const bool complete = options_.byte_fallback && vocabulary_.HasByteTokens();
  return complete ? std::max<size_t>(1, vocabulary_.longest_text()) : 0;
}

void UnigramModel::AppendUnknown(std::string_view text, std::vector<int32_t>* ids) const {
  if (options_.byte_fallback && AppendByteTokens(vocabulary_, text, ids)) return;
  if (options_.unknown_id != kNoToken) ids->push_back(options_.unknown_id);
}

}  // namespace pelton::tokenizer
