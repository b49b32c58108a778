#include "text/template/text_wrap.h"

#include <deque>

#include "text/template/unicode_text.h"

namespace pelton::jinja {
namespace {

// textwrap counts only ASCII white space.
bool IsWrapSpace(char32_t c) { return c == U' ' || (c >= U'\t' && c <= U'\r'); }
bool IsLetter(char32_t c) { return IsWord(c) && !IsDecimal(c); }
bool IsWordPunctuation(char32_t c) {
  return IsWord(c) || (c < 0x80 && std::string_view("!\"'&.,?").find(static_cast<char>(c)) !=
                                       std::string_view::npos);
}

// Cuts a text into pieces that stay together: words, parts of hyphenated words, dashes and runs of
// white space.
class Chunker {
 public:
  Chunker(std::u32string_view text, bool break_on_hyphens)
      : text_(text), break_on_hyphens_(break_on_hyphens) {}

  std::deque<std::u32string_view> Run() {
    std::deque<std::u32string_view> chunks;
    for (size_t start = 0; start < text_.size();) {
      const size_t end = ChunkEnd(start);
      chunks.push_back(text_.substr(start, end - start));
      start = end;
    }
    return chunks;
  }

 private:
  char32_t At(size_t i) const { return i < text_.size() ? text_[i] : U' '; }

  size_t ChunkEnd(size_t start) const {
    size_t end = start;
    if (IsWrapSpace(text_[start])) {
      while (end < text_.size() && IsWrapSpace(text_[end])) ++end;
      return end;
    }
    if (break_on_hyphens_ && IsDashBetweenWords(start)) {
      while (At(end) == U'-') ++end;
      return end;
    }
    for (end = start + 1; end < text_.size() && !IsWrapSpace(text_[end]); ++end) {
      if (!break_on_hyphens_) continue;
      if (IsDashBetweenWords(end)) break;
      if (end > start && EndsHyphenatedPart(start, end)) return end + 1;
    }
    return end;
  }

  // "--" or longer at i, after a word and before one.
  bool IsDashBetweenWords(size_t i) const {
    if (At(i) != U'-' || At(i + 1) != U'-' || i == 0 || !IsWordPunctuation(text_[i - 1]))
      return false;
    size_t end = i;
    while (At(end) == U'-') ++end;
    return IsWord(At(end));
  }

  // The hyphen at i ends a part of at least two letters, and two letters follow.
  bool EndsHyphenatedPart(size_t start, size_t i) const {
    if (text_[i] != U'-' || i < start + 1 || i < 2) return false;
    const bool two_letters = IsLetter(text_[i - 1]) && IsLetter(text_[i - 2]);
    const bool letter_hyphen_letter =
        i >= 3 && IsLetter(text_[i - 1]) && text_[i - 2] == U'-' && IsLetter(text_[i - 3]);
    if (!two_letters && !letter_hyphen_letter) return false;
    if (!IsLetter(At(i + 1))) return false;
    return IsLetter(At(i + 2)) || (At(i + 2) == U'-' && IsLetter(At(i + 3)));
  }

  std::u32string_view text_;
  bool break_on_hyphens_;
};

bool IsBlank(std::u32string_view chunk) {
  for (const char32_t c : chunk) {
    if (!IsSpace(c)) return false;
  }
  return true;
}

}  // namespace

std::vector<std::string> WrapText(std::string_view text, const WrapOptions& options) {
  std::u32string points;
  for (size_t pos = 0; pos < text.size();) points += DecodeAt(text, pos);
  const size_t width = static_cast<size_t>(options.width);
  std::deque<std::u32string_view> chunks = Chunker(points, options.break_on_hyphens).Run();
  std::vector<std::string> lines;
  while (!chunks.empty()) {
    std::vector<std::u32string_view> line;
    size_t length = 0;
    if (!lines.empty() && IsBlank(chunks.front())) chunks.pop_front();
    while (!chunks.empty() && length + chunks.front().size() <= width) {
      length += chunks.front().size();
      line.push_back(chunks.front());
      chunks.pop_front();
    }
    if (!chunks.empty() && chunks.front().size() > width) {
      if (options.break_long_words) {
        std::u32string_view& word = chunks.front();
        size_t room = width < 1 ? 1 : width - length;
        if (options.break_on_hyphens && word.size() > room) {
          const size_t hyphen = word.substr(0, room).rfind(U'-');
          const bool has_letter =
              hyphen != word.npos && hyphen > 0 &&
              word.substr(0, hyphen).find_first_not_of(U'-') != std::u32string_view::npos;
          if (has_letter) room = hyphen + 1;
        }
        line.push_back(word.substr(0, room));
        word.remove_prefix(room);
      } else if (line.empty()) {
        line.push_back(chunks.front());
        chunks.pop_front();
      }
    }
    if (!line.empty() && IsBlank(line.back())) line.pop_back();
    if (line.empty()) continue;
    std::string out;
    for (const std::u32string_view chunk : line) {
      for (const char32_t c : chunk) AppendUtf8(c, out);
    }
    lines.push_back(std::move(out));
  }
  return lines;
}

}  // namespace pelton::jinja
