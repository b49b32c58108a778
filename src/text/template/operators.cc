#include "text/template/operators.h"

#include <cmath>
#include <optional>

#include "text/template/format_text.h"
#include "text/template/iteration.h"
#include "text/template/number_text.h"
#include "text/template/unicode_text.h"

namespace pelton::jinja {
namespace {

constexpr std::string_view OpText(BinaryOp op) {
  switch (op) {
    case BinaryOp::kAdd:
      return "+";
    case BinaryOp::kSubtract:
      return "-";
    case BinaryOp::kMultiply:
      return "*";
    case BinaryOp::kDivide:
      return "/";
    case BinaryOp::kFloorDivide:
      return "//";
    case BinaryOp::kModulo:
      return "%";
    case BinaryOp::kPower:
      return "**";
  }
  return "?";
}

Status Unsupported(RenderContext& context, std::string_view op, const Value& a, const Value& b) {
  return context.RuntimeError("unsupported operand types for " + std::string(op) + ": '" +
                              std::string(TypeName(a)) + "' and '" + std::string(TypeName(b)) +
                              "'");
}

Status TooLarge(RenderContext& context) {
  return context.RuntimeError("the result of integer arithmetic is too large");
}

Result<Value> IntPower(Interpreter& vm, Int base, Int exponent) {
  if (exponent < 0) {
    if (base == 0) return vm.RuntimeError("0 cannot be raised to a negative power");
    return Value::Float(std::pow(static_cast<double>(base), static_cast<double>(exponent)));
  }
  Int result = 1;
  while (exponent != 0) {
    if ((exponent & 1) != 0 && __builtin_mul_overflow(result, base, &result)) return TooLarge(vm);
    exponent >>= 1;
    if (exponent != 0 && __builtin_mul_overflow(base, base, &base)) return TooLarge(vm);
  }
  return Value::Integer(result);
}

Result<Value> IntArithmetic(Interpreter& vm, BinaryOp op, Int a, Int b) {
  Int out = 0;
  switch (op) {
    case BinaryOp::kAdd:
      if (__builtin_add_overflow(a, b, &out)) return TooLarge(vm);
      return Value::Integer(out);
    case BinaryOp::kSubtract:
      if (__builtin_sub_overflow(a, b, &out)) return TooLarge(vm);
      return Value::Integer(out);
    case BinaryOp::kMultiply:
      if (__builtin_mul_overflow(a, b, &out)) return TooLarge(vm);
      return Value::Integer(out);
    case BinaryOp::kPower:
      return IntPower(vm, a, b);
    case BinaryOp::kDivide:
      if (b == 0) return vm.RuntimeError("division by zero");
      return Value::Float(static_cast<double>(static_cast<long double>(a) / b));
    case BinaryOp::kFloorDivide:
    case BinaryOp::kModulo:
      break;
  }
  if (b == 0) return vm.RuntimeError("integer division or modulo by zero");
  if (b == -1) {  // the quotient of the smallest integer would overflow
    if (op == BinaryOp::kModulo) return Value::Integer(0);
    if (__builtin_sub_overflow(Int{0}, a, &out)) return TooLarge(vm);
    return Value::Integer(out);
  }
  // Python rounds towards minus infinity, and the remainder has the divisor's sign.
  Int quotient = a / b;
  Int remainder = a % b;
  if (remainder != 0 && (remainder < 0) != (b < 0)) {
    --quotient;
    remainder += b;
  }
  return Value::Integer(op == BinaryOp::kModulo ? remainder : quotient);
}

Result<Value> FloatArithmetic(Interpreter& vm, BinaryOp op, double a, double b) {
  switch (op) {
    case BinaryOp::kAdd:
      return Value::Float(a + b);
    case BinaryOp::kSubtract:
      return Value::Float(a - b);
    case BinaryOp::kMultiply:
      return Value::Float(a * b);
    case BinaryOp::kDivide:
      if (b == 0) return vm.RuntimeError("float division by zero");
      return Value::Float(a / b);
    case BinaryOp::kPower: {
      if (a == 0 && b < 0) return vm.RuntimeError("0.0 cannot be raised to a negative power");
      const double power = std::pow(a, b);
      if (std::isnan(power) && !std::isnan(a) && !std::isnan(b)) {
        return vm.RuntimeError("the power is a complex number");
      }
      if (std::isinf(power) && !std::isinf(a) && !std::isinf(b)) {
        return vm.RuntimeError("the power is too large");
      }
      return Value::Float(power);
    }
    case BinaryOp::kFloorDivide:
    case BinaryOp::kModulo:
      break;
  }
  if (b == 0) return vm.RuntimeError("float floor division or modulo by zero");
  double remainder = std::fmod(a, b);
  double quotient = (a - remainder) / b;
  if (remainder != 0 && (remainder < 0) != (b < 0)) {
    remainder += b;
    quotient -= 1;
  } else if (remainder == 0) {
    remainder = std::copysign(0.0, b);
  }
  if (op == BinaryOp::kModulo) return Value::Float(remainder);
  if (quotient == 0) return Value::Float(std::copysign(0.0, a / b));
  const double floored = std::floor(quotient);
  return Value::Float(quotient - floored > 0.5 ? floored + 1 : floored);
}

// A string, list or tuple `count` times.
Result<Value> Repeat(Interpreter& vm, const Value& value, Int count) {
  const std::optional<int64_t> times = ToInt64(count);
  const size_t unit =
      value.is_string() ? value.text().size() : value.items().size() * sizeof(Value);
  const size_t n = count <= 0 || unit == 0 ? 0 : times ? static_cast<size_t>(*times) : SIZE_MAX;
  size_t bytes = 0;
  if (__builtin_mul_overflow(unit, n, &bytes)) bytes = SIZE_MAX;
  RETURN_IF_ERROR(vm.Reserve(bytes));
  if (value.is_string()) {
    std::string out;
    out.reserve(bytes);
    for (size_t i = 0; i < n; ++i) out += value.text();
    return vm.NewString(std::move(out), value.is_safe_text());
  }
  std::vector<Value> out;
  out.reserve(value.items().size() * n);
  for (size_t i = 0; i < n; ++i) out.insert(out.end(), value.items().begin(), value.items().end());
  return value.is(Kind::kList) ? vm.NewList(std::move(out)) : vm.NewTuple(std::move(out));
}

Result<Value> ConcatSequences(Interpreter& vm, const Value& a, const Value& b) {
  const size_t count = a.items().size() + b.items().size();  // both are in memory
  RETURN_IF_ERROR(vm.Reserve(count * sizeof(Value)));
  std::vector<Value> out;
  out.reserve(count);
  out.insert(out.end(), a.items().begin(), a.items().end());
  out.insert(out.end(), b.items().begin(), b.items().end());
  return a.is(Kind::kList) ? vm.NewList(std::move(out)) : vm.NewTuple(std::move(out));
}

Result<bool> SequencesEqual(RenderContext& context, const Value& a, const Value& b) {
  if (a.items().size() != b.items().size()) return false;
  if (a.object() == b.object()) return true;
  for (size_t i = 0; i < a.items().size(); ++i) {
    ASSIGN_OR_RETURN(const bool equal, Equals(context, a.items()[i], b.items()[i]));
    if (!equal) return false;
  }
  return true;
}

Result<bool> DictsEqual(RenderContext& context, const Value& a, const Value& b) {
  if (a.dict().entries.size() != b.dict().entries.size()) return false;
  for (const DictObject::Entry& entry : a.dict().entries) {
    RETURN_IF_ERROR(context.Step(4));
    const Value* other = b.dict().Find(entry.key);
    if (other == nullptr) return false;
    ASSIGN_OR_RETURN(const bool equal, Equals(context, entry.value, *other));
    if (!equal) return false;
  }
  return true;
}

Result<bool> SequenceLess(RenderContext& context, const Value& a, const Value& b) {
  const size_t shared = std::min(a.items().size(), b.items().size());
  for (size_t i = 0; i < shared; ++i) {
    ASSIGN_OR_RETURN(const bool equal, Equals(context, a.items()[i], b.items()[i]));
    if (!equal) return LessThan(context, a.items()[i], b.items()[i]);
  }
  return a.items().size() < b.items().size();
}

Result<bool> RangeContains(const RangeObject& range, const Value& item) {
  if (!item.is_number()) return false;
  if (item.is(Kind::kFloat)) {
    const double value = item.as_double();
    if (!std::isfinite(value) || value != std::trunc(value)) return false;
    const std::optional<Int> whole = TruncateToInt(value);
    return whole && RangeContains(range, Value::Integer(*whole)).value();
  }
  const Int offset = item.as_int() - range.start;
  if (offset % range.step != 0) return false;
  const Int index = offset / range.step;
  return index >= 0 && index < range.size;
}

}  // namespace

std::string EscapeHtml(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '\'':
        out += "&#39;";
        break;
      case '"':
        out += "&#34;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

Result<Value> JoinStrings(RenderContext& context, const Value& a, const Value& b) {
  const bool safe = a.is_safe_text() || b.is_safe_text();
  if (!safe) return context.NewString(a.text() + b.text());
  std::string out = a.is_safe_text() ? a.text() : EscapeHtml(a.text());
  out += b.is_safe_text() ? b.text() : EscapeHtml(b.text());
  return context.NewString(std::move(out), true);
}

Result<Value> ApplyBinary(Interpreter& vm, BinaryOp op, const Value& a, const Value& b) {
  if (op == BinaryOp::kModulo && a.is_string()) return PercentFormat(vm, a, b);
  if (a.is_undefined()) return vm.UndefinedError(a);
  if (b.is_undefined()) return vm.UndefinedError(b);
  if (a.is_number() && b.is_number()) {
    if (a.is_integral() && b.is_integral()) return IntArithmetic(vm, op, a.as_int(), b.as_int());
    return FloatArithmetic(vm, op, a.as_double(), b.as_double());
  }
  if (op == BinaryOp::kAdd) {
    if (a.is_string() && b.is_string()) {
      RETURN_IF_ERROR(vm.Reserve(a.text().size() + b.text().size()));
      return JoinStrings(vm, a, b);
    }
    if (a.is_sequence() && a.kind() == b.kind()) return ConcatSequences(vm, a, b);
    if (a.is_string()) {
      return vm.RuntimeError("can only add a string to a string, not '" + std::string(TypeName(b)) +
                             "'");
    }
  }
  if (op == BinaryOp::kMultiply) {
    if (a.is_string() || a.is_sequence()) {
      if (b.is_integral()) return Repeat(vm, a, b.as_int());
    } else if ((b.is_string() || b.is_sequence()) && a.is_integral()) {
      return Repeat(vm, b, a.as_int());
    }
  }
  return Unsupported(vm, OpText(op), a, b);
}

Result<Value> Negate(Interpreter& vm, const Value& value) {
  if (value.is_undefined()) return vm.UndefinedError(value);
  if (value.is(Kind::kFloat)) return Value::Float(-value.as_double());
  if (value.is_integral()) return IntArithmetic(vm, BinaryOp::kSubtract, 0, value.as_int());
  return vm.RuntimeError("bad operand type for unary -: '" + std::string(TypeName(value)) + "'");
}

Result<Value> Plus(Interpreter& vm, const Value& value) {
  if (value.is_undefined()) return vm.UndefinedError(value);
  if (value.is(Kind::kFloat)) return value;
  if (value.is_integral()) return Value::Integer(value.as_int());
  return vm.RuntimeError("bad operand type for unary +: '" + std::string(TypeName(value)) + "'");
}

Result<bool> Equals(RenderContext& context, const Value& a, const Value& b) {
  RETURN_IF_ERROR(context.Step());
  if (a.is_number() && b.is_number()) return CompareNumbers(a, b) == Order::kEqual;
  if (a.kind() != b.kind()) return false;
  switch (a.kind()) {
    case Kind::kMissing:
    case Kind::kUndefined:
    case Kind::kNone:
      return true;
    case Kind::kString:
      if (a.text().size() != b.text().size()) return false;
      RETURN_IF_ERROR(context.Charge(a.text().size()));
      return a.text() == b.text();
    case Kind::kList:
    case Kind::kTuple:
      return SequencesEqual(context, a, b);
    case Kind::kDict:
      return DictsEqual(context, a, b);
    case Kind::kRange: {
      const RangeObject& x = a.range();
      const RangeObject& y = b.range();
      if (x.size != y.size || x.size == 0) return x.size == y.size;
      return x.start == y.start && (x.size == 1 || x.step == y.step);
    }
    case Kind::kView:
      if (a.view().what != b.view().what || a.view().what == ViewObject::What::kValues) {
        return a.object() == b.object();
      }
      if (a.view().what == ViewObject::What::kItems) {
        return DictsEqual(context, a.view().dict, b.view().dict);
      }
      for (const DictObject::Entry& entry : a.view().dict.dict().entries) {
        if (b.view().dict.dict().Find(entry.key) == nullptr) return false;
      }
      return a.view().dict.dict().entries.size() == b.view().dict.dict().entries.size();
    default:
      return a.object() == b.object();
  }
}

Result<bool> LessThan(RenderContext& context, const Value& a, const Value& b) {
  RETURN_IF_ERROR(context.Step());
  if (a.is_undefined()) return context.UndefinedError(a);
  if (b.is_undefined()) return context.UndefinedError(b);
  if (a.is_number() && b.is_number()) return CompareNumbers(a, b) == Order::kLess;
  if (a.is_string() && b.is_string()) {
    RETURN_IF_ERROR(context.Charge(std::min(a.text().size(), b.text().size())));
    return a.text() < b.text();
  }
  if (a.is_sequence() && a.kind() == b.kind()) return SequenceLess(context, a, b);
  return context.RuntimeError("'" + std::string(TypeName(a)) + "' and '" +
                              std::string(TypeName(b)) + "' have no order");
}

Result<bool> Compare(Interpreter& vm, CompareOp op, const Value& a, const Value& b) {
  switch (op) {
    case CompareOp::kEqual:
      return Equals(vm, a, b);
    case CompareOp::kNotEqual: {
      ASSIGN_OR_RETURN(const bool equal, Equals(vm, a, b));
      return !equal;
    }
    case CompareOp::kLess:
      return LessThan(vm, a, b);
    case CompareOp::kGreater:
      return LessThan(vm, b, a);
    case CompareOp::kLessEqual:
    case CompareOp::kGreaterEqual: {
      const Value& small = op == CompareOp::kLessEqual ? a : b;
      const Value& large = op == CompareOp::kLessEqual ? b : a;
      ASSIGN_OR_RETURN(const bool less, LessThan(vm, small, large));
      if (less) return true;
      return Equals(vm, small, large);
    }
    case CompareOp::kIn:
      return Contains(vm, b, a);
    case CompareOp::kNotIn: {
      ASSIGN_OR_RETURN(const bool contains, Contains(vm, b, a));
      return !contains;
    }
  }
  return false;
}

Result<bool> Contains(Interpreter& vm, const Value& container, const Value& item) {
  switch (container.kind()) {
    case Kind::kUndefined:
      return false;
    case Kind::kString:
      if (!item.is_string()) {
        return vm.RuntimeError("only a string can be 'in' a string, not '" +
                               std::string(TypeName(item)) + "'");
      }
      // Long needles are prepared first, which takes several times as long as the search.
      RETURN_IF_ERROR(vm.Charge(container.text().size() + 4 * item.text().size()));
      return FindBytes(container.text(), item.text()) != std::string_view::npos;
    case Kind::kDict:
    case Kind::kView: {
      const bool is_view = container.is(Kind::kView);
      const Value& dict = is_view ? container.view().dict : container;
      if (is_view && container.view().what != ViewObject::What::kKeys) break;
      if (!IsHashable(item)) {
        return vm.RuntimeError("unhashable type: '" + std::string(TypeName(item)) + "'");
      }
      RETURN_IF_ERROR(ChargeText(vm, item));
      return dict.dict().Find(item) != nullptr;
    }
    case Kind::kRange:
      return RangeContains(container.range(), item);
    default:
      break;
  }
  ASSIGN_OR_RETURN(const std::unique_ptr<Iterator> iterator, Iterate(vm, container));
  Value candidate;
  while (true) {
    ASSIGN_OR_RETURN(const bool more, iterator->Next(vm, candidate));
    if (!more) return false;
    ASSIGN_OR_RETURN(const bool equal, Equals(vm, candidate, item));
    if (equal) return true;
  }
}

}  // namespace pelton::jinja
