#include <limits>
#include <optional>
#include <utility>

#include "text/template/format_text.h"
#include "text/template/number_text.h"
#include "text/template/operators.h"
#include "text/template/printing.h"
#include "text/template/text_builder.h"
#include "text/template/unicode_text.h"

namespace pelton::jinja {
namespace {

class PercentFormatter {
 public:
  PercentFormatter(Interpreter& vm, const Value& format, const Value& arguments)
      : vm_(vm),
        text_(format.text()),
        escapes_(format.is_safe_text()),
        arguments_(arguments),
        out_(vm) {}

  Result<Value> Run() {
    while (pos_ < text_.size()) {
      const size_t percent = text_.find('%', pos_);
      RETURN_IF_ERROR(out_.Add(text_.substr(pos_, percent - pos_)));
      if (percent == text_.npos) break;
      pos_ = percent + 1;
      RETURN_IF_ERROR(FormatOne());
    }
    const bool all_used = arguments_.is(Kind::kTuple) ? next_ >= arguments_.items().size()
                                                      : next_ > 0 || arguments_.is(Kind::kDict) ||
                                                            arguments_.is(Kind::kList);
    if (!all_used) return vm_.RuntimeError("% has more arguments than its format uses");
    return vm_.NewString(out_.Take(), escapes_);
  }

 private:
  char Peek() const { return pos_ < text_.size() ? text_[pos_] : '\0'; }

  Result<Value> NextArgument() {
    if (arguments_.is(Kind::kTuple)) {
      if (next_ >= arguments_.items().size()) return TooFew();
      return arguments_.items()[next_++];
    }
    if (next_++ > 0) return TooFew();
    return arguments_;
  }

  Status TooFew() { return vm_.RuntimeError("% has fewer arguments than its format uses"); }

  // A number, or * for the next argument. Leaves `out` alone if there is neither.
  Status ReadNumber(int64_t& out) {
    if (Peek() == '*') {
      ++pos_;
      ASSIGN_OR_RETURN(const Value value, NextArgument());
      if (!value.is_integral()) return vm_.RuntimeError("* in a format needs an integer");
      out = ToInt64(value.as_int()).value_or(std::numeric_limits<int64_t>::max());
      return OkStatus();
    }
    if (Peek() < '0' || Peek() > '9') return OkStatus();
    out = 0;
    while (Peek() >= '0' && Peek() <= '9') {
      if (out > 1'000'000'000) return vm_.RuntimeError("a number in a format is too large");
      out = out * 10 + (text_[pos_++] - '0');
    }
    return OkStatus();
  }

  Status ReadKey(std::optional<Value>& keyed) {
    if (Peek() != '(') return OkStatus();
    const size_t close = FindClose();
    if (close == text_.npos) return vm_.RuntimeError("a format has an unclosed key");
    const std::string_view key = text_.substr(pos_ + 1, close - pos_ - 1);
    if (!arguments_.is(Kind::kDict)) return vm_.RuntimeError("a format with keys needs a dict");
    const Value* value = arguments_.dict().Find(key);
    if (value == nullptr) {
      return vm_.RuntimeError("the dict has no key '" + std::string(key.substr(0, 80)) + "'");
    }
    keyed = *value;
    pos_ = close + 1;
    return OkStatus();
  }

  // The parenthesis that closes the one at the position; keys may contain pairs of them.
  size_t FindClose() const {
    int open = 0;
    for (size_t i = pos_; i < text_.size(); ++i) {
      if (text_[i] == '(') ++open;
      if (text_[i] == ')' && --open == 0) return i;
    }
    return text_.npos;
  }

  Status FormatOne() {
    std::optional<Value> keyed;
    RETURN_IF_ERROR(ReadKey(keyed));
    FormatSpec spec;
    bool zero = false;
    for (;; ++pos_) {
      const char c = Peek();
      if (c == '-') {
        spec.align = '<';
      } else if (c == '+' || (c == ' ' && spec.sign != '+')) {
        spec.sign = c;
      } else if (c == '#') {
        spec.alternate = true;
      } else if (c == '0') {
        zero = true;
      } else if (c != ' ') {
        break;
      }
    }
    RETURN_IF_ERROR(ReadNumber(spec.width));
    if (spec.width < 0) {
      spec.align = '<';
      spec.width = -std::max(spec.width, -std::numeric_limits<int64_t>::max());
    }
    if (Peek() == '.') {
      ++pos_;
      spec.precision = 0;
      RETURN_IF_ERROR(ReadNumber(spec.precision));
      spec.precision = std::max<int64_t>(spec.precision, 0);
    }
    while (Peek() == 'h' || Peek() == 'l' || Peek() == 'L') ++pos_;
    if (pos_ >= text_.size()) return vm_.RuntimeError("a format ends inside a directive");
    spec.type = text_[pos_++];
    if (spec.type == '%') return out_.Add("%");
    Value value;
    if (keyed) {
      value = *keyed;
    } else {
      ASSIGN_OR_RETURN(value, NextArgument());
    }
    ASSIGN_OR_RETURN(std::string text, Convert(value, spec));
    const bool is_number =
        std::string_view("diuoxXeEfFgG").find(spec.type) != std::string_view::npos;
    if (zero && is_number && spec.align == 0) {
      spec.fill = "0";
      spec.align = '=';
    }
    if (spec.align == 0) spec.align = '>';
    ASSIGN_OR_RETURN(text, PadFormatted(vm_, text, spec, is_number));
    return out_.Add(text);
  }

  Result<std::string> Convert(const Value& value, FormatSpec& spec) {
    switch (spec.type) {
      case 's':
      case 'r':
      case 'a': {
        TextBuilder text(vm_);
        RETURN_IF_ERROR(spec.type == 's'   ? AddText(text, value)
                        : spec.type == 'r' ? AddRepr(text, value)
                                           : AddAscii(text, value));
        std::string out = text.Take();
        if (escapes_ && !value.is_safe_text()) out = EscapeHtml(out);
        if (spec.precision >= 0) out.resize(ByteOffset(out, spec.precision));
        return out;
      }
      case 'c': {
        if (value.is_string() && value.string_object().Length() == 1) return value.text();
        if (value.is_integral()) return FormatInt(vm_, value.as_int(), spec);
        return vm_.RuntimeError("%c needs one character or a code point");
      }
      case 'd':
      case 'i':
      case 'u': {
        spec.type = 'd';
        return ConvertInt(value, spec);
      }
      case 'x':
      case 'X':
      case 'o':
        if (value.is(Kind::kFloat)) {
          return vm_.RuntimeError(std::string("%") + spec.type + " needs an integer");
        }
        return ConvertInt(value, spec);
      case 'e':
      case 'E':
      case 'f':
      case 'F':
      case 'g':
      case 'G':
        if (value.is_undefined()) return vm_.UndefinedError(value);
        if (!value.is_number()) {
          return vm_.RuntimeError(std::string("%") + spec.type + " needs a number, not '" +
                                  std::string(TypeName(value)) + "'");
        }
        return FormatFloat(vm_, value.as_double(), spec);
      default:
        return vm_.RuntimeError("a format has an unknown directive");
    }
  }

  Result<std::string> ConvertInt(const Value& value, const FormatSpec& spec) {
    if (value.is_undefined()) return vm_.UndefinedError(value);
    if (value.is_integral()) return FormatInt(vm_, value.as_int(), spec);
    if (!value.is(Kind::kFloat)) {
      return vm_.RuntimeError(std::string("%") + spec.type + " needs a number, not '" +
                              std::string(TypeName(value)) + "'");
    }
    const std::optional<Int> whole = TruncateToInt(value.as_double());
    if (!whole) return vm_.RuntimeError("the number is too large for an integer");
    return FormatInt(vm_, *whole, spec);
  }

  Interpreter& vm_;
  std::string_view text_;
  bool escapes_;
  const Value& arguments_;
  TextBuilder out_;
  size_t pos_ = 0;
  size_t next_ = 0;
};

}  // namespace

Result<Value> PercentFormat(Interpreter& vm, const Value& format, const Value& arguments) {
  RETURN_IF_ERROR(ChargeText(vm, format));
  return PercentFormatter(vm, format, arguments).Run();
}

}  // namespace pelton::jinja
