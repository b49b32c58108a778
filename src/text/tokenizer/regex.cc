#include "text/tokenizer/regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <algorithm>
#include <array>
#include <string>
#include <utility>

#include "base/check.h"
#include "text/tokenizer/regex_syntax.h"

namespace pelton::tokenizer {

namespace {

// The budget of one search. A pre-tokenizer's expression takes a few steps for each character of a
// match and of what it looks at in vain.
constexpr size_t kFreeSteps = 100'000;
constexpr size_t kStepsPerByte = 16;
constexpr size_t kMaxSteps = 100'000'000;
// For the stack of the interpreter, which takes over where that of compiled code is too small.
constexpr uint32_t kHeapLimitKib = 64 * 1024;
constexpr size_t kPatternLimit = 64 * 1024;

}  // namespace

struct Regex::Code {
  pcre2_code* code = nullptr;

  ~Code() { pcre2_code_free(code); }
};

Regex::Regex(std::unique_ptr<const Code> code) : code_(std::move(code)) {}
Regex::Regex(Regex&&) noexcept = default;
Regex& Regex::operator=(Regex&&) noexcept = default;
Regex::~Regex() = default;

Result<Regex> Regex::Compile(std::string_view pattern) {
  if (pattern.size() > kPatternLimit) {
    return InvalidArgument("the regular expression has " + std::to_string(pattern.size()) +
                           " bytes, more than " + std::to_string(kPatternLimit));
  }
  ASSIGN_OR_RETURN(const std::string translated, TranslateRegex(pattern));
  pcre2_compile_context* compile = pcre2_compile_context_create(nullptr);
  PELTON_CHECK(compile != nullptr, "out of memory");
  pcre2_set_newline(compile, PCRE2_NEWLINE_LF);
  pcre2_set_parens_nest_limit(compile, 100);
  int error = 0;
  PCRE2_SIZE where = 0;
  // Ruby's ^ and $ match at every line.
  pcre2_code* code = pcre2_compile(
      reinterpret_cast<PCRE2_SPTR>(translated.data()), translated.size(),
      PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C, &error, &where, compile);
  pcre2_compile_context_free(compile);
  if (code == nullptr) {
    std::array<PCRE2_UCHAR, 256> message{};
    pcre2_get_error_message(error, message.data(), message.size());
    return InvalidArgument("the regular expression \"" + std::string(pattern.substr(0, 200)) +
                           "\" is not understood: " + reinterpret_cast<char*>(message.data()));
  }
  // Without a just-in-time compiler for this processor the interpreter does the work.
  pcre2_jit_compile(code, PCRE2_JIT_COMPLETE);
  auto owned = std::make_unique<Code>();
  owned->code = code;
  return Regex(std::move(owned));
}

struct RegexSearch::State {
  pcre2_match_data* match = nullptr;
  pcre2_match_context* context = nullptr;

  ~State() {
    pcre2_match_context_free(context);
    pcre2_match_data_free(match);
  }
};

RegexSearch::RegexSearch(const Regex& regex) : regex_(regex), state_(std::make_unique<State>()) {
  state_->match = pcre2_match_data_create_from_pattern(regex.code_->code, nullptr);
  state_->context = pcre2_match_context_create(nullptr);
  PELTON_CHECK(state_->match != nullptr && state_->context != nullptr, "out of memory");
  pcre2_set_heap_limit(state_->context, kHeapLimitKib);
}

RegexSearch::~RegexSearch() = default;

std::optional<RegexSearch::Match> RegexSearch::Find(std::string_view text, size_t from) {
  const auto* subject = reinterpret_cast<PCRE2_SPTR>(text.data());
  const size_t steps = kFreeSteps + kStepsPerByte * std::min(text.size(), kMaxSteps);
  pcre2_set_match_limit(state_->context, static_cast<uint32_t>(std::min(steps, kMaxSteps)));
  const auto match = [&](uint32_t options) {
    return pcre2_match(regex_.code_->code, subject, text.size(), from, PCRE2_NO_UTF_CHECK | options,
                       state_->match, state_->context);
  };
  int found = match(0);
  if (found == PCRE2_ERROR_JIT_STACKLIMIT) found = match(PCRE2_NO_JIT);
  if (found < 0) return std::nullopt;
  const PCRE2_SIZE* bounds = pcre2_get_ovector_pointer(state_->match);
  // With \K in a look-around a match can begin behind its end or before `from`.
  if (bounds[1] < bounds[0] || bounds[0] < from) return std::nullopt;
  return Match{bounds[0], bounds[1]};
}

}  // namespace pelton::tokenizer
