#include "text/template/json_text.h"

#include <cmath>
#include <utility>

#include "text/template/number_text.h"
#include "text/template/sorting.h"
#include "text/template/unicode_text.h"

namespace pelton::jinja {
namespace {

class JsonWriter {
 public:
  JsonWriter(TextBuilder& out, const JsonStyle& style)
      : context_(out.context()), out_(out), style_(style) {}

  Status Write(const Value& value) {
    switch (value.kind()) {
      case Kind::kNone:
        return out_.Add("null");
      case Kind::kBool:
        return out_.Add(value.as_bool() ? "true" : "false");
      case Kind::kInt:
        return out_.Add(IntText(value.as_int()));
      case Kind::kFloat:
        return out_.Add(NumberText(value.as_double()));
      case Kind::kString:
        return WriteString(value.text());
      case Kind::kList:
      case Kind::kTuple:
        return WriteList(value.items());
      case Kind::kDict:
        return WriteDict(value);
      default:
        return context_.RuntimeError("a value of type '" + std::string(TypeName(value)) +
                                     "' cannot be written as JSON");
    }
  }

 private:
  static std::string NumberText(double value) {
    if (std::isnan(value)) return "NaN";
    if (std::isinf(value)) return value < 0 ? "-Infinity" : "Infinity";
    return FloatText(value);
  }

  Status NewLine() {
    if (!style_.is_indented) return OkStatus();
    RETURN_IF_ERROR(out_.Add("\n"));
    for (int i = 0; i < depth_; ++i) RETURN_IF_ERROR(out_.Add(style_.indent));
    return OkStatus();
  }

  Status WriteList(const std::vector<Value>& items) {
    if (items.empty()) return out_.Add("[]");
    RETURN_IF_ERROR(out_.Add("["));
    ++depth_;
    for (size_t i = 0; i < items.size(); ++i) {
      if (i != 0) RETURN_IF_ERROR(out_.Add(style_.item_separator));
      RETURN_IF_ERROR(NewLine());
      RETURN_IF_ERROR(Write(items[i]));
    }
    --depth_;
    RETURN_IF_ERROR(NewLine());
    return out_.Add("]");
  }

  Status WriteDict(const Value& value) {
    const std::vector<DictObject::Entry>& entries = value.dict().entries;
    if (entries.empty()) return out_.Add("{}");
    std::vector<size_t> order(entries.size());
    for (size_t i = 0; i < order.size(); ++i) order[i] = i;
    if (style_.sort_keys) {
      std::vector<Value> keys;
      keys.reserve(entries.size());
      for (const DictObject::Entry& entry : entries) keys.push_back(entry.key);
      ASSIGN_OR_RETURN(order, SortedOrder(context_, keys, false));
    }
    RETURN_IF_ERROR(out_.Add("{"));
    ++depth_;
    bool first = true;
    for (const size_t i : order) {
      if (!first) RETURN_IF_ERROR(out_.Add(style_.item_separator));
      first = false;
      RETURN_IF_ERROR(NewLine());
      RETURN_IF_ERROR(WriteKey(entries[i].key));
      RETURN_IF_ERROR(out_.Add(style_.key_separator));
      RETURN_IF_ERROR(Write(entries[i].value));
    }
    --depth_;
    RETURN_IF_ERROR(NewLine());
    return out_.Add("}");
  }

  Status WriteKey(const Value& key) {
    switch (key.kind()) {
      case Kind::kString:
        return WriteString(key.text());
      case Kind::kNone:
        return out_.Add("\"null\"");
      case Kind::kBool:
        return out_.Add(key.as_bool() ? "\"true\"" : "\"false\"");
      case Kind::kInt:
        return out_.Add("\"" + IntText(key.as_int()) + "\"");
      case Kind::kFloat:
        return out_.Add("\"" + NumberText(key.as_double()) + "\"");
      default:
        return context_.RuntimeError("a key of type '" + std::string(TypeName(key)) +
                                     "' cannot be written as JSON");
    }
  }

  Status WriteString(std::string_view text) {
    std::string quoted = "\"";
    for (size_t pos = 0; pos < text.size();) {
      const size_t start = pos;
      const char32_t c = DecodeAt(text, pos);
      constexpr std::string_view kSpecial = "\"\\\n\r\t\f\b";
      constexpr std::string_view kLetters = "\"\\nrtfb";
      const size_t special = c < 0x80 ? kSpecial.find(static_cast<char>(c)) : kSpecial.npos;
      if (special != kSpecial.npos) {
        quoted += '\\';
        quoted += kLetters[special];
      } else if (c < 0x20 || (style_.ensure_ascii && c > 0x7E)) {
        if (c > 0xFFFF) {
          AddUnit(0xD800 + ((c - 0x10000) >> 10), quoted);
          AddUnit(0xDC00 + ((c - 0x10000) & 0x3FF), quoted);
        } else {
          AddUnit(c, quoted);
        }
      } else {
        quoted += text.substr(start, pos - start);
      }
    }
    quoted += '"';
    return out_.Add(quoted);
  }

  static void AddUnit(char32_t unit, std::string& out) {
    out += "\\u";
    for (int shift = 12; shift >= 0; shift -= 4) out += "0123456789abcdef"[unit >> shift & 0xF];
  }

  RenderContext& context_;
  TextBuilder& out_;
  const JsonStyle& style_;
  int depth_ = 0;
};

}  // namespace

Status AddJson(TextBuilder& out, const Value& value, const JsonStyle& style) {
  return JsonWriter(out, style).Write(value);
}

}  // namespace pelton::jinja
