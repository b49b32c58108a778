#include "text/template/methods_text.h"

#include <algorithm>
#include <array>
#include <utility>

#include "text/template/argument_binding.h"
#include "text/template/format_text.h"
#include "text/template/iteration.h"
#include "text/template/operators.h"
#include "text/template/text_builder.h"
#include "text/template/unicode_text.h"

namespace pelton::jinja {
namespace {

Result<Value> TextResult(Interpreter& vm, const Value& self, std::string text) {
  return vm.NewString(std::move(text), self.is_safe_text());
}

Status NoMethodArguments(Interpreter& vm, Arguments& arguments) {
  return BindArguments(vm, "the method", 0, {}, arguments, nullptr);
}

template <std::string (*kConvert)(std::string_view)>
Result<Value> ConvertSelf(Interpreter& vm, const Value& self, Arguments& arguments) {
  RETURN_IF_ERROR(NoMethodArguments(vm, arguments));
  RETURN_IF_ERROR(vm.ChargeCase(self.text()));
  return TextResult(vm, self, kConvert(self.text()));
}

// Whether the text is not empty and every character passes.
template <bool (*kTest)(char32_t)>
Result<Value> EveryCharacter(Interpreter& vm, const Value& self, Arguments& arguments) {
  RETURN_IF_ERROR(NoMethodArguments(vm, arguments));
  const std::string& text = self.text();
  for (size_t pos = 0; pos < text.size();) {
    if (!kTest(DecodeAt(text, pos))) return Value::Bool(false);
  }
  return Value::Bool(!text.empty());
}

Result<Value> IsAscii(Interpreter& vm, const Value& self, Arguments& arguments) {
  RETURN_IF_ERROR(NoMethodArguments(vm, arguments));
  return Value::Bool(self.string_object().IsAscii());
}

Result<Value> IsLowerMethod(Interpreter& vm, const Value& self, Arguments& arguments) {
  RETURN_IF_ERROR(NoMethodArguments(vm, arguments));
  return Value::Bool(IsLowerText(self.text()));
}

Result<Value> IsUpperMethod(Interpreter& vm, const Value& self, Arguments& arguments) {
  RETURN_IF_ERROR(NoMethodArguments(vm, arguments));
  return Value::Bool(IsUpperText(self.text()));
}

Result<Value> IsTitleMethod(Interpreter& vm, const Value& self, Arguments& arguments) {
  RETURN_IF_ERROR(NoMethodArguments(vm, arguments));
  bool any = false;
  bool after_cased = false;
  for (size_t pos = 0; pos < self.text().size();) {
    const char32_t c = DecodeAt(self.text(), pos);
    const bool starts_word = IsUpper(c) || IsTitle(c);
    if (starts_word ? after_cased : IsLower(c) && !after_cased) return Value::Bool(false);
    after_cased = IsCased(c);
    any = any || after_cased;
  }
  return Value::Bool(any);
}

Result<Value> IsIdentifierMethod(Interpreter& vm, const Value& self, Arguments& arguments) {
  RETURN_IF_ERROR(NoMethodArguments(vm, arguments));
  const std::string& text = self.text();
  for (size_t pos = 0; pos < text.size();) {
    const bool first = pos == 0;
    const char32_t c = DecodeAt(text, pos);
    if (first ? !IsAlpha(c) && c != U'_' : !IsIdentifierPart(c)) return Value::Bool(false);
  }
  return Value::Bool(!text.empty());
}

bool IsPrintableOrSpace(char32_t c) { return c == U' ' || IsPrintable(c); }

Result<Value> IsPrintableMethod(Interpreter& vm, const Value& self, Arguments& arguments) {
  if (self.text().empty()) return Value::Bool(true);
  return EveryCharacter<&IsPrintableOrSpace>(vm, self, arguments);
}

template <Ends kEnds>
Result<Value> Strip(Interpreter& vm, const Value& self, Arguments& arguments) {
  Value chars;
  RETURN_IF_ERROR(BindArguments(vm, "strip", 0, {"/chars"}, arguments, &chars));
  std::optional<std::string> given;
  if (!IsAbsent(chars)) {
    ASSIGN_OR_RETURN(given, TextArgument(vm, "chars", chars, ""));
    RETURN_IF_ERROR(vm.Reserve(given->size() * sizeof(char32_t)));
  }
  return TextResult(vm, self, std::string(StripText(self.text(), given, kEnds)));
}

// The part of the text that optional start and end arguments choose.
struct Section {
  std::string_view text;
  int64_t first = 0;      // code point where it starts
  bool is_empty = false;  // the start is beyond the end of the text: not even "" is there
};

Result<Section> FindSection(Interpreter& vm, const Value& self, const Value& start,
                            const Value& end) {
  const std::string& text = self.text();
  const int64_t length = self.string_object().Length();
  const auto bound = [&](const Value& value, int64_t fallback) -> Result<int64_t> {
    if (IsAbsent(value)) return fallback;
    ASSIGN_OR_RETURN(int64_t index, IntArgument(vm, "start", value, 0));
    if (index < 0) index = std::max<int64_t>(index + length, 0);
    return index;
  };
  ASSIGN_OR_RETURN(const int64_t first, bound(start, 0));
  ASSIGN_OR_RETURN(int64_t last, bound(end, length));
  last = std::min(last, length);
  if (first > last) return Section{{}, first, true};
  const size_t from = ByteOffset(text, first);
  const size_t to = last == length ? text.size() : ByteOffset(text, last);
  return Section{std::string_view(text).substr(from, to - from), first, false};
}

template <bool kLast, bool kMustExist>
Result<Value> Find(Interpreter& vm, const Value& self, Arguments& arguments) {
  Value argument[3];
  RETURN_IF_ERROR(BindArguments(vm, "find", 1, {"/sub", "/start", "/end"}, arguments, argument));
  ASSIGN_OR_RETURN(const std::string wanted, TextArgument(vm, "sub", argument[0], ""));
  ASSIGN_OR_RETURN(const Section section, FindSection(vm, self, argument[1], argument[2]));
  RETURN_IF_ERROR(vm.Charge(4 * wanted.size()));
  size_t found = std::string_view::npos;
  if (!section.is_empty) {
    found = kLast ? FindLastBytes(section.text, wanted, section.text.size())
                  : FindBytes(section.text, wanted);
  }
  if (found != std::string_view::npos) {
    return Value::Integer(section.first + CountCodePoints(section.text.substr(0, found)));
  }
  if (kMustExist) return vm.RuntimeError("index(): the substring is not there");
  return Value::Integer(-1);
}

Result<Value> Count(Interpreter& vm, const Value& self, Arguments& arguments) {
  Value argument[3];
  RETURN_IF_ERROR(BindArguments(vm, "count", 1, {"/sub", "/start", "/end"}, arguments, argument));
  ASSIGN_OR_RETURN(const std::string wanted, TextArgument(vm, "sub", argument[0], ""));
  ASSIGN_OR_RETURN(const Section section, FindSection(vm, self, argument[1], argument[2]));
  if (section.is_empty) return Value::Integer(0);
  if (wanted.empty()) return Value::Integer(CountCodePoints(section.text) + 1);
  int64_t count = 0;
  for (size_t pos = FindBytes(section.text, wanted); pos != std::string_view::npos; ++count) {
    RETURN_IF_ERROR(vm.Charge(wanted.size()));
    pos = FindBytes(section.text, wanted, pos + wanted.size());
  }
  return Value::Integer(count);
}

// startswith and endswith, of one text or of any in a tuple.
template <bool kAtEnd>
Result<Value> HasAffix(Interpreter& vm, const Value& self, Arguments& arguments) {
  Value argument[3];
  RETURN_IF_ERROR(BindArguments(vm, kAtEnd ? "endswith" : "startswith", 1,
                                {"/affix", "/start", "/end"}, arguments, argument));
  ASSIGN_OR_RETURN(const Section section, FindSection(vm, self, argument[1], argument[2]));
  std::vector<Value> affixes = {argument[0]};
  if (argument[0].is(Kind::kTuple)) affixes = argument[0].items();
  for (const Value& affix : affixes) {
    RETURN_IF_ERROR(vm.Step());
    ASSIGN_OR_RETURN(const std::string text, TextArgument(vm, "affix", affix, ""));
    RETURN_IF_ERROR(vm.Charge(text.size()));
    const bool has = kAtEnd ? section.text.ends_with(text) : section.text.starts_with(text);
    if (has && !section.is_empty) return Value::Bool(true);
  }
  return Value::Bool(false);
}

template <bool kAtEnd>
Result<Value> RemoveAffix(Interpreter& vm, const Value& self, Arguments& arguments) {
  Value argument;
  RETURN_IF_ERROR(BindArguments(vm, "removeprefix", 1, {"/affix"}, arguments, &argument));
  ASSIGN_OR_RETURN(const std::string affix, TextArgument(vm, "affix", argument, ""));
  std::string_view text = self.text();
  if (kAtEnd && text.ends_with(affix)) text.remove_suffix(affix.size());
  if (!kAtEnd && text.starts_with(affix)) text.remove_prefix(affix.size());
  return TextResult(vm, self, std::string(text));
}

// An argument of a safe string's method, which is escaped unless it is safe too.
std::string EscapedFor(const Value& self, const Value& argument) {
  if (!self.is_safe_text() || argument.is_safe_text()) return argument.text();
  return EscapeHtml(argument.text());
}

Result<Value> Replace(Interpreter& vm, const Value& self, Arguments& arguments) {
  Value argument[3];
  RETURN_IF_ERROR(BindArguments(vm, "replace", 2, {"/old", "/new", "/count"}, arguments, argument));
  ASSIGN_OR_RETURN(const std::string old, TextArgument(vm, "old", argument[0], ""));
  RETURN_IF_ERROR(TextArgument(vm, "new", argument[1], "").status());
  ASSIGN_OR_RETURN(const int64_t count, IntArgument(vm, "count", argument[2], -1));
  ASSIGN_OR_RETURN(std::string text,
                   ReplaceText(vm, self.text(), old, EscapedFor(self, argument[1]), count));
  return TextResult(vm, self, std::move(text));
}

Result<Value> Join(Interpreter& vm, const Value& self, Arguments& arguments) {
  Value list;
  RETURN_IF_ERROR(BindArguments(vm, "join", 1, {"/iterable"}, arguments, &list));
  if (list.is_undefined()) return vm.NewString("", self.is_safe_text());
  ASSIGN_OR_RETURN(const std::vector<Value> items, Collect(vm, list));
  TextBuilder out(vm);
  for (size_t i = 0; i < items.size(); ++i) {
    if (!items[i].is_string()) {
      return vm.RuntimeError("join(): item " + std::to_string(i) + " is no string but '" +
                             std::string(TypeName(items[i])) + "'");
    }
    if (i != 0) RETURN_IF_ERROR(out.Add(self.text()));
    RETURN_IF_ERROR(out.Add(EscapedFor(self, items[i])));
  }
  return TextResult(vm, self, out.Take());
}

template <Ends kTextAt>
Result<Value> Pad(Interpreter& vm, const Value& self, Arguments& arguments) {
  Value argument[2];
  RETURN_IF_ERROR(BindArguments(vm, "center", 1, {"/width", "/fillchar"}, arguments, argument));
  ASSIGN_OR_RETURN(const int64_t width, IntArgument(vm, "width", argument[0], 0));
  ASSIGN_OR_RETURN(const std::string fill, TextArgument(vm, "fillchar", argument[1], " "));
  if (CountCodePoints(fill) != 1) {
    return vm.RuntimeError("'fillchar' must be exactly one character");
  }
  ASSIGN_OR_RETURN(std::string text, PadText(vm, self.text(), width, fill, kTextAt));
  return TextResult(vm, self, std::move(text));
}

Result<Value> ZeroFill(Interpreter& vm, const Value& self, Arguments& arguments) {
  Value argument;
  RETURN_IF_ERROR(BindArguments(vm, "zfill", 1, {"/width"}, arguments, &argument));
  ASSIGN_OR_RETURN(const int64_t width, IntArgument(vm, "width", argument, 0));
  ASSIGN_OR_RETURN(std::string text, PadText(vm, self.text(), width, "0", Ends::kRight));
  const size_t zeros = text.size() - self.text().size();
  if (zeros != 0 && zeros < text.size() && (text[zeros] == '+' || text[zeros] == '-')) {
    std::swap(text[0], text[zeros]);
  }
  return TextResult(vm, self, std::move(text));
}

Result<Value> ExpandTabs(Interpreter& vm, const Value& self, Arguments& arguments) {
  Value argument;
  RETURN_IF_ERROR(BindArguments(vm, "expandtabs", 0, {"tabsize"}, arguments, &argument));
  ASSIGN_OR_RETURN(const int64_t size, IntArgument(vm, "tabsize", argument, 8));
  TextBuilder out(vm);
  int64_t column = 0;
  const std::string_view text = self.text();
  for (size_t pos = 0; pos < text.size();) {
    const size_t start = pos;
    const char32_t c = DecodeAt(text, pos);
    if (c == U'\t') {
      const int64_t spaces = size <= 0 ? 0 : size - column % size;
      RETURN_IF_ERROR(out.AddRepeated(' ', static_cast<size_t>(spaces)));
      column += spaces;
      continue;
    }
    column = c == U'\n' || c == U'\r' ? 0 : column + 1;
    RETURN_IF_ERROR(out.Add(text.substr(start, pos - start)));
  }
  return TextResult(vm, self, out.Take());
}

Result<Value> Format(Interpreter& vm, const Value& self, Arguments& arguments) {
  return BraceFormat(vm, self, arguments);
}

Result<Value> FormatMap(Interpreter& vm, const Value& self, Arguments& arguments) {
  Value mapping;
  RETURN_IF_ERROR(BindArguments(vm, "format_map", 1, {"/mapping"}, arguments, &mapping));
  if (!mapping.is(Kind::kDict)) return vm.RuntimeError("format_map() needs a dict");
  Arguments named;
  for (const DictObject::Entry& entry : mapping.dict().entries) {
    if (entry.key.is_string()) named.named.emplace_back(entry.key.text(), entry.value);
  }
  return BraceFormat(vm, self, named);
}

// Sorted by name.
constexpr Method kTextMethods[] = {
    {"capitalize", &ConvertSelf<&Capitalize>},
    {"casefold", &ConvertSelf<&CaseFold>},
    {"center", &Pad<Ends::kBoth>},
    {"count", &Count},
    {"endswith", &HasAffix<true>, true},
    {"expandtabs", &ExpandTabs},
    {"find", &Find<false, false>},
    {"format", &Format},
    {"format_map", &FormatMap},
    {"index", &Find<false, true>},
    {"isalnum", &EveryCharacter<&IsAlnum>},
    {"isalpha", &EveryCharacter<&IsAlpha>},
    {"isascii", &IsAscii},
    {"isdecimal", &EveryCharacter<&IsDecimal>},
    {"isdigit", &EveryCharacter<&IsDigit>},
    {"isidentifier", &IsIdentifierMethod},
    {"islower", &IsLowerMethod},
    {"isnumeric", &EveryCharacter<&IsNumeric>},
    {"isprintable", &IsPrintableMethod},
    {"isspace", &EveryCharacter<&IsSpace>},
    {"istitle", &IsTitleMethod},
    {"isupper", &IsUpperMethod},
    {"join", &Join},
    {"ljust", &Pad<Ends::kLeft>},
    {"lower", &ConvertSelf<&Lower>},
    {"lstrip", &Strip<Ends::kLeft>},
    {"removeprefix", &RemoveAffix<false>},
    {"removesuffix", &RemoveAffix<true>},
    {"replace", &Replace},
    {"rfind", &Find<true, false>},
    {"rindex", &Find<true, true>},
    {"rjust", &Pad<Ends::kRight>},
    {"rstrip", &Strip<Ends::kRight>},
    {"startswith", &HasAffix<false>, true},
    {"strip", &Strip<Ends::kBoth>},
    {"swapcase", &ConvertSelf<&SwapCase>},
    {"title", &ConvertSelf<&TitleMethod>},
    {"upper", &ConvertSelf<&Upper>},
    {"zfill", &ZeroFill},
};

}  // namespace

const Method* FindTextMethod(std::string_view name) {
  const Method* it =
      std::lower_bound(std::begin(kTextMethods), std::end(kTextMethods), name,
                       [](const Method& m, std::string_view n) { return m.name < n; });
  if (it != std::end(kTextMethods) && it->name == name) return it;
  return FindSplitMethod(name);
}

}  // namespace pelton::jinja
