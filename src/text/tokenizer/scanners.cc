#include <algorithm>
#include <array>

#include "text/tokenizer/text_splitter.h"
#include "text/tokenizer/unicode.h"
#include "text/tokenizer/utf8.h"

// Each scanner states the regular expression that it stands for and walks the text once. The
// alternatives are tried in the order of the expression, because the first that matches wins.
namespace pelton::tokenizer {

namespace {

struct Char {
  uint16_t classes;
  size_t end;  // position after the character
};

Char CharAt(std::string_view text, size_t pos) {
  const auto lead = static_cast<unsigned char>(text[pos]);
  if (lead < 128) return {internal::kAsciiCharClasses[lead], pos + 1};
  const uint32_t code_point = DecodeUtf8(text, &pos);
  return {WideCharClasses(code_point), pos};
}

// End of the longest run from `pos` of characters that have a class of `any` and none of `none`;
// at most `limit` characters if that is not 0.
size_t RunEnd(std::string_view text, size_t pos, unsigned any, size_t limit = 0) {
  for (size_t count = 0; pos < text.size() && (limit == 0 || count < limit); ++count) {
    const Char c = CharAt(text, pos);
    if ((c.classes & any) == 0) break;
    pos = c.end;
  }
  return pos;
}
size_t RunEndWithout(std::string_view text, size_t pos, unsigned none) {
  while (pos < text.size()) {
    const Char c = CharAt(text, pos);
    if ((c.classes & none) != 0) break;
    pos = c.end;
  }
  return pos;
}

// \s+(?!\S)|\s+ : all of the white space at `pos`, but not the last character of it if something
// else follows, unless that is all there is. `pos` itself if no white space is there.
size_t SpaceEnd(std::string_view text, size_t pos) {
  const size_t end = RunEnd(text, pos, kSpace);
  if (end == pos || end == text.size()) return end;
  const size_t last = PreviousCharacter(text, end);
  return last > pos ? last : end;
}

// \s*[\r\n]+|\s+(?!\S)|\s+
size_t SpaceOrNewlineEnd(std::string_view text, size_t pos) {
  const size_t end = RunEnd(text, pos, kSpace);
  if (end == pos) return pos;
  const size_t newline = text.substr(pos, end - pos).find_last_of("\r\n");
  if (newline != std::string_view::npos) return pos + newline + 1;
  return SpaceEnd(text, pos);
}

// 's|'t|'re|'ve|'m|'ll|'d at `pos`; `pos` if none is there.
size_t ContractionEnd(std::string_view text, size_t pos) {
  if (pos + 1 >= text.size() || text[pos] != '\'') return pos;
  const char a = text[pos + 1];
  if (a == 's' || a == 't' || a == 'm' || a == 'd') return pos + 2;
  if (pos + 2 >= text.size()) return pos;
  const char b = text[pos + 2];
  if ((a == 'r' && b == 'e') || (a == 'v' && b == 'e') || (a == 'l' && b == 'l')) return pos + 3;
  return pos;
}

// (?i:'s|'t|'re|'ve|'m|'ll|'d). The long s (U+017F) is an s when case does not count.
size_t AnyCaseContractionEnd(std::string_view text, size_t pos) {
  if (pos + 1 >= text.size() || text[pos] != '\'') return pos;
  const auto lower = [&](size_t i) {
    const char c = text[i];
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c;
  };
  const char a = lower(pos + 1);
  if (a == 's' || a == 't' || a == 'm' || a == 'd') return pos + 2;
  if (pos + 2 >= text.size()) return pos;
  if (text.substr(pos + 1, 2) == "\xC5\xBF") return pos + 3;
  const char b = lower(pos + 2);
  if ((a == 'r' && b == 'e') || (a == 'v' && b == 'e') || (a == 'l' && b == 'l')) return pos + 3;
  return pos;
}

// Isolates the matches of Scanner::MatchEnd(text, pos), which gives `pos` where nothing matches.
// What no match covers stays together.
template <typename Scanner>
class ScanningSplitter : public TextSplitter {
 public:
  explicit ScanningSplitter(Scanner scanner) : scanner_(std::move(scanner)) {}

  void Split(std::string_view text, bool, Pieces* out) const override {
    size_t gap = 0;
    for (size_t pos = 0; pos < text.size();) {
      const size_t end = scanner_.MatchEnd(text, pos);
      if (end == pos) {
        pos = CharAt(text, pos).end;
        continue;
      }
      out->Add(text.substr(gap, pos - gap));
      out->Add(text.substr(pos, end - pos));
      gap = pos = end;
    }
    out->Add(text.substr(gap));
  }

 private:
  Scanner scanner_;
};

template <typename Scanner>
std::unique_ptr<const TextSplitter> MakeScanner(Scanner scanner) {
  return std::make_unique<ScanningSplitter<Scanner>>(std::move(scanner));
}

struct Gpt2Scanner {
  size_t MatchEnd(std::string_view text, size_t pos) const {
    if (const size_t end = ContractionEnd(text, pos); end > pos) return end;
    const size_t start = text[pos] == ' ' ? pos + 1 : pos;
    if (start < text.size()) {
      const unsigned classes = CharAt(text, start).classes;
      if (classes & kLetter) return RunEnd(text, start, kLetter);
      if (classes & kNumber) return RunEnd(text, start, kNumber);
      if (!(classes & kSpace)) return RunEndWithout(text, start, kSpace | kLetter | kNumber);
    }
    return SpaceEnd(text, pos);
  }
};

struct Cl100kScanner {
  Cl100kOptions options;

  size_t MatchEnd(std::string_view text, size_t pos) const {
    if (const size_t end = AnyCaseContractionEnd(text, pos); end > pos) return end;
    const unsigned word = options.marks_are_letters ? kLetter | kMark : kLetter;
    const Char first = CharAt(text, pos);
    if (!(first.classes & (kNewline | kLetter | kNumber)) && first.end < text.size() &&
        (CharAt(text, first.end).classes & word)) {
      return RunEnd(text, first.end, word);
    }
    if (first.classes & word) return RunEnd(text, pos, word);
    if (first.classes & kNumber) return RunEnd(text, pos, kNumber, options.max_digits);
    const unsigned not_other = kSpace | kNumber | word;
    const size_t start = text[pos] == ' ' ? pos + 1 : pos;
    const size_t end = RunEndWithout(text, start, not_other);
    if (end > start) return RunEnd(text, end, kNewline);
    return SpaceOrNewlineEnd(text, pos);
  }
};

// [^\r\n\p{L}\p{N}]?U*W+C?|[^\r\n\p{L}\p{N}]?U+W*C?|\p{N}{1,max}| ?[^\s\p{L}\p{N}]+[\r\n/]*
// |\s*[\r\n]+|\s+(?!\S)|\s+   with U = [\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}],
// W = [\p{Ll}\p{Lm}\p{Lo}\p{M}] and C the contractions.
struct O200kScanner {
  O200kOptions options;

  static constexpr unsigned kBoth = kCaseless | kMark;
  static constexpr unsigned kUpperSet = kUpper | kBoth;
  static constexpr unsigned kLowerSet = kLower | kBoth;

  // U*W+ at `pos`; `pos` if it does not match.
  static size_t LowerWordEnd(std::string_view text, size_t pos) {
    const size_t upper_end = RunEnd(text, pos, kUpperSet);
    const size_t end = RunEnd(text, upper_end, kLowerSet);
    if (end > upper_end) return end;
    // U* has to give back the last character that W takes as well.
    for (size_t last = upper_end; last > pos;) {
      const size_t begin = PreviousCharacter(text, last);
      if (CharAt(text, begin).classes & kBoth) return last;
      last = begin;
    }
    return pos;
  }
  // U+W* at `pos`.
  static size_t UpperWordEnd(std::string_view text, size_t pos) {
    const size_t upper_end = RunEnd(text, pos, kUpperSet);
    return upper_end == pos ? pos : RunEnd(text, upper_end, kLowerSet);
  }

  size_t WithContraction(std::string_view text, size_t end) const {
    return options.contractions ? AnyCaseContractionEnd(text, end) : end;
  }

  size_t MatchEnd(std::string_view text, size_t pos) const {
    const Char first = CharAt(text, pos);
    const bool prefix =
        !(first.classes & (kNewline | kLetter | kNumber)) && first.end < text.size();
    for (const auto word_end : {LowerWordEnd, UpperWordEnd}) {
      if (prefix) {
        const size_t end = word_end(text, first.end);
        if (end > first.end) return WithContraction(text, end);
      }
      const size_t end = word_end(text, pos);
      if (end > pos) return WithContraction(text, end);
    }
    if (first.classes & kNumber) return RunEnd(text, pos, kNumber, options.max_digits);
    const size_t start = text[pos] == ' ' ? pos + 1 : pos;
    size_t end = RunEndWithout(text, start, kSpace | kLetter | kNumber);
    if (end > start) {
      while (end < text.size() && (text[end] == '\r' || text[end] == '\n' || text[end] == '/')) {
        ++end;
      }
      return end;
    }
    return SpaceOrNewlineEnd(text, pos);
  }
};

// [!-/:-@\[-`{-~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*
// |\s*[\r\n]+|\s+(?!\S)|\s+
struct DeepSeekV3Scanner {
  size_t MatchEnd(std::string_view text, size_t pos) const {
    const Char first = CharAt(text, pos);
    if (static_cast<unsigned char>(text[pos]) < 128 && (first.classes & (kPunct | kSymbol))) {
      size_t end = pos + 1;
      while (end < text.size() && static_cast<unsigned char>(text[end]) < 128 &&
             (CharAt(text, end).classes & kLetter)) {
        ++end;
      }
      if (end > pos + 1) return end;
    }
    constexpr unsigned kWord = kLetter | kMark;
    if (!(first.classes & (kNewline | kLetter | kPunct | kSymbol)) && first.end < text.size()) {
      const size_t end = RunEnd(text, first.end, kWord);
      if (end > first.end) return end;
    }
    if (first.classes & kWord) return RunEnd(text, pos, kWord);
    const size_t start = text[pos] == ' ' ? pos + 1 : pos;
    const size_t end = RunEnd(text, start, kPunct | kSymbol);
    if (end > start) return RunEnd(text, end, kNewline);
    return SpaceOrNewlineEnd(text, pos);
  }
};

struct NumberScanner {
  size_t max_digits;

  size_t MatchEnd(std::string_view text, size_t pos) const {
    return RunEnd(text, pos, kNumber, max_digits);
  }
};

struct RunScanner {
  RunOptions options;

  bool Contains(std::string_view text, size_t pos, size_t* end) const {
    *end = pos;
    const uint32_t code_point = DecodeUtf8(text, end);
    if (CharClasses(code_point) & options.classes) return true;
    const auto range = std::upper_bound(
        options.ranges.begin(), options.ranges.end(), code_point,
        [](uint32_t value, const CharRange& r) { return value < r.first; });
    return range != options.ranges.begin() && code_point <= std::prev(range)->last;
  }
  size_t MembersEnd(std::string_view text, size_t pos) const {
    size_t end;
    while (pos < text.size() && Contains(text, pos, &end)) {
      pos = end;
      if (!options.run) break;
    }
    return pos;
  }
  size_t MatchEnd(std::string_view text, size_t pos) const {
    if (options.optional_space) {
      const Char first = CharAt(text, pos);
      if (first.classes & kSpace) {
        const size_t end = MembersEnd(text, first.end);
        if (end > first.end) return end;
      }
    }
    return MembersEnd(text, pos);
  }
};

// With '$' at line ends as in Ruby: before a line feed, and at the end.
struct FinalSpaceScanner {
  size_t MatchEnd(std::string_view text, size_t pos) const {
    const size_t end = RunEnd(text, pos, kSpace);
    if (end == pos || end == text.size()) return end;
    // \s+ gives back until a line feed follows.
    const size_t newline = text.substr(pos, end - pos).rfind('\n');
    return newline == std::string_view::npos || newline == 0 ? pos : pos + newline;
  }
};

// Skips white space that FinalSpaceScanner has looked at in vain, which would be quadratic.
class FinalSpaceSplitter : public TextSplitter {
 public:
  void Split(std::string_view text, bool, Pieces* out) const override {
    size_t gap = 0;
    for (size_t pos = 0; pos < text.size();) {
      const size_t run = RunEnd(text, pos, kSpace);
      if (run == pos) {
        pos = CharAt(text, pos).end;
        continue;
      }
      const size_t end = FinalSpaceScanner().MatchEnd(text, pos);
      if (end > pos) {
        out->Add(text.substr(gap, pos - gap));
        out->Add(text.substr(pos, end - pos));
        gap = end;
      }
      // Nothing else can match before the end of the run: a match took all that could be taken,
      // and what it left is a line feed and then white space that no line feed follows.
      pos = end > pos ? end : run;
      if (pos < run) pos = run;
    }
    out->Add(text.substr(gap));
  }
};

}  // namespace

std::unique_ptr<const TextSplitter> MakeGpt2Splitter() { return MakeScanner(Gpt2Scanner{}); }

std::unique_ptr<const TextSplitter> MakeCl100kSplitter(Cl100kOptions options) {
  return MakeScanner(Cl100kScanner{options});
}

std::unique_ptr<const TextSplitter> MakeO200kSplitter(O200kOptions options) {
  return MakeScanner(O200kScanner{options});
}

std::unique_ptr<const TextSplitter> MakeDeepSeekV3Splitter() {
  return MakeScanner(DeepSeekV3Scanner{});
}

std::unique_ptr<const TextSplitter> MakeNumberSplitter(size_t max_digits) {
  return MakeScanner(NumberScanner{max_digits});
}

std::unique_ptr<const TextSplitter> MakeRunSplitter(RunOptions options) {
  std::sort(options.ranges.begin(), options.ranges.end(),
            [](const CharRange& a, const CharRange& b) { return a.first < b.first; });
  // Overlapping ranges become one, so that the search may look at one range only.
  std::vector<CharRange> merged;
  for (const CharRange& range : options.ranges) {
    if (!merged.empty() && range.first <= merged.back().last) {
      merged.back().last = std::max(merged.back().last, range.last);
    } else {
      merged.push_back(range);
    }
  }
  options.ranges = std::move(merged);
  return MakeScanner(RunScanner{std::move(options)});
}

std::unique_ptr<const TextSplitter> MakeFinalSpaceSplitter() {
  return std::make_unique<FinalSpaceSplitter>();
}

}  // namespace pelton::tokenizer
