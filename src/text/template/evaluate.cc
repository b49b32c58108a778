#include <utility>

#include "text/template/access.h"
#include "text/template/depth_scope.h"
#include "text/template/filters.h"
#include "text/template/interpreter.h"
#include "text/template/iteration.h"
#include "text/template/operators.h"
#include "text/template/predicates.h"
#include "text/template/printing.h"

// The interpreter's expressions.
namespace pelton::jinja {

Status ChargeText(RenderContext& context, const Value& value) {
  return value.is_string() ? context.Charge(value.text().size()) : OkStatus();
}

Status ChargeArguments(RenderContext& context, const Arguments& arguments) {
  for (const Value& value : arguments.positional) RETURN_IF_ERROR(ChargeText(context, value));
  for (const auto& [name, value] : arguments.named) RETURN_IF_ERROR(ChargeText(context, value));
  return OkStatus();
}

Result<Value> Interpreter::Evaluate(const Expr& expr) {
  RETURN_IF_ERROR(Step());
  const DepthScope scope(eval_depth_);
  if (eval_depth_ > kMaxEvalDepth) {
    return Error(TemplateErrorKind::kLimit, "the template is nested too deeply");
  }
  set_line(expr.line);
  switch (expr.kind) {
    case ExprKind::kConstant:
      return expr.constant;
    case ExprKind::kName: {
      const Value& value = SlotAt(expr.slot);
      return value.is_missing() ? expr.constant : value;
    }
    case ExprKind::kTuple:
    case ExprKind::kList:
      return EvaluateItems(expr);
    case ExprKind::kDict:
      return EvaluateDict(expr);
    case ExprKind::kAttribute:
    case ExprKind::kItem:
      return EvaluateItem(expr);
    case ExprKind::kCall:
      return EvaluateCall(expr, nullptr);
    case ExprKind::kFilter:
      return EvaluateFilter(expr);
    case ExprKind::kTest:
      return EvaluateTest(expr);
    case ExprKind::kNot:
    case ExprKind::kNegate:
    case ExprKind::kPlus:
      return EvaluateUnary(expr);
    case ExprKind::kBinary:
      return EvaluateBinary(expr);
    case ExprKind::kConcat:
      return EvaluateConcat(expr);
    case ExprKind::kAnd:
    case ExprKind::kOr:
      return EvaluateLogic(expr);
    case ExprKind::kCompare:
      return EvaluateCompare(expr);
    case ExprKind::kConditional:
      return EvaluateConditional(expr);
    case ExprKind::kSlice:
    case ExprKind::kNamespaceTarget:
      break;
  }
  return RuntimeError("this expression has no value");
}

Result<Value> Interpreter::EvaluateItems(const Expr& expr) {
  std::vector<Value> items;
  items.reserve(expr.items.size());
  for (const ExprPtr& item : expr.items) {
    ASSIGN_OR_RETURN(Value value, Evaluate(*item));
    items.push_back(std::move(value));
  }
  return expr.kind == ExprKind::kList ? NewList(std::move(items)) : NewTuple(std::move(items));
}

Result<Value> Interpreter::EvaluateDict(const Expr& expr) {
  std::vector<DictObject::Entry> entries;
  entries.reserve(expr.items.size() / 2);
  for (size_t i = 0; i + 1 < expr.items.size(); i += 2) {
    ASSIGN_OR_RETURN(Value key, Evaluate(*expr.items[i]));
    ASSIGN_OR_RETURN(Value value, Evaluate(*expr.items[i + 1]));
    if (!IsHashable(key)) {
      return RuntimeError("unhashable type: '" + std::string(TypeName(key)) + "'");
    }
    entries.push_back({std::move(key), std::move(value)});
  }
  return NewDict(std::move(entries));
}

Result<Value> Interpreter::EvaluateItem(const Expr& expr) {
  ASSIGN_OR_RETURN(const Value object, Evaluate(*expr.items[0]));
  if (expr.kind == ExprKind::kAttribute) return GetAttribute(*this, object, expr.name);
  const Expr& key = *expr.items[1];
  if (key.kind != ExprKind::kSlice) {
    ASSIGN_OR_RETURN(const Value index, Evaluate(key));
    return GetItem(*this, object, index);
  }
  Value bounds[3];
  for (size_t i = 0; i < 3; ++i) {
    if (key.items[i] == nullptr) continue;
    ASSIGN_OR_RETURN(bounds[i], Evaluate(*key.items[i]));
  }
  return GetSlice(*this, object, bounds[0], bounds[1], bounds[2]);
}

Result<Value> Interpreter::EvaluateUnary(const Expr& expr) {
  ASSIGN_OR_RETURN(const Value operand, Evaluate(*expr.items[0]));
  if (expr.kind == ExprKind::kNot) return Value::Bool(!IsTruthy(operand));
  return expr.kind == ExprKind::kNegate ? Negate(*this, operand) : Plus(*this, operand);
}

Result<Value> Interpreter::EvaluateBinary(const Expr& expr) {
  ASSIGN_OR_RETURN(const Value left, Evaluate(*expr.items[0]));
  ASSIGN_OR_RETURN(const Value right, Evaluate(*expr.items[1]));
  set_line(expr.line);
  return ApplyBinary(*this, expr.op, left, right);
}

Result<Value> Interpreter::EvaluateConcat(const Expr& expr) {
  TextBuilder out(*this);
  for (const ExprPtr& item : expr.items) {
    ASSIGN_OR_RETURN(const Value value, Evaluate(*item));
    RETURN_IF_ERROR(AddText(out, value));
  }
  return NewString(out.Take());
}

Result<Value> Interpreter::EvaluateLogic(const Expr& expr) {
  ASSIGN_OR_RETURN(Value left, Evaluate(*expr.items[0]));
  if (IsTruthy(left) == (expr.kind == ExprKind::kOr)) return left;
  return Evaluate(*expr.items[1]);
}

Result<Value> Interpreter::EvaluateCompare(const Expr& expr) {
  ASSIGN_OR_RETURN(Value left, Evaluate(*expr.items[0]));
  for (size_t i = 0; i < expr.compare_ops.size(); ++i) {
    ASSIGN_OR_RETURN(Value right, Evaluate(*expr.items[i + 1]));
    ASSIGN_OR_RETURN(const bool holds, Compare(*this, expr.compare_ops[i], left, right));
    if (!holds) return Value::Bool(false);
    left = std::move(right);
  }
  return Value::Bool(true);
}

Result<Value> Interpreter::EvaluateConditional(const Expr& expr) {
  ASSIGN_OR_RETURN(const Value condition, Evaluate(*expr.items[1]));
  if (IsTruthy(condition)) return Evaluate(*expr.items[0]);
  if (expr.items[2] != nullptr) return Evaluate(*expr.items[2]);
  return expr.constant;
}

Status Interpreter::EvaluateArguments(const Expr& call, Arguments& arguments) {
  arguments.positional.reserve(call.items.size());
  for (size_t i = 1; i < call.items.size(); ++i) {
    ASSIGN_OR_RETURN(Value value, Evaluate(*call.items[i]));
    arguments.positional.push_back(std::move(value));
  }
  if (call.tail != nullptr) RETURN_IF_ERROR(EvaluateTail(*call.tail, arguments));
  set_line(call.line);
  return OkStatus();
}

Status Interpreter::EvaluateTail(const CallTail& tail, Arguments& arguments) {
  for (const auto& [name, expr] : tail.named) {
    ASSIGN_OR_RETURN(Value value, Evaluate(*expr));
    for (const auto& [other, unused] : arguments.named) {
      if (other == name) return RuntimeError("the argument '" + other + "' is given twice");
    }
    arguments.named.emplace_back(name, std::move(value));
  }
  if (tail.star != nullptr) {
    ASSIGN_OR_RETURN(const Value list, Evaluate(*tail.star));
    ASSIGN_OR_RETURN(std::vector<Value> items, Collect(*this, list));
    for (Value& item : items) arguments.positional.push_back(std::move(item));
  }
  if (tail.double_star != nullptr) {
    ASSIGN_OR_RETURN(const Value dict, Evaluate(*tail.double_star));
    if (!dict.is(Kind::kDict)) return RuntimeError("the value after ** is not a dict");
    const size_t num_written = arguments.named.size();
    for (const DictObject::Entry& entry : dict.dict().entries) {
      if (!entry.key.is_string()) return RuntimeError("the keys of a dict after ** are strings");
      RETURN_IF_ERROR(Step(1 + num_written));
      for (size_t i = 0; i < num_written; ++i) {
        if (arguments.named[i].first == entry.key.text()) {
          return RuntimeError("the argument '" + entry.key.text() + "' is given twice");
        }
      }
      arguments.named.emplace_back(entry.key.text(), entry.value);
    }
  }
  return OkStatus();
}

Result<Value> Interpreter::EvaluateCall(const Expr& expr, const Value* caller) {
  RETURN_IF_ERROR(Step(kStatementTicks));
  const Expr& target = *expr.items[0];
  Value object;  // of a method call, whose method needs no object of its own
  Value callee;
  const Method* method = nullptr;
  if (target.kind == ExprKind::kAttribute) {
    ASSIGN_OR_RETURN(object, Evaluate(*target.items[0]));
    method = FindMethod(object, target.name);
    if (method == nullptr) {
      ASSIGN_OR_RETURN(callee, GetAttribute(*this, object, target.name));
    }
  } else {
    ASSIGN_OR_RETURN(callee, Evaluate(target));
  }
  Arguments arguments;
  RETURN_IF_ERROR(EvaluateArguments(expr, arguments));
  if (caller != nullptr) arguments.named.emplace_back("caller", *caller);
  if (method == nullptr) return Call(callee, arguments);
  if (!method->is_constant_time) RETURN_IF_ERROR(ChargeText(*this, object));
  RETURN_IF_ERROR(ChargeArguments(*this, arguments));
  return method->call(*this, object, arguments);
}

Result<Value> Interpreter::Call(const Value& callee, Arguments& arguments) {
  if (callee.is_undefined()) return UndefinedError(callee);
  if (!callee.is(Kind::kObject) || !callee.host().callable()) {
    return RuntimeError("'" + std::string(TypeName(callee)) + "' object is not callable");
  }
  const DepthScope scope(call_depth_);
  if (call_depth_ > limits().max_depth) {
    return Error(TemplateErrorKind::kLimit,
                 "calls are nested more than " + std::to_string(limits().max_depth) + " deep");
  }
  RETURN_IF_ERROR(ChargeArguments(*this, arguments));
  return callee.host().Call(*this, arguments);
}

Result<Value> Interpreter::EvaluateFilter(const Expr& expr) {
  RETURN_IF_ERROR(Step(kStatementTicks));
  if (expr.filter == nullptr) {
    return RuntimeError("there is no filter '" + std::string(expr.name) + "'");
  }
  Value input;
  if (expr.items[0] != nullptr) {
    ASSIGN_OR_RETURN(input, Evaluate(*expr.items[0]));
  } else {
    input = *block_input_;
  }
  Arguments arguments;
  RETURN_IF_ERROR(EvaluateArguments(expr, arguments));
  if (!expr.filter->is_constant_time) {
    RETURN_IF_ERROR(ChargeText(*this, input));
    RETURN_IF_ERROR(ChargeArguments(*this, arguments));
  }
  return expr.filter->apply(*this, input, arguments);
}

Result<Value> Interpreter::EvaluateTest(const Expr& expr) {
  RETURN_IF_ERROR(Step(kStatementTicks));
  if (expr.predicate == nullptr) {
    return RuntimeError("there is no test '" + std::string(expr.name) + "'");
  }
  ASSIGN_OR_RETURN(const Value input, Evaluate(*expr.items[0]));
  Arguments arguments;
  RETURN_IF_ERROR(EvaluateArguments(expr, arguments));
  ASSIGN_OR_RETURN(const bool holds, expr.predicate->apply(*this, input, arguments));
  return Value::Bool(holds);
}

}  // namespace pelton::jinja
