#pragma once

#include <cstddef>
#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace pelton::tokenizer {

// The pieces that a text is cut into. Views are into the text or into `storage`.
struct Pieces {
  std::vector<std::string_view> views;
  std::deque<std::string> storage;

  void Add(std::string_view piece) {
    if (!piece.empty()) views.push_back(piece);
  }
};

// What happens to the matches of a splitter; names as in tokenizer.json.
enum class SplitBehavior {
  kRemoved,
  kIsolated,
  kMergedWithPrevious,
  kMergedWithNext,
  kContiguous,
};

// One stage of pre-tokenization: cuts each piece of the stage before. Immutable, thread-safe.
class TextSplitter {
 public:
  virtual ~TextSplitter() = default;
  // Appends the parts of `piece`, none of them empty. `at_start`: it starts the whole text.
  virtual void Split(std::string_view piece, bool at_start, Pieces* out) const = 0;
};

using Splitters = std::vector<std::unique_ptr<const TextSplitter>>;

// Runs `text` through all stages.
void RunSplitters(const Splitters& splitters, std::string_view text, bool at_start, Pieces* out);

// --- Scanners for the well-known regular expressions, each linear and without a regex engine. ---

// GPT-2: 's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
std::unique_ptr<const TextSplitter> MakeGpt2Splitter();

// (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?L+|\p{N}{1,max}| ?[^\sL\p{N}]+[\r\n]*
// |\s*[\r\n]+|\s+(?!\S)|\s+   where L is \p{L}, or [\p{L}\p{M}]
struct Cl100kOptions {
  size_t max_digits = 3;  // 0: no limit
  bool marks_are_letters = false;
};
std::unique_ptr<const TextSplitter> MakeCl100kSplitter(Cl100kOptions options);

// o200k: words change at upper case, trailing slashes; with contractions as suffixes of words
// (GPT-4o) or without them (Tekken).
struct O200kOptions {
  size_t max_digits = 3;
  bool contractions = true;
};
std::unique_ptr<const TextSplitter> MakeO200kSplitter(O200kOptions options);

// The third expression of DeepSeek-V3.
std::unique_ptr<const TextSplitter> MakeDeepSeekV3Splitter();

// \p{N}{1,max}, isolated; 0: no limit.
std::unique_ptr<const TextSplitter> MakeNumberSplitter(size_t max_digits);

// \s?C+ (or C+, or C without `run`), isolated, for the characters of the classes (CharClass bits)
// or of the ranges.
struct CharRange {
  uint32_t first, last;
};
struct RunOptions {
  uint16_t classes = 0;
  std::vector<CharRange> ranges;  // any order
  bool optional_space = false;
  bool run = true;
};
std::unique_ptr<const TextSplitter> MakeRunSplitter(RunOptions options);

// \s+$, isolated.
std::unique_ptr<const TextSplitter> MakeFinalSpaceSplitter();

// The scanner for `pattern`, if it is one of the above; else a Regex. InvalidArgument if that does
// not compile.
Result<std::unique_ptr<const TextSplitter>> MakeRegexSplitter(std::string_view pattern,
                                                              SplitBehavior behavior, bool invert);

// --- The other pre-tokenizers of tokenizer.json. ---

// Every occurrence of `literal`, which is not empty.
std::unique_ptr<const TextSplitter> MakeLiteralSplitter(std::string literal,
                                                        SplitBehavior behavior, bool invert);
// Every character that is in one of the classes.
std::unique_ptr<const TextSplitter> MakeClassSplitter(uint16_t classes, bool ascii_symbols,
                                                      SplitBehavior behavior);

struct MetaspaceOptions {
  std::string replacement = "\xE2\x96\x81";
  enum class Prepend { kAlways, kFirst, kNever } prepend = Prepend::kAlways;
  bool split = true;
};
// Spaces become the replacement, which is also put in front, and starts each part.
std::unique_ptr<const TextSplitter> MakeMetaspaceSplitter(MetaspaceOptions options);

// Puts a space in front of each piece that has none.
std::unique_ptr<const TextSplitter> MakeSpacePrefixer();

// Bytes to GPT-2's spelling, for stages that look at it, and back.
std::unique_ptr<const TextSplitter> MakeByteSpeller();
std::unique_ptr<const TextSplitter> MakeByteUnspeller();

}  // namespace pelton::tokenizer
