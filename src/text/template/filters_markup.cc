#include <algorithm>
#include <charconv>
#include <utility>

#include "text/template/access.h"
#include "text/template/argument_binding.h"
#include "text/template/filters.h"
#include "text/template/iteration.h"
#include "text/template/methods_text.h"
#include "text/template/operators.h"
#include "text/template/printing.h"
#include "text/template/text_builder.h"
#include "text/template/unicode_text.h"

namespace pelton::jinja {
namespace {

Result<Value> Safe(Interpreter& vm, const Value& input, Arguments& arguments) {
  RETURN_IF_ERROR(BindArguments(vm, "safe", 0, {}, arguments, nullptr));
  ASSIGN_OR_RETURN(std::string text, TextOf(vm, input));
  return vm.NewString(std::move(text), true);
}

Result<Value> Escape(Interpreter& vm, const Value& input, Arguments& arguments) {
  RETURN_IF_ERROR(BindArguments(vm, "escape", 0, {}, arguments, nullptr));
  if (input.is_safe_text()) return input;
  ASSIGN_OR_RETURN(const std::string text, TextOf(vm, input));
  return vm.NewString(EscapeHtml(text), true);
}

Result<Value> ForceEscape(Interpreter& vm, const Value& input, Arguments& arguments) {
  RETURN_IF_ERROR(BindArguments(vm, "forceescape", 0, {}, arguments, nullptr));
  ASSIGN_OR_RETURN(const std::string text, TextOf(vm, input));
  return vm.NewString(EscapeHtml(text), true);
}

// Replaces the entities that EscapeHtml writes, and numbered ones. The two thousand names of HTML
// are left alone: a chat template has no use for them.
std::string Unescape(std::string_view text) {
  struct Entity {
    std::string_view name;
    std::string_view text;
  };
  constexpr Entity kEntities[] = {{"amp;", "&"},   {"lt;", "<"},   {"gt;", ">"},
                                  {"quot;", "\""}, {"apos;", "'"}, {"nbsp;", "\xC2\xA0"}};
  std::string out;
  for (size_t pos = 0; pos < text.size();) {
    if (text[pos] != '&') {
      out += text[pos++];
      continue;
    }
    const std::string_view rest = text.substr(pos + 1);
    const auto* entity = std::find_if(std::begin(kEntities), std::end(kEntities),
                                      [&](const Entity& e) { return rest.starts_with(e.name); });
    if (entity != std::end(kEntities)) {
      out += entity->text;
      pos += 1 + entity->name.size();
      continue;
    }
    const bool hex = rest.starts_with("#x") || rest.starts_with("#X");
    const size_t digits = hex ? 2 : 1;
    uint32_t code = 0;
    const char* end = rest.data() + rest.size();
    const char* first = rest.data() + std::min(digits, rest.size());
    const auto number = std::from_chars(first, end, code, hex ? 16 : 10);
    const bool is_number = rest.starts_with('#') && number.ec == std::errc() && number.ptr != end &&
                           *number.ptr == ';' && code <= 0x10FFFF;
    if (is_number) {
      AppendUtf8(code == 0 ? 0xFFFD : code, out);
      pos += 1 + static_cast<size_t>(number.ptr - rest.data()) + 1;
    } else {
      out += text[pos++];
    }
  }
  return out;
}

// Removes everything from `open` to `close`, as often as there is such a pair.
Status RemoveBetween(Interpreter& vm, std::string_view open, std::string_view close,
                     std::string& text) {
  while (true) {
    RETURN_IF_ERROR(vm.Charge(RenderContext::kBytesPerTick + text.size()));
    const size_t start = FindBytes(text, open);
    if (start == std::string::npos) return OkStatus();
    const size_t end = FindBytes(text, close, start);
    if (end == std::string::npos) return OkStatus();
    text.erase(start, end + close.size() - start);
  }
}

Result<Value> StripTags(Interpreter& vm, const Value& input, Arguments& arguments) {
  RETURN_IF_ERROR(BindArguments(vm, "striptags", 0, {}, arguments, nullptr));
  ASSIGN_OR_RETURN(std::string text, TextOf(vm, input));
  RETURN_IF_ERROR(RemoveBetween(vm, "<!--", "-->", text));
  RETURN_IF_ERROR(RemoveBetween(vm, "<", ">", text));
  std::string out;
  bool in_space = false;
  const std::string_view stripped = StripLeft(StripRight(text));
  for (size_t pos = 0; pos < stripped.size();) {
    const size_t start = pos;
    if (IsSpace(DecodeAt(stripped, pos))) {
      in_space = true;
      continue;
    }
    if (std::exchange(in_space, false)) out += ' ';
    out += stripped.substr(start, pos - start);
  }
  return vm.NewString(Unescape(out));
}

// urllib.parse.quote(); in a query, a space is + and a slash is quoted.
std::string QuoteUrl(std::string_view text, bool in_query) {
  std::string out;
  for (const char c : text) {
    const bool plain = (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') ||
                       std::string_view("_.-~").find(c) != std::string_view::npos ||
                       (c == '/' && !in_query);
    if (plain) {
      out += c;
    } else if (c == ' ' && in_query) {
      out += '+';
    } else {
      const auto byte = static_cast<uint8_t>(c);
      out += '%';
      out += "0123456789ABCDEF"[byte >> 4];
      out += "0123456789ABCDEF"[byte & 15];
    }
  }
  return out;
}

Result<Value> UrlEncode(Interpreter& vm, const Value& input, Arguments& arguments) {
  RETURN_IF_ERROR(BindArguments(vm, "urlencode", 0, {}, arguments, nullptr));
  TextBuilder out(vm);
  if (input.is_string() || !IsIterable(input)) {
    ASSIGN_OR_RETURN(const std::string text, TextOf(vm, input));
    RETURN_IF_ERROR(vm.Reserve(3 * text.size()));
    return vm.NewString(QuoteUrl(text, false));
  }
  std::vector<Value> pairs;
  if (input.is(Kind::kDict)) {
    for (const DictObject::Entry& entry : input.dict().entries) {
      RETURN_IF_ERROR(vm.Step());
      pairs.push_back(NewPair(vm, entry.key, entry.value));
    }
  } else {
    ASSIGN_OR_RETURN(pairs, Collect(vm, input));
  }
  bool first = true;
  for (const Value& pair : pairs) {
    if (!pair.is_sequence() || pair.items().size() != 2) {
      return vm.RuntimeError("urlencode needs a string, a dict or pairs");
    }
    if (!first) RETURN_IF_ERROR(out.Add("&"));
    first = false;
    ASSIGN_OR_RETURN(const std::string key, TextOf(vm, pair.items()[0]));
    ASSIGN_OR_RETURN(const std::string value, TextOf(vm, pair.items()[1]));
    RETURN_IF_ERROR(out.Add(QuoteUrl(key, true)));
    RETURN_IF_ERROR(out.Add("="));
    RETURN_IF_ERROR(out.Add(QuoteUrl(value, true)));
  }
  return vm.NewString(out.Take());
}

Result<Value> XmlAttr(Interpreter& vm, const Value& input, Arguments& arguments) {
  Value autospace;
  RETURN_IF_ERROR(BindArguments(vm, "xmlattr", 0, {"autospace"}, arguments, &autospace));
  if (input.is_undefined()) return vm.UndefinedError(input);
  if (!input.is(Kind::kDict)) return vm.RuntimeError("xmlattr needs a dict");
  TextBuilder out(vm);
  for (const DictObject::Entry& entry : input.dict().entries) {
    if (entry.value.is_none() || entry.value.is_undefined()) continue;
    if (!entry.key.is_string()) return vm.RuntimeError("xmlattr needs strings as keys");
    if (entry.key.text().find_first_of(" \t\n\r\f\v/>=") != std::string::npos) {
      return vm.RuntimeError("an attribute name has a forbidden character");
    }
    if (out.size() != 0 || FlagArgument(autospace, true)) RETURN_IF_ERROR(out.Add(" "));
    ASSIGN_OR_RETURN(const std::string value, TextOf(vm, entry.value));
    RETURN_IF_ERROR(out.Add(EscapeHtml(entry.key.text())));
    RETURN_IF_ERROR(out.Add("=\""));
    RETURN_IF_ERROR(out.Add(entry.value.is_safe_text() ? value : EscapeHtml(value)));
    RETURN_IF_ERROR(out.Add("\""));
  }
  return vm.NewString(out.Take());
}

constexpr Filter kMarkupFilters[] = {
    {"e", &Escape},        {"escape", &Escape},       {"forceescape", &ForceEscape},
    {"safe", &Safe},       {"striptags", &StripTags}, {"urlencode", &UrlEncode},
    {"xmlattr", &XmlAttr},
};

}  // namespace

FilterTable MarkupFilters() { return {std::begin(kMarkupFilters), std::end(kMarkupFilters)}; }

}  // namespace pelton::jinja
