#include "text/template/predicates.h"

#include <algorithm>

#include "text/template/argument_binding.h"
#include "text/template/filters.h"
#include "text/template/iteration.h"
#include "text/template/loop_object.h"
#include "text/template/operators.h"
#include "text/template/printing.h"
#include "text/template/unicode_text.h"

// Source of all: Jinja2 tests.py.
namespace pelton::jinja {
namespace {

Status NoTestArguments(Interpreter& vm, Arguments& arguments) {
  return BindArguments(vm, "the test", 0, {}, arguments, nullptr);
}

template <bool (*kTest)(const Value&)>
Result<bool> Simple(Interpreter& vm, const Value& input, Arguments& arguments) {
  RETURN_IF_ERROR(NoTestArguments(vm, arguments));
  return kTest(input);
}

bool IsBoolean(const Value& value) { return value.is(Kind::kBool); }
bool IsFalse(const Value& value) { return value.is(Kind::kBool) && !value.as_bool(); }
bool IsTrue(const Value& value) { return value.is(Kind::kBool) && value.as_bool(); }
bool IsDefined(const Value& value) { return !value.is_undefined(); }
bool IsUndefined(const Value& value) { return value.is_undefined(); }
bool IsEscaped(const Value& value) { return value.is_safe_text(); }
bool IsFloat(const Value& value) { return value.is(Kind::kFloat); }
bool IsInteger(const Value& value) { return value.is(Kind::kInt); }
bool IsMapping(const Value& value) { return value.is(Kind::kDict); }
bool IsNone(const Value& value) { return value.is_none(); }
bool IsNumber(const Value& value) { return value.is_number(); }
bool IsString(const Value& value) { return value.is_string(); }

bool IsLoop(const Value& value) {
  return value.is(Kind::kObject) && dynamic_cast<const LoopObject*>(&value.host()) != nullptr;
}

bool IsIterableValue(const Value& value) { return IsIterable(value) || IsLoop(value); }

bool IsSequenceValue(const Value& value) { return LengthOf(value) >= 0 && !value.is(Kind::kView); }

// Using an undefined value as a function fails with its own message, so it counts as one.
bool IsCallable(const Value& value) {
  return value.is_undefined() || (value.is(Kind::kObject) && value.host().callable());
}

template <bool (*kTest)(std::string_view)>
Result<bool> TextTest(Interpreter& vm, const Value& input, Arguments& arguments) {
  RETURN_IF_ERROR(NoTestArguments(vm, arguments));
  ASSIGN_OR_RETURN(const std::string text, TextOf(vm, input));
  return kTest(text);
}

template <CompareOp kOp>
Result<bool> Comparison(Interpreter& vm, const Value& input, Arguments& arguments) {
  Value other;
  RETURN_IF_ERROR(BindArguments(vm, "the test", 1, {"other"}, arguments, &other));
  return Compare(vm, kOp, input, other);
}

Result<bool> ModuloIs(Interpreter& vm, const Value& input, const Value& divisor, Int wanted) {
  ASSIGN_OR_RETURN(const Value rest, ApplyBinary(vm, BinaryOp::kModulo, input, divisor));
  return Equals(vm, rest, Value::Integer(wanted));
}

template <int kRest>
Result<bool> Parity(Interpreter& vm, const Value& input, Arguments& arguments) {
  RETURN_IF_ERROR(NoTestArguments(vm, arguments));
  return ModuloIs(vm, input, Value::Integer(2), kRest);
}

Result<bool> DivisibleBy(Interpreter& vm, const Value& input, Arguments& arguments) {
  Value divisor;
  RETURN_IF_ERROR(BindArguments(vm, "divisibleby", 1, {"num"}, arguments, &divisor));
  return ModuloIs(vm, input, divisor, 0);
}

// Whether both are one object. Equal scalars and strings are taken for one, which is what Python's
// sharing of constants mostly comes to.
Result<bool> SameAs(Interpreter& vm, const Value& input, Arguments& arguments) {
  Value other;
  RETURN_IF_ERROR(BindArguments(vm, "sameas", 1, {"other"}, arguments, &other));
  if (input.kind() != other.kind()) return false;
  if (input.object() == nullptr || input.is_string()) return Equals(vm, input, other);
  return input.object() == other.object();
}

template <bool kFilter>
Result<bool> IsNameOf(Interpreter& vm, const Value& input, Arguments& arguments) {
  RETURN_IF_ERROR(NoTestArguments(vm, arguments));
  if (!input.is_string()) return false;
  return kFilter ? FindFilter(input.text()) != nullptr : FindPredicate(input.text()) != nullptr;
}

// Sorted by name.
constexpr Predicate kPredicates[] = {
    {"!=", &Comparison<CompareOp::kNotEqual>},
    {"<", &Comparison<CompareOp::kLess>},
    {"<=", &Comparison<CompareOp::kLessEqual>},
    {"==", &Comparison<CompareOp::kEqual>},
    {">", &Comparison<CompareOp::kGreater>},
    {">=", &Comparison<CompareOp::kGreaterEqual>},
    {"boolean", &Simple<&IsBoolean>},
    {"callable", &Simple<&IsCallable>},
    {"defined", &Simple<&IsDefined>},
    {"divisibleby", &DivisibleBy},
    {"eq", &Comparison<CompareOp::kEqual>},
    {"equalto", &Comparison<CompareOp::kEqual>},
    {"escaped", &Simple<&IsEscaped>},
    {"even", &Parity<0>},
    {"false", &Simple<&IsFalse>},
    {"filter", &IsNameOf<true>},
    {"float", &Simple<&IsFloat>},
    {"ge", &Comparison<CompareOp::kGreaterEqual>},
    {"greaterthan", &Comparison<CompareOp::kGreater>},
    {"gt", &Comparison<CompareOp::kGreater>},
    {"in", &Comparison<CompareOp::kIn>},
    {"integer", &Simple<&IsInteger>},
    {"iterable", &Simple<&IsIterableValue>},
    {"le", &Comparison<CompareOp::kLessEqual>},
    {"lessthan", &Comparison<CompareOp::kLess>},
    {"lower", &TextTest<&IsLowerText>},
    {"lt", &Comparison<CompareOp::kLess>},
    {"mapping", &Simple<&IsMapping>},
    {"ne", &Comparison<CompareOp::kNotEqual>},
    {"none", &Simple<&IsNone>},
    {"number", &Simple<&IsNumber>},
    {"odd", &Parity<1>},
    {"sameas", &SameAs},
    {"sequence", &Simple<&IsSequenceValue>},
    {"string", &Simple<&IsString>},
    {"test", &IsNameOf<false>},
    {"true", &Simple<&IsTrue>},
    {"undefined", &Simple<&IsUndefined>},
    {"upper", &TextTest<&IsUpperText>},
};

}  // namespace

const Predicate* FindPredicate(std::string_view name) {
  const Predicate* it = std::lower_bound(
      std::begin(kPredicates), std::end(kPredicates), name,
      [](const Predicate& predicate, std::string_view wanted) { return predicate.name < wanted; });
  return it != std::end(kPredicates) && it->name == name ? it : nullptr;
}

}  // namespace pelton::jinja
