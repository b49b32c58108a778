#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "text/tokenizer/regex.h"
#include "text/tokenizer/unicode.h"

namespace pelton::tokenizer {

// One change of a text's characters. Immutable.
class NormalizeStep {
 public:
  virtual ~NormalizeStep() = default;
  // Both are UTF-8. `text` is not empty.
  virtual std::string Apply(std::string_view text) const = 0;
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

 private:
  std::vector<std::unique_ptr<NormalizeStep>> steps_;
};

}  // namespace pelton::tokenizer
