#include <algorithm>
#include <utility>

#include "text/template/argument_binding.h"
#include "text/template/filters.h"
#include "text/template/format_text.h"
#include "text/template/json_text.h"
#include "text/template/methods_text.h"
#include "text/template/operators.h"
#include "text/template/printing.h"
#include "text/template/text_builder.h"
#include "text/template/text_wrap.h"
#include "text/template/unicode_text.h"

namespace pelton::jinja {
namespace {

// The input as a string, and its conversion. Source of all: Jinja2 filters.py.
template <std::string (*kConvert)(std::string_view)>
Result<Value> Convert(Interpreter& vm, const Value& input, Arguments& arguments) {
  RETURN_IF_ERROR(BindArguments(vm, "the filter", 0, {}, arguments, nullptr));
  ASSIGN_OR_RETURN(const Value text, AsString(vm, input));
  RETURN_IF_ERROR(vm.ChargeCase(text.text()));
  return vm.NewString(kConvert(text.text()), text.is_safe_text());
}

// Unlike the method title(): a word starts after white space, hyphens and opening brackets only.
std::string TitleWords(std::string_view text) {
  std::string out;
  bool at_start = true;
  size_t word = 0;
  const auto flush = [&](size_t end) {
    if (word < end) {
      size_t first_end = word;
      DecodeAt(text, first_end);
      out += Upper(text.substr(word, first_end - word));
      out += Lower(text.substr(first_end, end - first_end));
    }
  };
  for (size_t pos = 0; pos < text.size();) {
    const size_t start = pos;
    const char32_t c = DecodeAt(text, pos);
    const bool separates =
        IsSpace(c) || c == U'-' || c == U'(' || c == U'{' || c == U'[' || c == U'<';
    if (separates) {
      if (!at_start) flush(start);
      out += text.substr(start, pos - start);
      at_start = true;
    } else if (at_start) {
      word = start;
      at_start = false;
    }
  }
  if (!at_start) flush(text.size());
  return out;
}

Result<Value> Title(Interpreter& vm, const Value& input, Arguments& arguments) {
  RETURN_IF_ERROR(BindArguments(vm, "title", 0, {}, arguments, nullptr));
  ASSIGN_OR_RETURN(const std::string text, TextOf(vm, input));
  RETURN_IF_ERROR(vm.Charge(8 * text.size()));  // word by word
  return vm.NewString(TitleWords(text));
}

Result<Value> Center(Interpreter& vm, const Value& input, Arguments& arguments) {
  Value argument;
  RETURN_IF_ERROR(BindArguments(vm, "center", 0, {"width"}, arguments, &argument));
  ASSIGN_OR_RETURN(const int64_t width, IntArgument(vm, "width", argument, 80));
  ASSIGN_OR_RETURN(const Value text, AsString(vm, input));
  ASSIGN_OR_RETURN(std::string out, PadText(vm, text.text(), width, " ", Ends::kBoth));
  return vm.NewString(std::move(out), text.is_safe_text());
}

Result<Value> FormatFilter(Interpreter& vm, const Value& input, Arguments& arguments) {
  if (!arguments.positional.empty() && !arguments.named.empty()) {
    return vm.RuntimeError("format takes either numbered or named arguments");
  }
  ASSIGN_OR_RETURN(const Value format, AsString(vm, input));
  if (arguments.named.empty()) {
    const Value values = vm.NewTuple(std::move(arguments.positional));
    if (!values.is(Kind::kTuple)) return vm.failure();
    return PercentFormat(vm, format, values);
  }
  std::vector<DictObject::Entry> entries;
  entries.reserve(arguments.named.size());
  for (auto& [name, value] : arguments.named) entries.push_back({vm.NewString(name), value});
  const Value values = vm.NewDict(std::move(entries));
  if (!values.is(Kind::kDict)) return vm.failure();
  return PercentFormat(vm, format, values);
}

Result<Value> Indent(Interpreter& vm, const Value& input, Arguments& arguments) {
  Value argument[3];
  RETURN_IF_ERROR(BindArguments(vm, "indent", 0, {"width", "first", "blank"}, arguments, argument));
  if (input.is_undefined()) return vm.UndefinedError(input);
  if (!input.is_string()) {
    return vm.RuntimeError("indent needs a string, not '" + std::string(TypeName(input)) + "'");
  }
  std::string indention;
  if (argument[0].is_string()) {
    indention = argument[0].text();
    if (input.is_safe_text() && !argument[0].is_safe_text()) indention = EscapeHtml(indention);
  } else {
    ASSIGN_OR_RETURN(const int64_t width, IntArgument(vm, "width", argument[0], 4));
    RETURN_IF_ERROR(vm.Reserve(static_cast<size_t>(std::max<int64_t>(width, 0))));
    indention.assign(static_cast<size_t>(std::max<int64_t>(width, 0)), ' ');
  }
  const bool blank = FlagArgument(argument[2], false);
  TextBuilder out(vm);
  if (FlagArgument(argument[1], false)) RETURN_IF_ERROR(out.Add(indention));
  RETURN_IF_ERROR(vm.Reserve(input.text().size() + 1));
  const std::string text = input.text() + "\n";
  bool first = true;
  for (const std::string_view line : SplitLines(text, false)) {
    if (!first) {
      RETURN_IF_ERROR(out.Add("\n"));
      if (blank || !line.empty()) RETURN_IF_ERROR(out.Add(indention));
    }
    first = false;
    RETURN_IF_ERROR(out.Add(line));
  }
  return vm.NewString(out.Take(), input.is_safe_text());
}

Result<Value> ReplaceFilter(Interpreter& vm, const Value& input, Arguments& arguments) {
  Value argument[3];
  RETURN_IF_ERROR(BindArguments(vm, "replace", 2, {"old", "new", "count"}, arguments, argument));
  ASSIGN_OR_RETURN(const std::string text, TextOf(vm, input));
  ASSIGN_OR_RETURN(const std::string old, TextOf(vm, argument[0]));
  ASSIGN_OR_RETURN(const std::string fresh, TextOf(vm, argument[1]));
  int64_t count = -1;
  if (!IsAbsent(argument[2])) {
    ASSIGN_OR_RETURN(count, IntArgument(vm, "count", argument[2], -1));
  }
  ASSIGN_OR_RETURN(std::string out, ReplaceText(vm, text, old, fresh, count));
  return vm.NewString(std::move(out));
}

Result<Value> StringFilter(Interpreter& vm, const Value& input, Arguments& arguments) {
  RETURN_IF_ERROR(BindArguments(vm, "string", 0, {}, arguments, nullptr));
  return AsString(vm, input);
}

Result<Value> ToJson(Interpreter& vm, const Value& input, Arguments& arguments) {
  Value argument[4];
  RETURN_IF_ERROR(BindArguments(
      vm, "tojson", 0, {"ensure_ascii", "indent", "separators", "sort_keys"}, arguments, argument));
  JsonStyle style;
  style.ensure_ascii = FlagArgument(argument[0], false);
  style.sort_keys = FlagArgument(argument[3], false);
  if (!IsAbsent(argument[1])) {
    style.is_indented = true;
    style.item_separator = ",";
    if (argument[1].is_string()) {
      style.indent = argument[1].text();
    } else {
      ASSIGN_OR_RETURN(const int64_t width, IntArgument(vm, "indent", argument[1], 0));
      RETURN_IF_ERROR(vm.Reserve(static_cast<size_t>(std::max<int64_t>(width, 0))));
      style.indent.assign(static_cast<size_t>(std::max<int64_t>(width, 0)), ' ');
    }
  }
  if (!IsAbsent(argument[2])) {
    if (!argument[2].is_sequence() || argument[2].items().size() != 2) {
      return vm.RuntimeError("'separators' must be a pair of strings");
    }
    ASSIGN_OR_RETURN(style.item_separator,
                     TextArgument(vm, "separators", argument[2].items()[0], ""));
    ASSIGN_OR_RETURN(style.key_separator,
                     TextArgument(vm, "separators", argument[2].items()[1], ""));
  }
  TextBuilder out(vm);
  RETURN_IF_ERROR(AddJson(out, input, style));
  return vm.NewString(out.Take());
}

Result<Value> Trim(Interpreter& vm, const Value& input, Arguments& arguments) {
  Value chars;
  RETURN_IF_ERROR(BindArguments(vm, "trim", 0, {"chars"}, arguments, &chars));
  ASSIGN_OR_RETURN(const Value text, AsString(vm, input));
  std::optional<std::string> given;
  if (!IsAbsent(chars)) {
    ASSIGN_OR_RETURN(given, TextArgument(vm, "chars", chars, ""));
    RETURN_IF_ERROR(vm.Reserve(given->size() * sizeof(char32_t)));
  }
  return vm.NewString(std::string(StripText(text.text(), given, Ends::kBoth)), text.is_safe_text());
}

Result<Value> Truncate(Interpreter& vm, const Value& input, Arguments& arguments) {
  Value argument[4];
  RETURN_IF_ERROR(BindArguments(vm, "truncate", 0, {"length", "killwords", "end", "leeway"},
                                arguments, argument));
  ASSIGN_OR_RETURN(const int64_t length, IntArgument(vm, "length", argument[0], 255));
  ASSIGN_OR_RETURN(const std::string end, TextArgument(vm, "end", argument[2], "..."));
  int64_t leeway = 5;
  if (!IsAbsent(argument[3])) {
    ASSIGN_OR_RETURN(leeway, IntArgument(vm, "leeway", argument[3], 5));
  }
  const int64_t end_length = CountCodePoints(end);
  if (length < end_length || leeway < 0) {
    return vm.RuntimeError("truncate: 'length' is below that of the end, or 'leeway' negative");
  }
  if (!input.is_string()) {
    if (input.is_undefined()) return input;
    return vm.RuntimeError("truncate needs a string, not '" + std::string(TypeName(input)) + "'");
  }
  const std::string_view text = input.text();
  const int64_t size = input.string_object().Length();
  if (size <= length || size - length <= leeway) return input;
  std::string_view kept = text.substr(0, ByteOffset(text, length - end_length));
  if (!FlagArgument(argument[1], false)) {
    if (const size_t space = kept.rfind(' '); space != kept.npos) kept = kept.substr(0, space);
  }
  return JoinStrings(vm, vm.NewString(std::string(kept), input.is_safe_text()),
                     vm.NewString(end, argument[2].is_safe_text()));
}

Result<Value> WordCount(Interpreter& vm, const Value& input, Arguments& arguments) {
  RETURN_IF_ERROR(BindArguments(vm, "wordcount", 0, {}, arguments, nullptr));
  ASSIGN_OR_RETURN(const Value text, AsString(vm, input));
  int64_t count = 0;
  bool in_word = false;
  for (size_t pos = 0; pos < text.text().size();) {
    const bool is_word = IsWord(DecodeAt(text.text(), pos));
    count += is_word && !in_word;
    in_word = is_word;
  }
  return Value::Integer(count);
}

Result<Value> WordWrap(Interpreter& vm, const Value& input, Arguments& arguments) {
  Value argument[4];
  RETURN_IF_ERROR(BindArguments(vm, "wordwrap", 0,
                                {"width", "break_long_words", "wrapstring", "break_on_hyphens"},
                                arguments, argument));
  if (!input.is_string()) {
    if (input.is_undefined()) return vm.UndefinedError(input);
    return vm.RuntimeError("wordwrap needs a string, not '" + std::string(TypeName(input)) + "'");
  }
  ASSIGN_OR_RETURN(const int64_t width, IntArgument(vm, "width", argument[0], 79));
  if (width <= 0) return vm.RuntimeError("wordwrap: 'width' must be positive");
  std::string separator = "\n";
  if (!IsAbsent(argument[2])) {
    ASSIGN_OR_RETURN(separator, TextArgument(vm, "wrapstring", argument[2], "\n"));
  }
  const WrapOptions options{width, FlagArgument(argument[1], true),
                            FlagArgument(argument[3], true)};
  TextBuilder out(vm);
  bool first_paragraph = true;
  for (const std::string_view paragraph : SplitLines(input.text(), false)) {
    RETURN_IF_ERROR(vm.Charge(8 * paragraph.size()));
    if (!first_paragraph) RETURN_IF_ERROR(out.Add(separator));
    first_paragraph = false;
    bool first_line = true;
    for (const std::string& line : WrapText(paragraph, options)) {
      if (!first_line) RETURN_IF_ERROR(out.Add(separator));
      first_line = false;
      RETURN_IF_ERROR(out.Add(line));
    }
  }
  return vm.NewString(out.Take());
}

constexpr Filter kTextFilters[] = {
    {"capitalize", &Convert<&Capitalize>},
    {"center", &Center},
    {"format", &FormatFilter},
    {"indent", &Indent},
    {"lower", &Convert<&Lower>},
    {"replace", &ReplaceFilter},
    {"string", &StringFilter, true},
    {"title", &Title},
    {"tojson", &ToJson},
    {"trim", &Trim},
    {"truncate", &Truncate},
    {"upper", &Convert<&Upper>},
    {"wordcount", &WordCount},
    {"wordwrap", &WordWrap},
};

}  // namespace

FilterTable TextFilters() { return {std::begin(kTextFilters), std::end(kTextFilters)}; }

}  // namespace pelton::jinja
