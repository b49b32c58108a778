#include <utility>

#include "text/template/filters.h"
#include "text/template/number_text.h"
#include "text/template/parser.h"
#include "text/template/predicates.h"

// What follows a primary expression: subscripts, calls, filters and tests.
namespace pelton::jinja {

Result<ExprPtr> Parser::ParsePostfix(ExprPtr node) {
  while (true) {
    if (Is(TokenType::kDot) || Is(TokenType::kLeftBracket)) {
      ASSIGN_OR_RETURN(node, ParseSubscript(std::move(node)));
    } else if (Is(TokenType::kLeftParen)) {
      ASSIGN_OR_RETURN(node, ParseCall(std::move(node)));
    } else {
      return node;
    }
  }
}

Result<ExprPtr> Parser::ParseFilterExpr(ExprPtr node) {
  while (true) {
    if (Is(TokenType::kPipe)) {
      ASSIGN_OR_RETURN(node, ParseFilters(std::move(node), false));
    } else if (IsName("is")) {
      ASSIGN_OR_RETURN(node, ParseTest(std::move(node)));
    } else if (Is(TokenType::kLeftParen)) {
      ASSIGN_OR_RETURN(node, ParseCall(std::move(node)));
    } else {
      return node;
    }
  }
}

Result<ExprPtr> Parser::ParseSubscript(ExprPtr node) {
  const Token& token = Next();
  if (token.type == TokenType::kDot) {
    if (Is(TokenType::kName)) {
      ExprPtr attribute = NewExpr(ExprKind::kAttribute, token.line);
      attribute->name = Next().text;
      RETURN_IF_ERROR(Add(*attribute, std::move(node)));
      return attribute;
    }
    if (!Is(TokenType::kInteger)) {
      return Fail("expected a name or a number after '.', found " + DescribeToken(Current()));
    }
    ExprPtr item = NewExpr(ExprKind::kItem, token.line);
    ASSIGN_OR_RETURN(ExprPtr index, ParseNumber());
    RETURN_IF_ERROR(Add(*item, std::move(node)));
    RETURN_IF_ERROR(Add(*item, std::move(index)));
    return item;
  }
  ExprPtr item = NewExpr(ExprKind::kItem, token.line);
  ExprPtr keys = NewExpr(ExprKind::kTuple, token.line);
  while (!Is(TokenType::kRightBracket)) {
    if (!keys->items.empty()) RETURN_IF_ERROR(Expect(TokenType::kComma, "',' or ']'"));
    ASSIGN_OR_RETURN(ExprPtr key, ParseSubscribed());
    RETURN_IF_ERROR(Add(*keys, std::move(key)));
  }
  Next();
  if (keys->items.size() == 1) {
    ExprPtr only = std::move(keys->items[0]);
    keys = std::move(only);
  } else {
    for (const ExprPtr& key : keys->items) {
      if (key->kind == ExprKind::kSlice)
        return Fail("a slice cannot be part of a tuple", key->line);
    }
  }
  RETURN_IF_ERROR(Add(*item, std::move(node)));
  RETURN_IF_ERROR(Add(*item, std::move(keys)));
  return item;
}

Result<ExprPtr> Parser::ParseSubscribed() {
  ExprPtr slice = NewExpr(ExprKind::kSlice, Current().line);
  ExprPtr start;
  if (!Is(TokenType::kColon)) {
    ASSIGN_OR_RETURN(start, ParseExpression());
    if (!Is(TokenType::kColon)) return start;
  }
  RETURN_IF_ERROR(Add(*slice, std::move(start)));
  for (int part = 1; part <= 2; ++part) {
    ExprPtr bound;
    // After the stop, a second colon may follow or not.
    if (part == 1 || Is(TokenType::kColon)) {
      Next();
      if (!Is(TokenType::kColon) && !Is(TokenType::kRightBracket) && !Is(TokenType::kComma)) {
        ASSIGN_OR_RETURN(bound, ParseExpression());
      }
    }
    RETURN_IF_ERROR(Add(*slice, std::move(bound)));
  }
  return slice;
}

Status Parser::ParseArguments(Expr& call) {
  const int line = Current().line;
  RETURN_IF_ERROR(Expect(TokenType::kLeftParen, "'('"));
  auto tail = std::make_unique<CallTail>();
  const auto misplaced = [&] { return Fail("the arguments of a call are out of order", line); };
  for (bool first = true; !Is(TokenType::kRightParen); first = false) {
    if (!first) {
      RETURN_IF_ERROR(Expect(TokenType::kComma, "',' or ')'"));
      if (Is(TokenType::kRightParen)) break;
    }
    if (Skip(TokenType::kMul)) {
      if (tail->star != nullptr || tail->double_star != nullptr) return misplaced();
      ASSIGN_OR_RETURN(tail->star, ParseExpression());
      RETURN_IF_ERROR(Grow(call, *tail->star));
    } else if (Skip(TokenType::kPow)) {
      if (tail->double_star != nullptr) return misplaced();
      ASSIGN_OR_RETURN(tail->double_star, ParseExpression());
      RETURN_IF_ERROR(Grow(call, *tail->double_star));
    } else if (Is(TokenType::kName) && Ahead().type == TokenType::kAssign) {
      if (tail->double_star != nullptr) return misplaced();
      const std::string_view name = Next().text;
      Next();
      ASSIGN_OR_RETURN(ExprPtr value, ParseExpression());
      RETURN_IF_ERROR(Grow(call, *value));
      tail->named.emplace_back(name, std::move(value));
    } else {
      if (tail->star != nullptr || tail->double_star != nullptr || !tail->named.empty()) {
        return misplaced();
      }
      ASSIGN_OR_RETURN(ExprPtr value, ParseExpression());
      RETURN_IF_ERROR(Add(call, std::move(value)));
    }
  }
  Next();
  if (!tail->named.empty() || tail->star != nullptr || tail->double_star != nullptr) {
    call.tail = std::move(tail);
  }
  return OkStatus();
}

Result<ExprPtr> Parser::ParseCall(ExprPtr node) {
  ExprPtr call = NewExpr(ExprKind::kCall, Current().line);
  RETURN_IF_ERROR(Add(*call, std::move(node)));
  RETURN_IF_ERROR(ParseArguments(*call));
  return call;
}

// The name of a filter or test. A dotted one is legal syntax, though none is known here.
Result<std::string_view> Parser::ParseDottedName() {
  ASSIGN_OR_RETURN(const Token first, ExpectName());
  std::string_view name = first.text;
  while (Skip(TokenType::kDot)) {
    ASSIGN_OR_RETURN(const Token part, ExpectName());
    name = std::string_view(name.begin(), part.text.end());
  }
  return name;
}

Result<ExprPtr> Parser::ParseFilters(ExprPtr node, bool start_inline) {
  while (start_inline || Is(TokenType::kPipe)) {
    if (!start_inline) Next();
    start_inline = false;
    ExprPtr filter = NewExpr(ExprKind::kFilter, Current().line);
    ASSIGN_OR_RETURN(filter->name, ParseDottedName());
    filter->filter = FindFilter(filter->name);
    RETURN_IF_ERROR(Add(*filter, std::move(node)));
    if (Is(TokenType::kLeftParen)) RETURN_IF_ERROR(ParseArguments(*filter));
    node = std::move(filter);
  }
  return node;
}

Result<ExprPtr> Parser::ParseTest(ExprPtr node) {
  const int line = Next().line;
  const bool negated = SkipName("not");
  ExprPtr test = NewExpr(ExprKind::kTest, line);
  ASSIGN_OR_RETURN(test->name, ParseDottedName());
  test->predicate = FindPredicate(test->name);
  RETURN_IF_ERROR(Add(*test, std::move(node)));
  switch (Current().type) {
    case TokenType::kLeftParen:
      RETURN_IF_ERROR(ParseArguments(*test));
      break;
    case TokenType::kName:
      if (IsName("is")) return Fail("tests cannot be chained with 'is'");
      if (IsAnyName({"else", "or", "and"})) break;
      [[fallthrough]];
    case TokenType::kString:
    case TokenType::kInteger:
    case TokenType::kFloat:
    case TokenType::kLeftBracket:
    case TokenType::kLeftBrace: {
      ASSIGN_OR_RETURN(ExprPtr argument, ParsePrimary(false));
      ASSIGN_OR_RETURN(argument, ParsePostfix(std::move(argument)));
      RETURN_IF_ERROR(Add(*test, std::move(argument)));
      break;
    }
    default:
      break;
  }
  if (!negated) return test;
  ExprPtr node_not = NewExpr(ExprKind::kNot, line);
  RETURN_IF_ERROR(Add(*node_not, std::move(test)));
  return node_not;
}

}  // namespace pelton::jinja
