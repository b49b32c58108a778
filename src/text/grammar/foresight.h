#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "text/grammar/grammar.h"
#include "text/tokenizer/tokenizer.h"

namespace pelton {

// Finds the tokens that an output will most likely go on with where its grammar leaves one text.
// Unlike XGrammar's own search for forced text, the work is bounded: at most a mask for each token
// that is asked for. What it finds are guesses. One thread at a time; borrows the tokenizer.
class GrammarForesight {
 public:
  explicit GrammarForesight(const Tokenizer& tokenizer) : tokenizer_(tokenizer) {}

  // Writes them to the begin of `ids`, how many is returned: as the tokenizer writes the text,
  // which is how models mostly do. `mask` is the matcher's next; the matcher comes back as it was.
  size_t Look(GrammarMatcher& matcher, std::span<const uint32_t> mask, std::span<int32_t> ids);

 private:
  int32_t OnlyToken(std::span<const uint32_t> mask) const;

  const Tokenizer& tokenizer_;
  std::vector<uint32_t> mask_;  // scratch
};

}  // namespace pelton
