#include <cmath>
#include <utility>

#include "text/template/argument_binding.h"
#include "text/template/filters.h"
#include "text/template/format_text.h"
#include "text/template/number_text.h"
#include "text/template/operators.h"

namespace pelton::jinja {
namespace {

Result<Value> Abs(Interpreter& vm, const Value& input, Arguments& arguments) {
  RETURN_IF_ERROR(BindArguments(vm, "abs", 0, {}, arguments, nullptr));
  if (input.is(Kind::kFloat)) return Value::Float(std::fabs(input.as_double()));
  if (!input.is_integral()) {
    return vm.RuntimeError("abs needs a number, not '" + std::string(TypeName(input)) + "'");
  }
  if (input.as_int() >= 0) return Value::Integer(input.as_int());
  return Negate(vm, input);
}

Result<Value> IntOfFloat(Interpreter& vm, double value, const Value& fallback) {
  if (std::isnan(value)) return fallback;
  const std::optional<Int> whole = std::isinf(value) ? std::nullopt : TruncateToInt(value);
  if (!whole) return vm.RuntimeError("the number is too large for an integer");
  return Value::Integer(*whole);
}

Result<Value> IntFilter(Interpreter& vm, const Value& input, Arguments& arguments) {
  Value argument[2];
  RETURN_IF_ERROR(BindArguments(vm, "int", 0, {"default", "base"}, arguments, argument));
  const Value fallback = argument[0].is_missing() ? Value::Integer(0) : argument[0];
  ASSIGN_OR_RETURN(const int64_t base, IntArgument(vm, "base", argument[1], 10));
  if (input.is_undefined()) return vm.UndefinedError(input);
  if (input.is_integral()) return Value::Integer(input.as_int());
  if (input.is(Kind::kFloat)) return IntOfFloat(vm, input.as_double(), fallback);
  if (!input.is_string()) return fallback;
  const bool base_is_known = base == 0 || (base >= 2 && base <= 36);
  if (base_is_known) {
    if (const auto value = ParseInt(input.text(), static_cast<int>(base))) {
      return Value::Integer(*value);
    }
  }
  // "42.23" is 42.
  const std::optional<double> value = ParseFloat(input.text());
  if (!value || !std::isfinite(*value)) return fallback;
  return IntOfFloat(vm, *value, fallback);
}

Result<Value> FloatFilter(Interpreter& vm, const Value& input, Arguments& arguments) {
  Value fallback;
  RETURN_IF_ERROR(BindArguments(vm, "float", 0, {"default"}, arguments, &fallback));
  if (fallback.is_missing()) fallback = Value::Float(0);
  if (input.is_undefined()) return vm.UndefinedError(input);
  if (input.is_number()) return Value::Float(input.as_double());
  if (!input.is_string()) return fallback;
  const std::optional<double> value = ParseFloat(input.text());
  return value ? Value::Float(*value) : fallback;
}

// An integer rounded half to even at 10^digits. Requires: 0 < digits < 38.
Result<Value> RoundInt(Interpreter& vm, Int value, int64_t digits) {
  Int unit = 1;
  for (int64_t i = 0; i < digits; ++i) unit *= 10;
  Int down = value / unit * unit;
  if (value % unit < 0) down -= unit;
  const Int rest = value - down;
  const bool up = rest > unit / 2 || (rest == unit / 2 && unit > 1 && (down / unit) % 2 != 0);
  Int out = down;
  if (up && __builtin_add_overflow(down, unit, &out)) {
    return vm.RuntimeError("the result of integer arithmetic is too large");
  }
  return Value::Integer(out);
}

Result<Value> Round(Interpreter& vm, const Value& input, Arguments& arguments) {
  Value argument[2];
  RETURN_IF_ERROR(BindArguments(vm, "round", 0, {"precision", "method"}, arguments, argument));
  ASSIGN_OR_RETURN(const int64_t precision, IntArgument(vm, "precision", argument[0], 0));
  ASSIGN_OR_RETURN(const std::string method, TextArgument(vm, "method", argument[1], "common"));
  if (method != "common" && method != "ceil" && method != "floor") {
    return vm.RuntimeError("round: 'method' must be 'common', 'ceil' or 'floor'");
  }
  if (input.is_undefined()) return vm.UndefinedError(input);
  if (!input.is_number()) {
    return vm.RuntimeError("round needs a number, not '" + std::string(TypeName(input)) + "'");
  }
  if (method == "common") {
    if (input.is(Kind::kFloat)) return Value::Float(RoundFloat(input.as_double(), precision));
    if (precision >= 0) return Value::Integer(input.as_int());
    if (precision < -37) return Value::Integer(0);
    return RoundInt(vm, input.as_int(), -precision);
  }
  const double scale = std::pow(10.0, static_cast<double>(precision));
  const double scaled = input.as_double() * scale;
  if (!std::isfinite(scaled) || scale == 0)
    return vm.RuntimeError("round: the number is too large");
  return Value::Float((method == "ceil" ? std::ceil(scaled) : std::floor(scaled)) / scale);
}

Result<Value> FileSizeFormat(Interpreter& vm, const Value& input, Arguments& arguments) {
  Value binary;
  RETURN_IF_ERROR(BindArguments(vm, "filesizeformat", 0, {"binary"}, arguments, &binary));
  if (input.is_undefined()) return vm.UndefinedError(input);
  std::optional<double> bytes;
  if (input.is_number()) bytes = input.as_double();
  if (input.is_string()) bytes = ParseFloat(input.text());
  if (!bytes || !std::isfinite(*bytes)) {
    return vm.RuntimeError("filesizeformat needs a number");
  }
  const bool is_binary = FlagArgument(binary, false);
  const double base = is_binary ? 1024 : 1000;
  if (*bytes == 1) return vm.NewString("1 Byte");
  if (*bytes < base) {
    const std::optional<Int> whole = TruncateToInt(*bytes);
    if (!whole) return vm.RuntimeError("filesizeformat: the number is too large");
    return vm.NewString(IntText(*whole) + " Bytes");
  }
  constexpr std::string_view kPrefixes = "kMGTPEZY";
  double unit = base;
  size_t prefix = 0;
  while (prefix + 1 < kPrefixes.size() && *bytes >= unit * base) {
    unit *= base;
    ++prefix;
  }
  FormatSpec spec;
  spec.type = 'f';
  spec.precision = 1;
  ASSIGN_OR_RETURN(std::string text, FormatFloat(vm, *bytes / unit, spec));
  text += ' ';
  text += is_binary && prefix == 0 ? 'K' : kPrefixes[prefix];
  return vm.NewString(text + (is_binary ? "iB" : "B"));
}

constexpr Filter kNumberFilters[] = {
    {"abs", &Abs},           {"filesizeformat", &FileSizeFormat},
    {"float", &FloatFilter}, {"int", &IntFilter},
    {"round", &Round},
};

}  // namespace

FilterTable NumberFilters() { return {std::begin(kNumberFilters), std::end(kNumberFilters)}; }

}  // namespace pelton::jinja
