#pragma once

#include "base/status.h"
#include "text/tokenizer/tokenizer_parts.h"
#include "text/tokenizer/vocab_metadata.h"

namespace pelton::tokenizer {

// The parts for each `tokenizer.ggml.model`. Errors as of TokenizerFromMetadata.
Result<TokenizerParts> RankedBpePartsFromGguf(const VocabMetadata& metadata);
Result<TokenizerParts> SentencePiecePartsFromGguf(const VocabMetadata& metadata, bool unigram);
Result<TokenizerParts> WordPiecePartsFromGguf(const VocabMetadata& metadata);

// What is the same for all of them.

// The kind of each of `size` tokens: kNormal if the file does not say. DataLoss if the file has
// another number of kinds or one that does not exist.
Result<std::vector<TokenKind>> KindsFromGguf(const VocabMetadata& metadata, size_t size);

// Fills the ids (bos, …), `prefix` and `suffix` (BOS and EOS, if the file wants them or, where it
// does not say, if the defaults do), the end tokens, and `added` from the kinds: control tokens,
// and user-defined ones unless the model has put them into `added_normalized`. DataLoss if an id
// is not in the vocabulary or a token is too long. Requires: parts->vocabulary.
Status FinishPartsFromGguf(const VocabMetadata& metadata, bool adds_bos, bool adds_eos,
                           TokenizerParts* parts);

}  // namespace pelton::tokenizer
