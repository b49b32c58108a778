#include <algorithm>
#include <utility>

#include "text/template/argument_binding.h"
#include "text/template/methods_text.h"
#include "text/template/text_builder.h"
#include "text/template/unicode_text.h"

namespace pelton::jinja {
namespace {

// More pieces than any text of a conversation has. Splitting stops here, before the list of pieces
// is much larger than the text.
constexpr size_t kMaxPieces = 1 << 20;

bool IsLineEnd(char32_t c) {
  return (c >= 0x0A && c <= 0x0D) || (c >= 0x1C && c <= 0x1E) || c == 0x85 || c == 0x2028 ||
         c == 0x2029;
}

// Start of the code point that ends at `end`.
size_t PreviousStart(std::string_view text, size_t end) {
  size_t start = end - 1;
  while (start > 0 && (text[start] & 0xC0) == 0x80) --start;
  return start;
}

Result<Value> TextList(Interpreter& vm, const Value& self,
                       const std::vector<std::string_view>& pieces) {
  if (pieces.size() > kMaxPieces) {
    return vm.Error(TemplateErrorKind::kLimit,
                    "a text falls into more than " + std::to_string(kMaxPieces) + " pieces");
  }
  RETURN_IF_ERROR(vm.Reserve(pieces.size() * (sizeof(Value) + sizeof(StringObject))));
  std::vector<Value> items;
  items.reserve(pieces.size());
  for (const std::string_view piece : pieces) {
    items.push_back(vm.NewString(std::string(piece), self.is_safe_text()));
  }
  return vm.NewList(std::move(items));
}

// split() and rsplit() at white space, at most `max` times (negative: without limit).
std::vector<std::string_view> SplitAtSpace(std::string_view text, int64_t max, bool from_right) {
  std::vector<std::string_view> words;
  text = from_right ? StripRight(text) : StripLeft(text);
  while (!text.empty() && words.size() <= kMaxPieces) {
    if (max >= 0 && static_cast<int64_t>(words.size()) == max) {
      // The rest stays whole, its far end untrimmed.
      words.push_back(text);
      break;
    }
    if (from_right) {
      size_t start = text.size();
      while (start > 0) {
        const size_t previous = PreviousStart(text, start);
        size_t pos = previous;
        if (IsSpace(DecodeAt(text, pos))) break;
        start = previous;
      }
      words.push_back(text.substr(start));
      text = StripRight(text.substr(0, start));
    } else {
      size_t end = 0;
      while (end < text.size()) {
        size_t next = end;
        if (IsSpace(DecodeAt(text, next))) break;
        end = next;
      }
      words.push_back(text.substr(0, end));
      text = StripLeft(text.substr(end));
    }
  }
  if (from_right) std::reverse(words.begin(), words.end());
  return words;
}

template <bool kFromRight>
Result<Value> Split(Interpreter& vm, const Value& self, Arguments& arguments) {
  Value argument[2];
  RETURN_IF_ERROR(BindArguments(vm, "split", 0, {"sep", "maxsplit"}, arguments, argument));
  ASSIGN_OR_RETURN(const int64_t max, IntArgument(vm, "maxsplit", argument[1], -1));
  std::string_view text = self.text();
  if (IsAbsent(argument[0])) {
    const std::vector<std::string_view> words = SplitAtSpace(text, max, kFromRight);
    return TextList(vm, self, words);
  }
  ASSIGN_OR_RETURN(const std::string separator, TextArgument(vm, "sep", argument[0], ""));
  if (separator.empty()) return vm.RuntimeError("split(): the separator is empty");
  std::vector<std::string_view> pieces;
  while ((max < 0 || static_cast<int64_t>(pieces.size()) < max) && pieces.size() <= kMaxPieces) {
    RETURN_IF_ERROR(vm.Charge(separator.size()));
    const size_t found =
        kFromRight ? FindLastBytes(text, separator, text.size()) : FindBytes(text, separator);
    if (found == std::string_view::npos) break;
    if (kFromRight) {
      // Long separators make each search cost the whole rest.
      if (separator.size() > 16) RETURN_IF_ERROR(vm.Charge(text.size()));
      pieces.push_back(text.substr(found + separator.size()));
      text = text.substr(0, found);
    } else {
      pieces.push_back(text.substr(0, found));
      text = text.substr(found + separator.size());
    }
  }
  pieces.push_back(text);
  if (kFromRight) std::reverse(pieces.begin(), pieces.end());
  return TextList(vm, self, pieces);
}

Result<Value> SplitLinesMethod(Interpreter& vm, const Value& self, Arguments& arguments) {
  Value keep_ends;
  RETURN_IF_ERROR(BindArguments(vm, "splitlines", 0, {"keepends"}, arguments, &keep_ends));
  const std::vector<std::string_view> lines =
      SplitLines(self.text(), FlagArgument(keep_ends, false));
  return TextList(vm, self, lines);
}

template <bool kFromRight>
Result<Value> Partition(Interpreter& vm, const Value& self, Arguments& arguments) {
  Value argument;
  RETURN_IF_ERROR(BindArguments(vm, "partition", 1, {"/sep"}, arguments, &argument));
  ASSIGN_OR_RETURN(const std::string separator, TextArgument(vm, "sep", argument, ""));
  if (separator.empty()) return vm.RuntimeError("partition(): the separator is empty");
  const std::string_view text = self.text();
  const size_t found =
      kFromRight ? FindLastBytes(text, separator, text.size()) : FindBytes(text, separator);
  const auto piece = [&](std::string_view part) {
    return vm.NewString(std::string(part), self.is_safe_text());
  };
  if (found == std::string_view::npos) {
    if (kFromRight) return vm.NewTuple({piece(""), piece(""), self});
    return vm.NewTuple({self, piece(""), piece("")});
  }
  return vm.NewTuple({piece(text.substr(0, found)), piece(separator),
                      piece(text.substr(found + separator.size()))});
}

constexpr Method kSplitMethods[] = {
    {"partition", &Partition<false>}, {"rpartition", &Partition<true>},  {"rsplit", &Split<true>},
    {"split", &Split<false>},         {"splitlines", &SplitLinesMethod},
};

}  // namespace

const Method* FindSplitMethod(std::string_view name) {
  for (const Method& method : kSplitMethods) {
    if (method.name == name) return &method;
  }
  return nullptr;
}

std::string_view StripText(std::string_view text, const std::optional<std::string>& chars,
                           Ends ends) {
  const bool left = ends != Ends::kRight;
  const bool right = ends != Ends::kLeft;
  if (!chars) {
    if (left) text = StripLeft(text);
    return right ? StripRight(text) : text;
  }
  std::vector<char32_t> set;
  for (size_t pos = 0; pos < chars->size();) set.push_back(DecodeAt(*chars, pos));
  std::sort(set.begin(), set.end());
  const auto is_in_set = [&](char32_t c) { return std::binary_search(set.begin(), set.end(), c); };
  while (left && !text.empty()) {
    size_t next = 0;
    if (!is_in_set(DecodeAt(text, next))) break;
    text.remove_prefix(next);
  }
  while (right && !text.empty()) {
    const size_t start = PreviousStart(text, text.size());
    size_t pos = start;
    if (!is_in_set(DecodeAt(text, pos))) break;
    text = text.substr(0, start);
  }
  return text;
}

Result<std::string> ReplaceText(RenderContext& context, std::string_view text, std::string_view old,
                                std::string_view fresh, int64_t count) {
  TextBuilder out(context);
  size_t pos = 0;
  for (int64_t done = 0; count < 0 || done < count; ++done) {
    size_t found = FindBytes(text, old, pos);
    if (old.empty()) {
      // Between all characters, and at both ends.
      found = pos;
      if (done != 0) {
        if (pos >= text.size()) break;
        DecodeAt(text, found);
      }
    }
    if (found == std::string_view::npos) break;
    RETURN_IF_ERROR(out.Add(text.substr(pos, found - pos)));
    RETURN_IF_ERROR(out.Add(fresh));
    RETURN_IF_ERROR(context.Charge(old.size()));
    pos = found + old.size();
  }
  RETURN_IF_ERROR(out.Add(text.substr(pos)));
  return out.Take();
}

Result<std::string> PadText(RenderContext& context, std::string_view text, int64_t width,
                            std::string_view fill, Ends text_at) {
  const int64_t missing = width - CountCodePoints(text);
  if (missing <= 0) return std::string(text);
  size_t bytes = 0;
  if (__builtin_mul_overflow(static_cast<size_t>(missing), fill.size(), &bytes)) bytes = SIZE_MAX;
  RETURN_IF_ERROR(context.Reserve(bytes));
  // As Python does, an odd filler of a centred text goes to the left if the width is odd.
  const int64_t left = text_at == Ends::kLeft    ? 0
                       : text_at == Ends::kRight ? missing
                                                 : missing / 2 + (missing & width & 1);
  std::string out;
  for (int64_t i = 0; i < left; ++i) out += fill;
  out += text;
  for (int64_t i = left; i < missing; ++i) out += fill;
  return out;
}

std::vector<std::string_view> SplitWords(std::string_view text) {
  return SplitAtSpace(text, -1, false);
}

std::vector<std::string_view> SplitLines(std::string_view text, bool keep_ends) {
  std::vector<std::string_view> lines;
  size_t start = 0;
  for (size_t pos = 0; pos < text.size() && lines.size() <= kMaxPieces;) {
    const size_t end = pos;
    const char32_t c = DecodeAt(text, pos);
    if (!IsLineEnd(c)) continue;
    if (c == U'\r' && pos < text.size() && text[pos] == '\n') ++pos;
    lines.push_back(text.substr(start, (keep_ends ? pos : end) - start));
    start = pos;
  }
  if (start < text.size()) lines.push_back(text.substr(start));
  return lines;
}

}  // namespace pelton::jinja
