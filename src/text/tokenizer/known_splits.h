#pragma once

#include <memory>
#include <string_view>

#include "base/status.h"
#include "text/tokenizer/pre_tokenizer.h"

namespace pelton::tokenizer {

// What a `tokenizer.ggml.pre` stands for beyond its split.
struct KnownSplit {
  PreTokenizer pre_tokenizer;
  bool nfc = false;            // the vendor's tokenizer normalises
  bool ignore_merges = false;  // see BpeOptions
  bool adds_bos = false;       // unless the file says otherwise
};

// GPT-2's expression, which a ByteLevel pre-tokenizer implies.
std::string_view Gpt2Pattern();

// The split at the matches of `pattern`. InvalidArgument if it is not understood.
Result<std::unique_ptr<PreTokenStep>> MakePatternSplit(std::string_view pattern,
                                                       SplitBehavior behavior, bool invert);

// The split of byte-level BPE vocabularies in GGUF files. Unimplemented if `name` is unknown.
Result<KnownSplit> MakeKnownSplit(std::string_view name);

}  // namespace pelton::tokenizer
