#include <algorithm>
#include <utility>

#include "text/template/depth_scope.h"
#include "text/template/filters.h"
#include "text/template/number_text.h"
#include "text/template/parser.h"
#include "text/template/predicates.h"
#include "text/template/render_context.h"

namespace pelton::jinja {

ExprPtr Parser::NewExpr(ExprKind kind, int line) const {
  auto expr = std::make_unique<Expr>();
  expr->kind = kind;
  expr->line = line;
  return expr;
}

Status Parser::Grow(Expr& parent, const Expr& child) {
  if (child.height >= kMaxExprHeight) return Fail("an expression is nested too deeply");
  parent.height = std::max<uint16_t>(parent.height, static_cast<uint16_t>(child.height + 1));
  return OkStatus();
}

Status Parser::Add(Expr& parent, ExprPtr child) {
  if (child != nullptr) RETURN_IF_ERROR(Grow(parent, *child));
  parent.items.push_back(std::move(child));
  return OkStatus();
}

Result<ExprPtr> Parser::Binary(ExprKind kind, BinaryOp op, int line, ExprPtr left, ExprPtr right) {
  ExprPtr node = NewExpr(kind, line);
  node->op = op;
  RETURN_IF_ERROR(Add(*node, std::move(left)));
  RETURN_IF_ERROR(Add(*node, std::move(right)));
  return node;
}

Result<ExprPtr> Parser::ParseTuple(TupleOptions options) {
  ExprPtr tuple = NewExpr(ExprKind::kTuple, Current().line);
  bool is_tuple = false;
  while (true) {
    if (!tuple->items.empty()) RETURN_IF_ERROR(Expect(TokenType::kComma, "','"));
    const bool at_end = Is(TokenType::kVariableEnd) || Is(TokenType::kBlockEnd) ||
                        Is(TokenType::kRightParen) ||
                        (!options.end_word.empty() && IsName(options.end_word));
    if (at_end) break;
    if (options.only_primaries) {
      ASSIGN_OR_RETURN(ExprPtr item, ParsePrimary(options.allow_namespace));
      RETURN_IF_ERROR(Add(*tuple, std::move(item)));
    } else {
      ASSIGN_OR_RETURN(ExprPtr item, ParseExpression(options.allow_conditional));
      RETURN_IF_ERROR(Add(*tuple, std::move(item)));
    }
    if (!Is(TokenType::kComma)) break;
    is_tuple = true;
  }
  if (!is_tuple) {
    if (!tuple->items.empty()) return std::move(tuple->items[0]);
    if (!options.allow_empty) {
      return Fail("expected an expression, found " + DescribeToken(Current()));
    }
  }
  return tuple;
}

Status Parser::MarkStored(Expr& target) {
  if (target.kind == ExprKind::kNamespaceTarget) return OkStatus();
  if (target.kind == ExprKind::kName) {
    target.is_store = true;
    return OkStatus();
  }
  if (target.kind != ExprKind::kTuple) return Fail("cannot assign to this expression", target.line);
  for (const ExprPtr& item : target.items) RETURN_IF_ERROR(MarkStored(*item));
  return OkStatus();
}

Result<ExprPtr> Parser::ParseTarget(TupleOptions options) {
  ASSIGN_OR_RETURN(ExprPtr target, ParseTuple(options));
  RETURN_IF_ERROR(MarkStored(*target));
  return target;
}

Result<ExprPtr> Parser::ParseNameTarget() {
  ASSIGN_OR_RETURN(const Token token, ExpectName());
  const std::string_view name = token.text;
  if (name == "true" || name == "false" || name == "none" || name == "True" || name == "False" ||
      name == "None") {
    return Fail("cannot assign to '" + std::string(name) + "'", token.line);
  }
  ExprPtr target = NewExpr(ExprKind::kName, token.line);
  target->name = name;
  target->is_store = true;
  return target;
}

Result<ExprPtr> Parser::ParseExpression(bool allow_conditional) {
  return allow_conditional ? ParseConditional() : ParseOr();
}

Result<ExprPtr> Parser::ParseConditional() {
  const DepthScope scope(expr_depth_);
  if (expr_depth_ > kMaxExprDepth) return Fail("an expression is nested too deeply");
  int line = Current().line;
  ASSIGN_OR_RETURN(ExprPtr value, ParseOr());
  while (SkipName("if")) {
    ExprPtr node = NewExpr(ExprKind::kConditional, line);
    ASSIGN_OR_RETURN(ExprPtr condition, ParseOr());
    ExprPtr otherwise;
    if (SkipName("else")) {
      ASSIGN_OR_RETURN(otherwise, ParseConditional());
    }
    RETURN_IF_ERROR(Add(*node, std::move(value)));
    RETURN_IF_ERROR(Add(*node, std::move(condition)));
    RETURN_IF_ERROR(Add(*node, std::move(otherwise)));
    node->constant = MakeUndefined("the inline if of line " + std::to_string(line) +
                                   " was false and has no else");
    value = std::move(node);
    line = Current().line;
  }
  return value;
}

Result<ExprPtr> Parser::ParseOr() {
  int line = Current().line;
  ASSIGN_OR_RETURN(ExprPtr left, ParseAnd());
  while (SkipName("or")) {
    ASSIGN_OR_RETURN(ExprPtr right, ParseAnd());
    ASSIGN_OR_RETURN(left, Binary(ExprKind::kOr, {}, line, std::move(left), std::move(right)));
    line = Current().line;
  }
  return left;
}

Result<ExprPtr> Parser::ParseAnd() {
  int line = Current().line;
  ASSIGN_OR_RETURN(ExprPtr left, ParseNot());
  while (SkipName("and")) {
    ASSIGN_OR_RETURN(ExprPtr right, ParseNot());
    ASSIGN_OR_RETURN(left, Binary(ExprKind::kAnd, {}, line, std::move(left), std::move(right)));
    line = Current().line;
  }
  return left;
}

Result<ExprPtr> Parser::ParseNot() {
  if (!IsName("not")) return ParseCompare();
  const DepthScope scope(expr_depth_);
  if (expr_depth_ > kMaxExprDepth) return Fail("an expression is nested too deeply");
  ExprPtr node = NewExpr(ExprKind::kNot, Next().line);
  ASSIGN_OR_RETURN(ExprPtr operand, ParseNot());
  RETURN_IF_ERROR(Add(*node, std::move(operand)));
  return node;
}

Result<ExprPtr> Parser::ParseCompare() {
  const int line = Current().line;
  ASSIGN_OR_RETURN(ExprPtr first, ParseSum());
  ExprPtr node;
  while (true) {
    CompareOp op;
    if (Current().type >= TokenType::kEqual && Current().type <= TokenType::kGreaterEqual) {
      op = static_cast<CompareOp>(static_cast<int>(Current().type) -
                                  static_cast<int>(TokenType::kEqual));
      Next();
    } else if (SkipName("in")) {
      op = CompareOp::kIn;
    } else if (IsName("not") && Ahead().type == TokenType::kName && Ahead().text == "in") {
      Next();
      Next();
      op = CompareOp::kNotIn;
    } else {
      break;
    }
    if (node == nullptr) {
      node = NewExpr(ExprKind::kCompare, line);
      RETURN_IF_ERROR(Add(*node, std::move(first)));
    }
    ASSIGN_OR_RETURN(ExprPtr operand, ParseSum());
    RETURN_IF_ERROR(Add(*node, std::move(operand)));
    node->compare_ops.push_back(op);
  }
  if (node != nullptr) return node;
  return first;
}

Result<ExprPtr> Parser::ParseSum() {
  int line = Current().line;
  ASSIGN_OR_RETURN(ExprPtr left, ParseConcat());
  while (Is(TokenType::kAdd) || Is(TokenType::kSub)) {
    const BinaryOp op = Next().type == TokenType::kAdd ? BinaryOp::kAdd : BinaryOp::kSubtract;
    ASSIGN_OR_RETURN(ExprPtr right, ParseConcat());
    ASSIGN_OR_RETURN(left, Binary(ExprKind::kBinary, op, line, std::move(left), std::move(right)));
    line = Current().line;
  }
  return left;
}

Result<ExprPtr> Parser::ParseConcat() {
  const int line = Current().line;
  ASSIGN_OR_RETURN(ExprPtr first, ParseProduct());
  if (!Is(TokenType::kTilde)) return first;
  ExprPtr node = NewExpr(ExprKind::kConcat, line);
  RETURN_IF_ERROR(Add(*node, std::move(first)));
  while (Skip(TokenType::kTilde)) {
    ASSIGN_OR_RETURN(ExprPtr item, ParseProduct());
    RETURN_IF_ERROR(Add(*node, std::move(item)));
  }
  return node;
}

Result<ExprPtr> Parser::ParseProduct() {
  int line = Current().line;
  ASSIGN_OR_RETURN(ExprPtr left, ParsePower());
  while (true) {
    BinaryOp op;
    if (Is(TokenType::kMul)) {
      op = BinaryOp::kMultiply;
    } else if (Is(TokenType::kDiv)) {
      op = BinaryOp::kDivide;
    } else if (Is(TokenType::kFloorDiv)) {
      op = BinaryOp::kFloorDivide;
    } else if (Is(TokenType::kMod)) {
      op = BinaryOp::kModulo;
    } else {
      return left;
    }
    Next();
    ASSIGN_OR_RETURN(ExprPtr right, ParsePower());
    ASSIGN_OR_RETURN(left, Binary(ExprKind::kBinary, op, line, std::move(left), std::move(right)));
    line = Current().line;
  }
}

Result<ExprPtr> Parser::ParsePower() {
  int line = Current().line;
  ASSIGN_OR_RETURN(ExprPtr left, ParseUnary(true));
  while (Skip(TokenType::kPow)) {
    ASSIGN_OR_RETURN(ExprPtr right, ParseUnary(true));
    ASSIGN_OR_RETURN(
        left, Binary(ExprKind::kBinary, BinaryOp::kPower, line, std::move(left), std::move(right)));
    line = Current().line;
  }
  return left;
}

Result<ExprPtr> Parser::ParseUnary(bool with_filter) {
  const DepthScope scope(expr_depth_);
  if (expr_depth_ > kMaxExprDepth) return Fail("an expression is nested too deeply");
  ExprPtr node;
  if (Is(TokenType::kSub) || Is(TokenType::kAdd)) {
    node = NewExpr(Is(TokenType::kSub) ? ExprKind::kNegate : ExprKind::kPlus, Current().line);
    Next();
    ASSIGN_OR_RETURN(ExprPtr operand, ParseUnary(false));
    RETURN_IF_ERROR(Add(*node, std::move(operand)));
  } else {
    ASSIGN_OR_RETURN(node, ParsePrimary(false));
  }
  ASSIGN_OR_RETURN(node, ParsePostfix(std::move(node)));
  if (!with_filter) return node;
  return ParseFilterExpr(std::move(node));
}

Result<ExprPtr> Parser::ParsePrimary(bool allow_namespace) {
  const Token& token = Current();
  switch (token.type) {
    case TokenType::kName: {
      const std::string_view name = Next().text;
      ExprPtr node = NewExpr(ExprKind::kConstant, token.line);
      if (name == "true" || name == "True" || name == "false" || name == "False") {
        node->constant = Value::Bool(name == "true" || name == "True");
      } else if (name != "none" && name != "None") {
        node->kind = ExprKind::kName;
        node->name = name;
        if (allow_namespace && Skip(TokenType::kDot)) {
          ASSIGN_OR_RETURN(const Token attribute, ExpectName());
          node->kind = ExprKind::kNamespaceTarget;
          node->attribute = attribute.text;
        }
        node->constant = MakeUndefined("'" + std::string(name) + "' is undefined");
      }
      return node;
    }
    case TokenType::kString: {
      ExprPtr node = NewExpr(ExprKind::kConstant, token.line);
      std::string text;
      while (Is(TokenType::kString)) text += Next().value;
      node->constant = Value::String(text);
      return node;
    }
    case TokenType::kInteger:
    case TokenType::kFloat:
      return ParseNumber();
    case TokenType::kLeftParen: {
      Next();
      ASSIGN_OR_RETURN(ExprPtr node, ParseTuple({.allow_empty = true}));
      RETURN_IF_ERROR(Expect(TokenType::kRightParen, "')'"));
      return node;
    }
    case TokenType::kLeftBracket:
      return ParseList();
    case TokenType::kLeftBrace:
      return ParseDict();
    default:
      return Fail("unexpected " + DescribeToken(token));
  }
}

Result<ExprPtr> Parser::ParseNumber() {
  const Token& token = Next();
  ExprPtr node = NewExpr(ExprKind::kConstant, token.line);
  if (token.type == TokenType::kInteger) {
    const std::optional<Int> value = ParseInt(token.text, 0);
    if (!value) return Fail("an integer is too large", token.line);
    node->constant = Value::Integer(*value);
  } else {
    const std::optional<double> value = ParseFloat(token.text);
    if (!value) return Fail("a number is malformed", token.line);
    node->constant = Value::Float(*value);
  }
  return node;
}

Result<ExprPtr> Parser::ParseList() {
  ExprPtr node = NewExpr(ExprKind::kList, Next().line);
  while (!Is(TokenType::kRightBracket)) {
    if (!node->items.empty()) RETURN_IF_ERROR(Expect(TokenType::kComma, "',' or ']'"));
    if (Is(TokenType::kRightBracket)) break;
    ASSIGN_OR_RETURN(ExprPtr item, ParseExpression());
    RETURN_IF_ERROR(Add(*node, std::move(item)));
  }
  Next();
  return node;
}

Result<ExprPtr> Parser::ParseDict() {
  ExprPtr node = NewExpr(ExprKind::kDict, Next().line);
  while (!Is(TokenType::kRightBrace)) {
    if (!node->items.empty()) RETURN_IF_ERROR(Expect(TokenType::kComma, "',' or '}'"));
    if (Is(TokenType::kRightBrace)) break;
    ASSIGN_OR_RETURN(ExprPtr key, ParseExpression());
    RETURN_IF_ERROR(Add(*node, std::move(key)));
    RETURN_IF_ERROR(Expect(TokenType::kColon, "':'"));
    ASSIGN_OR_RETURN(ExprPtr value, ParseExpression());
    RETURN_IF_ERROR(Add(*node, std::move(value)));
  }
  Next();
  return node;
}

}  // namespace pelton::jinja
