#include <algorithm>
#include <limits>

#include "text/tokenizer/token_model.h"
#include "text/tokenizer/utf8.h"

namespace pelton::tokenizer {

namespace {

class UnigramModel : public TokenModel {
 public:
  UnigramModel(const TokenTable& table, const std::vector<float>& scores, int32_t unknown_id)
      : scores_(scores), unknown_id_(unknown_id), user_defined_(table.size()) {
    std::vector<std::pair<std::string_view, int32_t>> keys;
    keys.reserve(table.size());
    float lowest = std::numeric_limits<float>::max();
    // SentencePiece starts from the smallest positive float, and log probabilities are negative.
    highest_ = std::numeric_limits<float>::min();
    for (size_t i = 0; i < table.size(); ++i) {
      const auto id = static_cast<int32_t>(i);
      const TokenKind kind = table.Kind(id);
      if (kind == TokenKind::kNormal) {
        lowest = std::min(lowest, scores_[i]);
        highest_ = std::max(highest_, scores_[i]);
      }
      user_defined_[i] = kind == TokenKind::kUserDefined;
      if (kind == TokenKind::kNormal || kind == TokenKind::kUserDefined) {
        keys.emplace_back(table.Text(id), id);
      }
    }
    unknown_score_ = lowest - 10.0f;
    trie_.Build(std::move(keys));
    byte_ids_ = ByteTokenIds(table, /*any_kind=*/false);
    byte_fallback_ = std::find(byte_ids_.begin(), byte_ids_.end(), -1) == byte_ids_.end();
  }

  void Encode(std::string_view text, std::vector<int32_t>* ids) const override {
    // The best path to each byte position that ends a character.
    struct Best {
      float score = 0;
      int32_t id = -1;
      size_t begin = SIZE_MAX;  // of the path's last token; SIZE_MAX: not reached
    };
    std::vector<Best> best(text.size() + 1);
    for (size_t begin = 0; begin < text.size();) {
      size_t next = begin;
      DecodeUtf8(text, &next);
      const float so_far = best[begin].score;
      bool has_character = false;
      uint32_t node = ByteTrie::kRoot;
      for (size_t end = begin; end < text.size();) {
        node = trie_.Child(node, static_cast<unsigned char>(text[end++]));
        if (node == ByteTrie::kNone) break;
        const int32_t id = trie_.Value(node);
        if (id < 0) continue;
        const auto token = static_cast<size_t>(id);
        // A user-defined token must always win: its cost is next to nothing.
        const double score = user_defined_[token]
                                 ? static_cast<float>(end - begin) * highest_ - 0.1
                                 : static_cast<double>(scores_[token]);
        const double total = score + static_cast<double>(so_far);
        if (best[end].begin == SIZE_MAX || total > static_cast<double>(best[end].score)) {
          best[end] = {static_cast<float>(total), id, begin};
        }
        has_character |= end == next;
      }
      if (!has_character) {
        const float total = unknown_score_ + so_far;
        if (best[next].begin == SIZE_MAX || total > best[next].score) {
          best[next] = {total, -1, begin};
        }
      }
      begin = next;
    }
    const size_t first = ids->size();
    bool previous_unknown = false;
    for (size_t end = text.size(); end > 0; end = best[end].begin) {
      const Best& last = best[end];
      const bool unknown = last.id < 0 || last.id == unknown_id_;
      if (!unknown) {
        ids->push_back(last.id);
      } else if (byte_fallback_) {
        for (size_t i = end; i > last.begin; --i) {
          ids->push_back(byte_ids_[static_cast<unsigned char>(text[i - 1])]);
        }
      } else if (!previous_unknown && unknown_id_ >= 0) {
        ids->push_back(unknown_id_);
      }
      previous_unknown = unknown;
    }
    std::reverse(ids->begin() + static_cast<ptrdiff_t>(first), ids->end());
  }

 private:
  std::vector<float> scores_;
  int32_t unknown_id_;
  float unknown_score_ = 0;
  float highest_;
  std::vector<bool> user_defined_;
  ByteTrie trie_;
  std::vector<int32_t> byte_ids_;
  bool byte_fallback_ = false;
};

}  // namespace

std::unique_ptr<TokenModel> MakeUnigramModel(const TokenTable& table,
                                             const std::vector<float>& scores, int32_t unknown_id) {
  return std::make_unique<UnigramModel>(table, scores, unknown_id);
}

}  // namespace pelton::tokenizer
