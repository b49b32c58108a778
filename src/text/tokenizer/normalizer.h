#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "text/tokenizer/regex.h"
#include "text/tokenizer/unicode.h"

namespace pelton::tokenizer {

// What is sure to be left of a text: of its ASCII bytes and its other bytes the result has one for
// each `ascii_shrink` and for each `shrink`. 0: perhaps nothing is left.
struct NormalizeEffect {
  size_t shrink = 0;
  size_t ascii_shrink = shrink;
  // ASCII letters and digits stay, in either case, and space, tab and line ends stay white space.
  bool keeps_words = false;
};

// One change of a text's characters. Immutable.
class NormalizeStep {
 public:
  explicit NormalizeStep(NormalizeEffect effect = {}) : effect_(effect) {}
  virtual ~NormalizeStep() = default;
  // Both are UTF-8. `text` is not empty.
  virtual std::string Apply(std::string_view text) const = 0;
  NormalizeEffect effect() const { return effect_; }

 private:
  NormalizeEffect effect_;
};

std::unique_ptr<NormalizeStep> MakeNormalForm(NormalForm form);
std::unique_ptr<NormalizeStep> MakeLowerCase();
// Drops nonspacing marks; after a decomposition these are the accents.
std::unique_ptr<NormalizeStep> MakeStripAccents();
// Drops white space at the ends.
std::unique_ptr<NormalizeStep> MakeStrip(bool left, bool right);
std::unique_ptr<NormalizeStep> MakePrepend(std::string prefix);
// Requires: `from` is not empty.
std::unique_ptr<NormalizeStep> MakeReplace(std::string from, std::string to);
std::unique_ptr<NormalizeStep> MakeRegexReplace(Regex from, std::string to);

// BERT's cleaning. Source: tokenization.py of google-research/bert, BasicTokenizer.
struct BertOptions {
  bool clean_text = true;      // drops control characters, makes white space a space
  bool space_chinese = true;   // a space on both sides of each CJK ideograph
  bool strip_accents = false;  // decomposes and drops nonspacing marks
  bool lower_case = true;
};
std::unique_ptr<NormalizeStep> MakeBertNormalizer(BertOptions options);

// Steps in order; without any the text stays as it is.
class Normalizer {
 public:
  void Add(std::unique_ptr<NormalizeStep> step) { steps_.push_back(std::move(step)); }
  // `text` or `*storage`.
  std::string_view Apply(std::string_view text, std::string* storage) const {
    for (const std::unique_ptr<NormalizeStep>& step : steps_) {
      if (text.empty()) break;
      *storage = step->Apply(text);
      text = *storage;
    }
    return text;
  }
  bool empty() const { return steps_.empty(); }
  // Of all steps.
  NormalizeEffect effect() const;

 private:
  std::vector<std::unique_ptr<NormalizeStep>> steps_;
};

}  // namespace pelton::tokenizer
