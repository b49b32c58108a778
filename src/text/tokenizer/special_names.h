#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "text/tokenizer/tokenizer_parts.h"

namespace pelton::tokenizer {

// Files seldom say which tokens end a turn or an answer, so the rest is derived from the usual
// names. Fills parts->eot if it is empty, and parts->end_of_generation from eos, eot, `more` and
// the names. Requires: vocabulary, eos.
void FillEndTokens(const std::vector<int32_t>& more, TokenizerParts* parts);

}  // namespace pelton::tokenizer
