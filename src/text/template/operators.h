#pragma once

#include "text/template/ast.h"
#include "text/template/interpreter.h"

// Python's operators.
namespace pelton::jinja {

Result<Value> ApplyBinary(Interpreter& vm, BinaryOp op, const Value& a, const Value& b);
Result<Value> Negate(Interpreter& vm, const Value& value);
Result<Value> Plus(Interpreter& vm, const Value& value);

Result<bool> Equals(RenderContext& context, const Value& a, const Value& b);
// a < b; fails for values without an order.
Result<bool> LessThan(RenderContext& context, const Value& a, const Value& b);
Result<bool> Compare(Interpreter& vm, CompareOp op, const Value& a, const Value& b);
// item in container
Result<bool> Contains(Interpreter& vm, const Value& container, const Value& item);

// a + b of two strings, escaping the one that is not safe if the other is.
Result<Value> JoinStrings(RenderContext& context, const Value& a, const Value& b);
// & < > ' " as HTML entities.
std::string EscapeHtml(std::string_view text);

}  // namespace pelton::jinja
