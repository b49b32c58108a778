#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <optional>
#include <vector>

#include "text/grammar/grammar_format.h"
#include "text/tokenizer/utf8.h"

namespace pelton::grammar {
namespace {

constexpr size_t kMaxGroups = 32;  // inside one another
constexpr size_t kMaxRules = 2048;

// Reads a regular expression or a grammar as far as is needed to know how large it becomes: a row
// of elements, groups of such rows, and repetitions behind an element.
class ExpressionReader {
 public:
  ExpressionReader(std::string_view text, bool ebnf) : text_(text), ebnf_(ebnf) {}

  Result<std::string> Read() {
    rows_.push_back({});
    while (at_ < text_.size()) RETURN_IF_ERROR(Next());
    if (rows_.size() > 1) return Wrong("a \"(\" is not closed");
    if (Total() > kMaxExpansion) return TooLarge();
    return std::move(out_);
  }

 private:
  struct Row {
    size_t done = 0;  // elements, repetitions counted
    size_t last = 0;  // of the last element, which a repetition would repeat
  };

  Status Wrong(std::string_view problem) const {
    return InvalidArgument(fmt::format("position {}: {}", at_ + 1, problem));
  }
  Status TooLarge() const {
    return InvalidArgument(fmt::format(
        "the repetitions come to more than {} elements in all, the most supported", kMaxExpansion));
  }
  size_t Total() const { return rows_.back().done + rows_.back().last; }
  void Element(size_t size) {
    Row& row = rows_.back();
    row.done = std::min(row.done + row.last, 2 * kMaxExpansion);
    row.last = size;
  }
  void Copy(size_t count) {
    out_ += text_.substr(at_, count);
    at_ += std::min(count, text_.size() - at_);
  }

  // The value of `count` hexadecimal digits from `at` on.
  std::optional<uint32_t> Hex(size_t at, size_t count) const {
    if (at > text_.size() || text_.size() - at < count || count == 0) return std::nullopt;
    uint32_t value = 0;
    const char* const begin = text_.data() + at;
    const auto parsed = std::from_chars(begin, begin + count, value, 16);
    if (parsed.ec != std::errc() || parsed.ptr != begin + count) return std::nullopt;
    return value;
  }

  // Takes an escape. XGrammar reads as many hexadecimal digits behind \x as come, and writes
  // characters of a class that way itself; so those that it would write so go in as they are, and
  // all others with four digits.
  Status Escape(bool in_class) {
    const char kind = at_ + 1 < text_.size() ? text_[at_ + 1] : '\0';
    std::optional<uint32_t> code;
    size_t length = 0;
    if (kind == 'x') {
      code = Hex(at_ + 2, 2);
      length = 4;
      if (!code) return Wrong("expected two hexadecimal digits after \\x");
    } else if (kind == 'u' && !ebnf_ && text_.substr(at_ + 2, 1) == "{") {
      const size_t close = std::min(text_.find('}', at_), text_.size());
      code = Hex(at_ + 3, close - at_ - 3);
      length = close + 1 - at_;
    } else if (kind == 'u' && !ebnf_) {
      code = Hex(at_ + 2, 4);
      length = 6;
    } else if (kind == 'c' && !ebnf_ && at_ + 2 < text_.size()) {
      code = static_cast<uint32_t>(text_[at_ + 2]) % 32;
      length = 3;
    } else if (!ebnf_ && at_ + 1 < text_.size() && ((kind >= 0 && kind < 0x20) || kind == 0x7f)) {
      code = static_cast<uint32_t>(kind);  // a control character that stands for itself
      length = 2;
    }
    if (!code || *code > 0xff) {  // what is wrong, XGrammar says
      Copy(2);
      return OkStatus();
    }
    const bool shown = *code >= 0x20 && *code < 0x7f;
    const bool named = (*code >= 0x07 && *code <= 0x0d) || *code == 0 || *code == 0x1b;
    if (in_class && !ebnf_ && !shown && !named) {
      tokenizer::AppendUtf8(*code, &out_);
    } else {
      out_ += fmt::format("\\u{:04x}", *code);
    }
    at_ += length;
    return OkStatus();
  }

  // Takes the text up to `end`.
  Status CopyWithEscapes(size_t end, bool in_class) {
    while (at_ < end) {
      if (text_[at_] == '\\') {
        RETURN_IF_ERROR(Escape(in_class));
      } else {
        Copy(1);
      }
    }
    return OkStatus();
  }

  Status Next() {
    const char c = text_[at_];
    if (c == '\\' && !ebnf_) {
      if (at_ + 1 == text_.size()) return Wrong("a backslash ends the expression");
      const char escaped = text_[at_ + 1];
      if ((escaped >= '1' && escaped <= '9') || escaped == 'b' || escaped == 'B') {
        return Wrong(fmt::format("\\{} is not supported", escaped));
      }
      Element(1);
      return Escape(false);
    }
    if (c == '[') return Class();
    if (c == '(') {
      if (rows_.size() > kMaxGroups) {
        return Wrong(fmt::format("more than {} groups inside one another", kMaxGroups));
      }
      rows_.push_back({});
      Copy(1);
      return ebnf_ ? OkStatus() : GroupKind();
    }
    if (c == ')') {
      if (rows_.size() == 1) return Wrong("\")\" closes nothing");
      const size_t size = Total();
      rows_.pop_back();
      Element(std::max<size_t>(size, 1));
      Copy(1);
      return OkStatus();
    }
    if (c == '{') return Repetition();
    if (c == '.') {
      Element(1);
      out_ += ebnf_ ? "[\\x00-\\U0010FFFF]" : "[^\\n]";
      ++at_;
      return OkStatus();
    }
    if (ebnf_) return EbnfPart(c);
    Element(c == '*' || c == '+' || c == '?' || c == '|' ? 0 : 1);
    Copy(1);
    return OkStatus();
  }

  // Behind the parenthesis: only plain groups are understood.
  Status GroupKind() {
    if (at_ >= text_.size() || text_[at_] != '?') return OkStatus();
    if (text_.substr(at_, 2) == "?:") {
      Copy(2);
      return OkStatus();
    }
    const bool named = text_.substr(at_, 3) == "?P<";
    const size_t end = text_.find('>', at_);
    if (!named || end == std::string_view::npos) {
      return Wrong("looking ahead or behind, and other (?…) groups, are not supported");
    }
    at_ = end + 1;  // a group's name changes nothing
    return OkStatus();
  }

  Status Class() {
    size_t end = at_ + 1;
    if (end < text_.size() && text_[end] == '^') ++end;
    while (end < text_.size() && text_[end] != ']') {
      if (!ebnf_ && text_.substr(end, 2) == "[:") return Wrong("[:names:] are not supported");
      end += text_[end] == '\\' ? 2 : 1;
    }
    if (end >= text_.size()) return Wrong("a \"[\" is not closed");
    Element(1);
    return CopyWithEscapes(end + 1, true);
  }

  std::optional<size_t> Number(std::string_view digits) const {
    size_t value = 0;
    if (digits.empty()) return std::nullopt;
    for (const char c : digits) {
      if (c < '0' || c > '9') return std::nullopt;
      value = std::min(value * 10 + static_cast<size_t>(c - '0'), 2 * kMaxExpansion);
    }
    return value;
  }

  Status Repetition() {
    const size_t end = text_.find('}', at_);
    if (end == std::string_view::npos) return Wrong("a \"{\" is not closed");
    std::string_view inside = text_.substr(at_ + 1, end - at_ - 1);
    const size_t comma = inside.find(',');
    const std::optional<size_t> low = Number(inside.substr(0, comma));
    const bool open = comma != std::string_view::npos && comma + 1 == inside.size();
    const std::optional<size_t> high =
        comma == std::string_view::npos || open ? low : Number(inside.substr(comma + 1));
    if (!low || !high || *high < *low) {
      return Wrong("expected a repetition of the form {n}, {n,} or {n,m}");
    }
    Row& row = rows_.back();
    if (*high > kMaxExpansion || row.last * *high > kMaxExpansion) return TooLarge();
    row.last = std::max<size_t>(row.last * *high, 1);
    Copy(end + 1 - at_);
    return OkStatus();
  }

  Status EbnfPart(char c) {
    if (c == '#') {
      const size_t end = text_.find('\n', at_);
      at_ = end == std::string_view::npos ? text_.size() : end;
      return OkStatus();
    }
    if (c == '"') {
      size_t end = at_ + 1;
      while (end < text_.size() && text_[end] != '"') end += text_[end] == '\\' ? 2 : 1;
      if (end >= text_.size()) return Wrong("a text is not closed");
      Element(end - at_);
      return CopyWithEscapes(end + 1, false);
    }
    if (text_.substr(at_, 3) == "::=") {
      if (rows_.size() > 1) return Wrong("a \"(\" is not closed");
      if (++rules_ > kMaxRules) return Wrong(fmt::format("more than {} rules", kMaxRules));
      Copy(3);
      return OkStatus();
    }
    const auto is_name = [](char x) {
      return (x >= 'a' && x <= 'z') || (x >= 'A' && x <= 'Z') || (x >= '0' && x <= '9') ||
             x == '_' || x == '-';
    };
    if (is_name(c)) {
      size_t end = at_;
      while (end < text_.size() && is_name(text_[end])) ++end;
      Element(1);
      Copy(end - at_);
      // XGrammar reads name(…) as a macro; here it is a rule and a group.
      if (at_ < text_.size() && text_[at_] == '(') out_ += ' ';
      return OkStatus();
    }
    constexpr std::string_view kKnown = "|*+?";
    const bool space = c == ' ' || c == '\n' || c == '\t' || c == '\r';
    if (!space && kKnown.find(c) == std::string_view::npos) {
      return Wrong(fmt::format("found \"{}\", expected a rule, a text, a class or a group",
                               c >= ' ' && c < 127 ? std::string(1, c) : std::string("?")));
    }
    if (c == '|') Element(0);
    Copy(1);
    return OkStatus();
  }

  const std::string_view text_;
  const bool ebnf_;
  size_t at_ = 0;
  size_t rules_ = 0;
  std::vector<Row> rows_;
  std::string out_;
};

// What of an expression matters for its place in a larger one.
struct Outline {
  bool has_choice = false;   // "|" outside of groups
  bool has_anchor = false;   // "^" or "$" anywhere
  bool has_escaped = false;  // something that JSON writes with a backslash
};

Outline OutlineOf(std::string_view pattern) {
  Outline outline;
  size_t depth = 0;
  bool in_class = false;
  bool negated = false;
  for (size_t i = 0; i < pattern.size(); ++i) {
    const char c = pattern[i];
    if (c == '\\') {
      constexpr std::string_view kEscaped = "\\\"nrtfvbxucea0";
      ++i;
      const bool escaped =
          i < pattern.size() && kEscaped.find(pattern[i]) != std::string_view::npos;
      outline.has_escaped |= escaped && !negated;
    } else if (c == '"' || static_cast<unsigned char>(c) < 0x20) {
      outline.has_escaped |= !negated;
    } else if (in_class) {
      in_class = c != ']';
      negated = negated && in_class;
      // A range from punctuation to letters has the quote or the backslash in it.
      if (!negated && c == '-' && i > 0 && i + 1 < pattern.size() && pattern[i + 1] != ']') {
        const auto holds = [&](char x) { return pattern[i - 1] <= x && x <= pattern[i + 1]; };
        outline.has_escaped |= holds('"') || holds('\\');
      }
    } else if (c == '[') {
      in_class = true;
      negated = i + 1 < pattern.size() && pattern[i + 1] == '^';
      if (negated) ++i;
    } else if (c == '(') {
      ++depth;
    } else if (c == ')') {
      depth -= depth > 0 ? 1 : 0;
    } else if (c == '^' || c == '$') {
      outline.has_anchor = true;
    } else if (c == '|' && depth == 0) {
      outline.has_choice = true;
    }
  }
  return outline;
}

// Whether the last "$" is an anchor: an even number of backslashes before it.
bool EndsWithAnchor(std::string_view pattern) {
  if (!pattern.ends_with('$')) return false;
  const std::string_view before = pattern.substr(0, pattern.size() - 1);
  const size_t last = before.find_last_not_of('\\');
  const size_t backslashes = before.size() - (last == std::string_view::npos ? 0 : last + 1);
  return backslashes % 2 == 0;
}

}  // namespace

Result<std::string> RewriteRegex(std::string_view pattern) {
  if (pattern.size() > kMaxRegexBytes) {
    return InvalidArgument(fmt::format("regular expression: found {} bytes, expected at most {}",
                                       pattern.size(), kMaxRegexBytes));
  }
  if (!OutlineOf(pattern).has_choice) {
    if (pattern.starts_with('^')) pattern.remove_prefix(1);
    if (EndsWithAnchor(pattern)) pattern.remove_suffix(1);
  }
  Result<std::string> text = ExpressionReader(pattern, false).Read();
  if (!text.ok()) return text.status().WithContext("regular expression");
  return text;
}

Result<std::string> RewritePattern(std::string_view pattern) {
  std::string_view inner = pattern;
  bool from_begin = false;
  bool to_end = false;
  if (!OutlineOf(pattern).has_choice) {
    from_begin = inner.starts_with('^');
    if (from_begin) inner.remove_prefix(1);
    to_end = EndsWithAnchor(inner);
    if (to_end) inner.remove_suffix(1);
  }
  const Outline outline = OutlineOf(inner);
  if (outline.has_anchor) {
    return InvalidArgument("pattern: \"^\" and \"$\" are supported at its two ends only");
  }
  if (outline.has_escaped) {
    return InvalidArgument(
        "pattern: quotes, backslashes and control characters are supported in [^…] only");
  }
  if (from_begin && to_end) return RewriteRegex(inner);
  return RewriteRegex(fmt::format("{}({}){}", from_begin ? "" : ".*", inner, to_end ? "" : ".*"));
}

Result<std::string> RewriteEbnf(std::string_view text) {
  Result<std::string> checked = ExpressionReader(text, true).Read();
  if (!checked.ok()) return checked.status().WithContext("grammar");
  if (const std::string rule = LeftRecursiveRule(*checked); !rule.empty()) {
    return InvalidArgument(
        fmt::format("grammar: rule \"{}\" leads to itself before any text", rule.substr(0, 80)));
  }
  return checked;
}

}  // namespace pelton::grammar
