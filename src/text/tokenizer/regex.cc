#include "text/tokenizer/regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <algorithm>
#include <vector>

#include "base/check.h"
#include "text/tokenizer/utf8.h"

namespace pelton::tokenizer {

namespace {

// Members of a character class. PCRE2's own \s lacks nothing but counts U+180E, its \w lacks marks
// and its \h is white space.
constexpr std::string_view kSpaceMembers =
    "\\x{9}-\\x{d}\\x{20}\\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}"
    "\\x{205f}\\x{3000}";
constexpr std::string_view kWordMembers = "\\p{L}\\p{M}\\p{Nd}\\p{Pc}";
constexpr std::string_view kHexMembers = "0-9a-fA-F";

std::string_view ShorthandMembers(char letter) {
  switch (letter) {
    case 's':
      return kSpaceMembers;
    case 'w':
      return kWordMembers;
    case 'h':
      return kHexMembers;
    default:
      return {};
  }
}

// Copies one escape starting at pattern[*pos] == '\\'.
void CopyEscape(std::string_view pattern, size_t* pos, std::string* out) {
  const size_t begin = *pos;
  *pos = std::min(pattern.size(), begin + 2);
  out->append(pattern.substr(begin, *pos - begin));
}

// Translates the class that starts at pattern[*pos] == '['; moves past its end.
std::string TranslateClass(std::string_view pattern, size_t* pos, int depth) {
  std::string members;
  std::string lookaheads;
  size_t i = *pos + 1;
  const bool negated = i < pattern.size() && pattern[i] == '^';
  if (negated) ++i;
  const size_t first = i;
  while (i < pattern.size() && (pattern[i] != ']' || i == first)) {
    if (pattern[i] == '\\' && i + 1 < pattern.size()) {
      const std::string_view shorthand = ShorthandMembers(pattern[i + 1]);
      if (shorthand.empty()) {
        CopyEscape(pattern, &i, &members);
      } else {
        members += shorthand;
        i += 2;
      }
    } else if (pattern.substr(i).starts_with("[:")) {
      const size_t close = pattern.find(":]", i);
      const size_t end = close == std::string_view::npos ? pattern.size() : close + 2;
      members += pattern.substr(i, end - i);
      i = end;
    } else if (pattern.substr(i).starts_with("&&[") && depth == 0) {
      i += 2;
      lookaheads += "(?=" + TranslateClass(pattern, &i, depth + 1) + ")";
    } else if (pattern[i] == '[') {
      members += "\\[";
      ++i;
    } else {
      members += pattern[i++];
    }
  }
  *pos = std::min(pattern.size(), i + 1);
  const std::string plain = std::string("[") + (negated ? "^" : "") + members + "]";
  if (lookaheads.empty()) return plain;
  return "(?:" + lookaheads + plain + ")";
}

}  // namespace

std::string TranslateRegex(std::string_view pattern) {
  std::string out;
  for (size_t i = 0; i < pattern.size();) {
    if (pattern[i] == '\\' && i + 1 < pattern.size()) {
      const char letter = pattern[i + 1];
      const bool negated = letter == 'S' || letter == 'W' || letter == 'H';
      const std::string_view members =
          ShorthandMembers(negated ? static_cast<char>(letter + ('a' - 'A')) : letter);
      if (members.empty()) {
        CopyEscape(pattern, &i, &out);
      } else {
        out += negated ? "[^" : "[";
        out += members;
        out += "]";
        i += 2;
      }
    } else if (pattern[i] == '[') {
      out += TranslateClass(pattern, &i, 0);
    } else {
      out += pattern[i++];
    }
  }
  return out;
}

struct Regex::Program {
  pcre2_code* code = nullptr;
  bool compiled_to_machine_code = false;

  ~Program() { pcre2_code_free(code); }
};

Regex::Regex(std::unique_ptr<Program> program) : program_(std::move(program)) {}
Regex::~Regex() = default;

Result<std::unique_ptr<Regex>> Regex::Compile(std::string_view pattern) {
  constexpr size_t kMaxPatternBytes = 1 << 16;
  if (pattern.size() > kMaxPatternBytes) {
    return InvalidArgument("a regular expression of the tokenizer is longer than 65536 bytes");
  }
  const std::string translated = TranslateRegex(pattern);
  pcre2_compile_context* context = pcre2_compile_context_create(nullptr);
  PELTON_CHECK(context != nullptr, "out of memory");
  pcre2_set_newline(context, PCRE2_NEWLINE_LF);
  pcre2_set_parens_nest_limit(context, 100);
  int error = 0;
  size_t offset = 0;
  auto program = std::make_unique<Program>();
  // Multi-line, because Ruby's ^ and $ always match at line ends.
  program->code = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(translated.data()), translated.size(),
                                PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C,
                                &error, &offset, context);
  pcre2_compile_context_free(context);
  if (program->code == nullptr) {
    PCRE2_UCHAR message[256];
    pcre2_get_error_message(error, message, sizeof(message));
    return InvalidArgument("the regular expression \"" + std::string(pattern.substr(0, 200)) +
                           "\" of the tokenizer does not compile: " +
                           reinterpret_cast<const char*>(message));
  }
  program->compiled_to_machine_code =
      pcre2_jit_compile(program->code, PCRE2_JIT_COMPLETE) == 0;
  return std::unique_ptr<Regex>(new Regex(std::move(program)));
}

struct Regex::Scan::State {
  const Program* program;
  std::string_view text;
  size_t pos = 0;
  bool after_empty = false;  // the last match was empty and ended at pos
  pcre2_match_data* match = nullptr;
  pcre2_match_context* context = nullptr;
  pcre2_jit_stack* stack = nullptr;

  ~State() {
    pcre2_match_data_free(match);
    pcre2_match_context_free(context);
    if (stack != nullptr) pcre2_jit_stack_free(stack);
  }
};

Regex::Scan::Scan(const Regex& regex, std::string_view text) : state_(std::make_unique<State>()) {
  state_->program = regex.program_.get();
  state_->text = text;
  state_->match = pcre2_match_data_create(1, nullptr);
  state_->context = pcre2_match_context_create(nullptr);
  PELTON_CHECK(state_->match != nullptr && state_->context != nullptr, "out of memory");
  constexpr size_t kFreeSteps = 100'000, kStepsPerByte = 16, kMaxSteps = 100'000'000;
  pcre2_set_match_limit(
      state_->context,
      static_cast<uint32_t>(std::min(kMaxSteps, kFreeSteps + kStepsPerByte * text.size())));
  pcre2_set_heap_limit(state_->context, 256 * 1024);  // KiB
}

Regex::Scan::~Scan() = default;

bool Regex::Scan::Next(size_t* begin, size_t* end) {
  State& state = *state_;
  while (state.pos <= state.text.size()) {
    uint32_t options = PCRE2_NO_UTF_CHECK;
    if (state.after_empty) options |= PCRE2_NOTEMPTY_ATSTART | PCRE2_ANCHORED;
    const auto subject = reinterpret_cast<PCRE2_SPTR>(state.text.data());
    const auto match = [&] {
      return pcre2_match(state.program->code, subject, state.text.size(), state.pos, options,
                         state.match, state.context);
    };
    int found = match();
    if (found == PCRE2_ERROR_JIT_STACKLIMIT && state.stack == nullptr) {
      state.stack = pcre2_jit_stack_create(32 * 1024, 64 * 1024 * 1024, nullptr);
      if (state.stack == nullptr) return false;
      pcre2_jit_stack_assign(state.context, nullptr, state.stack);
      found = match();
    }
    if (found == PCRE2_ERROR_NOMATCH && state.after_empty) {
      // Nothing but the empty match here: go on behind the next character.
      state.after_empty = false;
      if (state.pos == state.text.size()) return false;
      DecodeUtf8(state.text, &state.pos);
      continue;
    }
    if (found < 0) return false;
    const size_t* bounds = pcre2_get_ovector_pointer(state.match);
    // \K can put the start behind the end or before what was matched already.
    if (bounds[0] > bounds[1] || bounds[0] < state.pos) return false;
    *begin = bounds[0];
    *end = bounds[1];
    state.pos = *end;
    state.after_empty = *begin == *end;
    return true;
  }
  return false;
}

}  // namespace pelton::tokenizer
