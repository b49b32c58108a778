#include "text/template/printing.h"

#include "text/template/host_object.h"
#include "text/template/number_text.h"
#include "text/template/unicode_text.h"

namespace pelton::jinja {
namespace {

constexpr char kHexDigits[] = "0123456789abcdef";

Status AddItems(TextBuilder& out, const std::vector<Value>& items) {
  for (size_t i = 0; i < items.size(); ++i) {
    if (i != 0) RETURN_IF_ERROR(out.Add(", "));
    RETURN_IF_ERROR(AddRepr(out, items[i]));
  }
  return OkStatus();
}

Status AddEntries(TextBuilder& out, const DictObject& dict) {
  RETURN_IF_ERROR(out.Add("{"));
  for (size_t i = 0; i < dict.entries.size(); ++i) {
    if (i != 0) RETURN_IF_ERROR(out.Add(", "));
    RETURN_IF_ERROR(AddRepr(out, dict.entries[i].key));
    RETURN_IF_ERROR(out.Add(": "));
    RETURN_IF_ERROR(AddRepr(out, dict.entries[i].value));
  }
  return out.Add("}");
}

Status AddView(TextBuilder& out, const Value& value) {
  const ViewObject& view = value.view();
  RETURN_IF_ERROR(out.Add(TypeName(value)));
  RETURN_IF_ERROR(out.Add("(["));
  bool first = true;
  for (const DictObject::Entry& entry : view.dict.dict().entries) {
    if (!first) RETURN_IF_ERROR(out.Add(", "));
    first = false;
    switch (view.what) {
      case ViewObject::What::kKeys:
        RETURN_IF_ERROR(AddRepr(out, entry.key));
        break;
      case ViewObject::What::kValues:
        RETURN_IF_ERROR(AddRepr(out, entry.value));
        break;
      case ViewObject::What::kItems:
        RETURN_IF_ERROR(out.Add("("));
        RETURN_IF_ERROR(AddRepr(out, entry.key));
        RETURN_IF_ERROR(out.Add(", "));
        RETURN_IF_ERROR(AddRepr(out, entry.value));
        RETURN_IF_ERROR(out.Add(")"));
        break;
    }
  }
  return out.Add("])");
}

Status AddRange(TextBuilder& out, const RangeObject& range) {
  std::string text = "range(" + std::to_string(range.start) + ", " + std::to_string(range.stop);
  if (range.step != 1) text += ", " + std::to_string(range.step);
  return out.Add(text + ")");
}

void AppendEscape(char32_t c, std::string& out) {
  const int digits = c < 0x100 ? 2 : c < 0x10000 ? 4 : 8;
  out += '\\';
  out += digits == 2 ? 'x' : digits == 4 ? 'u' : 'U';
  for (int i = digits - 1; i >= 0; --i) out += kHexDigits[c >> (4 * i) & 0xF];
}

}  // namespace

Status AddQuoted(TextBuilder& out, std::string_view text) {
  const bool has_single = text.find('\'') != text.npos;
  const char quote = has_single && text.find('"') == text.npos ? '"' : '\'';
  std::string quoted(1, quote);
  for (size_t pos = 0; pos < text.size();) {
    const size_t start = pos;
    const char32_t c = DecodeAt(text, pos);
    if (c == static_cast<char32_t>(quote) || c == U'\\') {
      quoted += '\\';
      quoted += static_cast<char>(c);
    } else if (c == U'\n') {
      quoted += "\\n";
    } else if (c == U'\r') {
      quoted += "\\r";
    } else if (c == U'\t') {
      quoted += "\\t";
    } else if (IsPrintable(c)) {
      quoted += text.substr(start, pos - start);
    } else {
      AppendEscape(c, quoted);
    }
  }
  quoted += quote;
  return out.Add(quoted);
}

Status AddRepr(TextBuilder& out, const Value& value) {
  switch (value.kind()) {
    case Kind::kMissing:
    case Kind::kUndefined:
      return out.Add("Undefined");
    case Kind::kNone:
      return out.Add("None");
    case Kind::kBool:
      return out.Add(value.as_bool() ? "True" : "False");
    case Kind::kInt:
      return out.Add(IntText(value.as_int()));
    case Kind::kFloat:
      return out.Add(FloatText(value.as_double()));
    case Kind::kString:
      if (!value.is_safe_text()) return AddQuoted(out, value.text());
      RETURN_IF_ERROR(out.Add("Markup("));
      RETURN_IF_ERROR(AddQuoted(out, value.text()));
      return out.Add(")");
    case Kind::kList:
      RETURN_IF_ERROR(out.Add("["));
      RETURN_IF_ERROR(AddItems(out, value.items()));
      return out.Add("]");
    case Kind::kTuple:
      RETURN_IF_ERROR(out.Add("("));
      RETURN_IF_ERROR(AddItems(out, value.items()));
      return out.Add(value.items().size() == 1 ? ",)" : ")");
    case Kind::kDict:
      return AddEntries(out, value.dict());
    case Kind::kRange:
      return AddRange(out, value.range());
    case Kind::kView:
      return AddView(out, value);
    case Kind::kGenerator:
      return out.Add("<generator object>");
    case Kind::kObject:
      return out.Add("<" + std::string(value.host().type_name()) + " object>");
  }
  return OkStatus();
}

Status AddAscii(TextBuilder& out, const Value& value) {
  TextBuilder plain(out.context());
  RETURN_IF_ERROR(AddRepr(plain, value));
  const std::string text = plain.Take();
  std::string ascii;
  for (size_t pos = 0; pos < text.size();) {
    const char32_t c = DecodeAt(text, pos);
    if (c < 0x80) {
      ascii += static_cast<char>(c);
    } else {
      AppendEscape(c, ascii);
    }
  }
  return out.Add(ascii);
}

Status AddText(TextBuilder& out, const Value& value) {
  if (value.is_string()) return out.Add(value.text());
  if (value.is_undefined() || value.is_missing()) return OkStatus();
  return AddRepr(out, value);
}

Result<std::string> TextOf(RenderContext& context, const Value& value) {
  TextBuilder out(context);
  RETURN_IF_ERROR(AddText(out, value));
  return out.Take();
}

Result<Value> AsString(RenderContext& context, const Value& value) {
  if (value.is_string()) return value;
  ASSIGN_OR_RETURN(std::string text, TextOf(context, value));
  return context.NewString(std::move(text));
}

}  // namespace pelton::jinja
