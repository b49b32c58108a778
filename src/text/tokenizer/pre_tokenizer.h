#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "text/tokenizer/regex.h"

namespace pelton::tokenizer {

// A text on its way to the model, cut into pieces.
struct Pieces {
  std::vector<std::string_view> views;  // in order; into the text or into `owned`
  std::deque<std::string> owned;        // what had to be written anew
  bool at_start = true;                 // whether the first piece begins the whole text
};

// One stage: cuts every piece of the stage before. Immutable.
class PreTokenStep {
 public:
  virtual ~PreTokenStep() = default;
  virtual void Apply(Pieces* pieces) const = 0;
  // Whether each byte stays, or more come in its place.
  virtual bool KeepsText() const = 0;
  // Whether it drops white space, ends a piece there, and keeps everything else.
  virtual bool CutsWords() const { return false; }
};

// A stage that cuts and perhaps drops, but does not change characters.
class SplitStep : public PreTokenStep {
 public:
  void Apply(Pieces* pieces) const final;

 protected:
  // Appends the parts of `piece`, which is not empty, to `out`. Empty parts are allowed and
  // ignored later.
  virtual void Split(std::string_view piece, std::vector<std::string_view>* out) const = 0;
};

// What becomes of the matches of a split. The names are those of tokenizer.json.
enum class SplitBehavior {
  kIsolated,            // each is a piece
  kRemoved,             // dropped
  kMergedWithPrevious,  // glued to the piece before
  kMergedWithNext,
  kContiguous,  // neighbouring matches are one piece
};

// Splits at the matches of an expression.
std::unique_ptr<PreTokenStep> MakeRegexSplit(Regex regex, SplitBehavior behavior, bool invert);

// Splits at the matches of \s+$, each a piece, in time linear in the text, which an engine that
// looks for this expression does not promise.
std::unique_ptr<PreTokenStep> MakeFinalSpaceSplit();

// Splits at the characters of `classes` (see unicode.h), each of which is a match. Runs of digits
// are kNumber with kContiguous. With `ascii_symbols` every ASCII symbol ("$") is one, too.
std::unique_ptr<PreTokenStep> MakeClassSplit(uint16_t classes, SplitBehavior behavior,
                                             bool ascii_symbols = false);

// Puts a space before each piece that does not begin with one.
std::unique_ptr<PreTokenStep> MakeSpacePrefix();

// SentencePiece's way with spaces: each becomes `replacement`.
struct MetaspaceOptions {
  enum class Prepend { kAlways, kFirst, kNever };
  std::string replacement = "\u2581";
  Prepend prepend = Prepend::kAlways;  // to which pieces that do not begin with a space
  bool split = true;                   // at each space, which goes to the word behind it
};
std::unique_ptr<PreTokenStep> MakeMetaspace(MetaspaceOptions options);

// The whole of it: stages in order. Without any a text is one piece.
class PreTokenizer {
 public:
  void Add(std::unique_ptr<PreTokenStep> step) { steps_.push_back(std::move(step)); }
  // The pieces of `text` that are not empty. The views borrow from `text` and from the result.
  // `at_start`: nothing comes before `text`.
  Pieces Split(std::string_view text, bool at_start) const;
  // Whether each byte is in a piece, or more in its place.
  bool KeepsText() const;
  // Whether everything but white space is in a piece, and no piece has any.
  bool CutsWords() const;

 private:
  std::vector<std::unique_ptr<PreTokenStep>> steps_;
};

}  // namespace pelton::tokenizer
