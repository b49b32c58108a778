#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string_view>

#include "base/status.h"

namespace pelton::tokenizer {

// A regular expression in the syntax of Oniguruma (Ruby), as far as tokenizer.json files use it,
// matched by PCRE2. Immutable: any number of threads may search at once.
class Regex {
 public:
  // InvalidArgument, saying where and why, if `pattern` is not understood.
  static Result<Regex> Compile(std::string_view pattern);

  Regex(Regex&&) noexcept;
  Regex& operator=(Regex&&) noexcept;
  ~Regex();

 private:
  friend class RegexSearch;
  struct Code;
  explicit Regex(std::unique_ptr<const Code> code);
  std::unique_ptr<const Code> code_;
};

// Searches texts for one expression; holds the memory that this takes. Borrows the expression.
class RegexSearch {
 public:
  explicit RegexSearch(const Regex& regex);
  ~RegexSearch();
  RegexSearch(const RegexSearch&) = delete;
  RegexSearch& operator=(const RegexSearch&) = delete;

  struct Match {
    size_t start;
    size_t end;
  };
  // The first match at or after `from`, with all of `text` before it visible to look-behind. None
  // also if the search exceeds its budget of steps. Requires: `text` is UTF-8 and `from` is at a
  // character.
  std::optional<Match> Find(std::string_view text, size_t from);

 private:
  struct State;
  const Regex& regex_;
  std::unique_ptr<State> state_;
};

}  // namespace pelton::tokenizer
