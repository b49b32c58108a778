#include <charconv>
#include <utility>

#include "text/template/access.h"
#include "text/template/format_text.h"
#include "text/template/number_text.h"
#include "text/template/operators.h"
#include "text/template/printing.h"
#include "text/template/text_builder.h"
#include "text/template/unicode_text.h"

namespace pelton::jinja {
namespace {

class BraceFormatter {
 public:
  BraceFormatter(Interpreter& vm, bool escapes, const Arguments& arguments)
      : vm_(vm), escapes_(escapes), arguments_(arguments) {}

  // Fields may stand inside the specification of a field, but no deeper.
  Result<std::string> Run(std::string_view text, int depth) {
    TextBuilder out(vm_);
    size_t pos = 0;
    while (pos < text.size()) {
      const size_t brace = text.find_first_of("{}", pos);
      RETURN_IF_ERROR(out.Add(text.substr(pos, brace - pos)));
      if (brace == text.npos) break;
      pos = brace + 1;
      if (pos < text.size() && text[pos] == text[brace]) {
        RETURN_IF_ERROR(out.Add(text.substr(pos++, 1)));
        continue;
      }
      if (text[brace] == '}') return vm_.RuntimeError("a format has a single '}'");
      const size_t end = FindFieldEnd(text, pos);
      if (end == text.npos) return vm_.RuntimeError("a format has an unclosed '{'");
      if (depth > 1) return vm_.RuntimeError("the fields of a format are nested too deeply");
      ASSIGN_OR_RETURN(const std::string field, FormatField(text.substr(pos, end - pos), depth));
      RETURN_IF_ERROR(out.Add(field));
      pos = end + 1;
    }
    return out.Take();
  }

 private:
  static size_t FindFieldEnd(std::string_view text, size_t pos) {
    int open = 1;
    for (; pos < text.size(); ++pos) {
      if (text[pos] == '{') ++open;
      if (text[pos] == '}' && --open == 0) return pos;
    }
    return text.npos;
  }

  // name[!conversion][:specification]
  Result<std::string> FormatField(std::string_view field, int depth) {
    // Brackets of a subscript may hold anything.
    size_t name_end = 0;
    bool in_brackets = false;
    for (; name_end < field.size(); ++name_end) {
      const char c = field[name_end];
      if (c == '[') in_brackets = true;
      if (c == ']') in_brackets = false;
      if (!in_brackets && (c == '!' || c == ':')) break;
    }
    ASSIGN_OR_RETURN(Value value, LookUp(field.substr(0, name_end)));
    std::string_view rest = field.substr(name_end);
    if (rest.starts_with('!')) {
      if (rest.size() < 2 || (rest.size() > 2 && rest[2] != ':')) {
        return vm_.RuntimeError("a format has a malformed conversion");
      }
      const char conversion = rest[1];
      if (conversion != 's' && conversion != 'r' && conversion != 'a') {
        return vm_.RuntimeError("a format has an unknown conversion");
      }
      TextBuilder text(vm_);
      RETURN_IF_ERROR(conversion == 's'   ? AddText(text, value)
                      : conversion == 'r' ? AddRepr(text, value)
                                          : AddAscii(text, value));
      value = vm_.NewString(text.Take());
      rest.remove_prefix(2);
    }
    std::string spec;
    if (rest.starts_with(':')) {
      ASSIGN_OR_RETURN(spec, Run(rest.substr(1), depth + 1));
    }
    ASSIGN_OR_RETURN(std::string text, FormatValue(value, spec));
    return escapes_ && !value.is_safe_text() ? EscapeHtml(text) : text;
  }

  Result<std::string> FormatValue(const Value& value, std::string_view spec_text) {
    if (spec_text.empty()) return TextOf(vm_, value);
    ASSIGN_OR_RETURN(const FormatSpec spec, ParseFormatSpec(vm_, spec_text));
    if (value.is_string()) {
      if ((spec.type != 0 && spec.type != 's') || spec.align == '=' || spec.sign != '-') {
        return vm_.RuntimeError("the format does not suit a string");
      }
      std::string_view text = value.text();
      if (spec.precision >= 0) text = text.substr(0, ByteOffset(text, spec.precision));
      return PadFormatted(vm_, text, spec, false);
    }
    if (!value.is_number()) {
      return vm_.RuntimeError("a '" + std::string(TypeName(value)) +
                              "' takes no format specification");
    }
    std::string text;
    if (value.is(Kind::kFloat)) {
      ASSIGN_OR_RETURN(text, FormatFloat(vm_, value.as_double(), spec));
    } else {
      const bool as_float = std::string_view("eEfFgG%").find(spec.type) != std::string_view::npos;
      if (spec.precision >= 0 && (spec.type == 0 || !as_float)) {
        return vm_.RuntimeError("an integer takes no precision");
      }
      ASSIGN_OR_RETURN(text, FormatInt(vm_, value.as_int(), spec));
    }
    return PadFormatted(vm_, text, spec, true);
  }

  // A field's value: first an argument's number or name (or nothing, for the next number), then
  // attributes and subscripts, which obey the sandbox.
  Result<Value> LookUp(std::string_view name) {
    size_t pos = std::min(name.find_first_of(".["), name.size());
    ASSIGN_OR_RETURN(Value value, Argument(name.substr(0, pos)));
    while (pos < name.size()) {
      RETURN_IF_ERROR(vm_.Step());
      if (name[pos] == '.') {
        const size_t end = std::min(name.find_first_of(".[", pos + 1), name.size());
        const std::string_view attribute = name.substr(pos + 1, end - pos - 1);
        if (attribute.empty()) return vm_.RuntimeError("a format has an empty attribute");
        ASSIGN_OR_RETURN(value, GetAttribute(vm_, value, attribute));
        pos = end;
      } else if (name[pos] == '[') {
        const size_t end = name.find(']', pos);
        if (end == name.npos) return vm_.RuntimeError("a format has an unclosed '['");
        const std::string_view key = name.substr(pos + 1, end - pos - 1);
        int64_t index = 0;
        const bool is_index = ParseIndex(key, index);
        ASSIGN_OR_RETURN(
            value, GetItem(vm_, value, is_index ? Value::Integer(index) : Value::String(key)));
        pos = end + 1;
      } else {
        return vm_.RuntimeError("a format has a malformed field");
      }
    }
    return value;
  }

  static bool ParseIndex(std::string_view text, int64_t& out) {
    if (text.empty() || text[0] < '0' || text[0] > '9') return false;
    const auto result = std::from_chars(text.data(), text.data() + text.size(), out);
    return result.ec == std::errc() && result.ptr == text.data() + text.size();
  }

  Result<Value> Argument(std::string_view name) {
    int64_t index = 0;
    if (name.empty()) {
      if (numbering_ == Numbering::kManual) return MixedNumbering();
      numbering_ = Numbering::kAutomatic;
      index = next_++;
    } else if (ParseIndex(name, index)) {
      if (numbering_ == Numbering::kAutomatic) return MixedNumbering();
      numbering_ = Numbering::kManual;
    } else {
      for (const auto& [key, value] : arguments_.named) {
        RETURN_IF_ERROR(vm_.Step());
        if (key == name) return value;
      }
      return vm_.RuntimeError("format() has no argument '" + std::string(name.substr(0, 80)) + "'");
    }
    if (static_cast<size_t>(index) >= arguments_.positional.size()) {
      return vm_.RuntimeError("format() has fewer arguments than its format uses");
    }
    return arguments_.positional[static_cast<size_t>(index)];
  }

  Status MixedNumbering() {
    return vm_.RuntimeError("a format mixes numbered and unnumbered fields");
  }

  enum class Numbering { kUnknown, kManual, kAutomatic };

  Interpreter& vm_;
  bool escapes_;
  const Arguments& arguments_;
  Numbering numbering_ = Numbering::kUnknown;
  int64_t next_ = 0;
};

}  // namespace

Result<Value> BraceFormat(Interpreter& vm, const Value& format, const Arguments& arguments) {
  ASSIGN_OR_RETURN(std::string text,
                   BraceFormatter(vm, format.is_safe_text(), arguments).Run(format.text(), 0));
  return vm.NewString(std::move(text), format.is_safe_text());
}

}  // namespace pelton::jinja
