#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "text/tokenizer/unicode.h"

namespace pelton::tokenizer {

// One change of a text's characters. Immutable.
class NormalizeStep {
 public:
  virtual ~NormalizeStep() = default;
  // Both are UTF-8.
  virtual std::string Apply(std::string_view text) const = 0;
};

std::unique_ptr<NormalizeStep> MakeNormalForm(NormalForm form);

// Steps in order; without any the text stays as it is.
class Normalizer {
 public:
  void Add(std::unique_ptr<NormalizeStep> step) { steps_.push_back(std::move(step)); }
  // `text` or `*storage`.
  std::string_view Apply(std::string_view text, std::string* storage) const {
    for (const std::unique_ptr<NormalizeStep>& step : steps_) {
      *storage = step->Apply(text);
      text = *storage;
    }
    return text;
  }

 private:
  std::vector<std::unique_ptr<NormalizeStep>> steps_;
};

}  // namespace pelton::tokenizer
