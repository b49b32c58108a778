#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "text/tokenizer/prefix_trie.h"
#include "text/tokenizer/text_model.h"
#include "text/tokenizer/vocabulary.h"

namespace pelton::tokenizer {

// The cut of a text into tokens with the highest sum of scores (Viterbi). A character that begins
// no token of one character may be unknown, at a price; it then becomes its bytes or an unknown
// token, one for each run. Borrows the vocabulary.
class UnigramModel final : public TextModel {
 public:
  // In which precision sums are kept, which decides ties.
  enum class Sums { kFloat, kDouble };
  struct Options {
    Sums sums = Sums::kFloat;
    bool byte_fallback = false;
    int32_t unknown_id = kNoToken;
  };
  // Requires: a score that is not NaN for each token.
  UnigramModel(const Vocabulary& vocabulary, std::vector<double> scores, Options options);

  void Encode(std::string_view piece, std::vector<int32_t>* ids) const override;
  size_t MaxTokenBytes() const override;

 private:
  struct Best {  // the best way to a position
    double score = 0;
    int32_t id = kNoToken;  // its last token; kNoToken: an unknown character
    int64_t start = -1;     // where that begins; -1: there is no way yet
  };
  double Rounded(double score) const;
  void Relax(double score, int32_t id, size_t start, Best* best) const;
  void AppendUnknown(std::string_view text, std::vector<int32_t>* ids) const;

  const Vocabulary& vocabulary_;
  std::vector<double> scores_;
  Options options_;
  PrefixTrie trie_;
  double unknown_score_;
};

}  // namespace pelton::tokenizer
