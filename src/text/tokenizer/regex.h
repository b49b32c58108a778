#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "base/status.h"

namespace pelton::tokenizer {

// A regular expression as tokenizer files have them (Oniguruma's Ruby syntax), run by PCRE2 with
// its compiler. Immutable and thread-safe.
class Regex {
 public:
  // InvalidArgument if the pattern does not compile.
  static Result<std::unique_ptr<Regex>> Compile(std::string_view pattern);
  ~Regex();
  Regex(const Regex&) = delete;
  Regex& operator=(const Regex&) = delete;

  // One pass over a text, which must be UTF-8 and outlive the scan. Every scan may spend a number
  // of matching steps that is proportional to the text; a pattern that needs more finds nothing
  // in the rest.
  class Scan {
   public:
    Scan(const Regex& regex, std::string_view text);
    ~Scan();
    Scan(const Scan&) = delete;
    Scan& operator=(const Scan&) = delete;

    // The next match, which may be empty; false if there is none.
    bool Next(size_t* begin, size_t* end);

   private:
    struct State;
    std::unique_ptr<State> state_;
  };

 private:
  struct Program;
  explicit Regex(std::unique_ptr<Program> program);

  std::unique_ptr<Program> program_;
};

// `pattern` in PCRE2's syntax: \s, \w and \h get Oniguruma's meaning, and an intersection
// [a&&[^b]] becomes a lookahead. Exposed for tests.
std::string TranslateRegex(std::string_view pattern);

}  // namespace pelton::tokenizer
