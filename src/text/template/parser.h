#pragma once

#include <initializer_list>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "text/template/ast.h"
#include "text/template/lexer.h"

namespace pelton::jinja {

// Deepest recursion into expressions while parsing. A level of brackets takes two.
inline constexpr int kMaxExprDepth = 200;

// Recursive descent over the tokens of a template; every recursion is bounded by kMaxStmtDepth or
// kMaxExprDepth. Source: Jinja2 parser.py, whose structure and precedence it follows.
class Parser {
 public:
  // Borrows everything. Names in the tree point into the source that the tokens came from.
  Parser(std::vector<Token>& tokens, TemplateError& error) : tokens_(tokens), error_(error) {}

  Result<StmtList> ParseTemplate();

 private:
  using Words = std::initializer_list<std::string_view>;

  // parser.cc: tokens and statements.
  const Token& Current() const { return tokens_[pos_]; }
  const Token& Ahead() const { return tokens_[pos_ + 1 < tokens_.size() ? pos_ + 1 : pos_]; }
  bool Is(TokenType type) const { return Current().type == type; }
  bool IsName(std::string_view word) const {
    return Is(TokenType::kName) && Current().text == word;
  }
  bool IsAnyName(Words words) const;
  const Token& Next();
  bool Skip(TokenType type);
  bool SkipName(std::string_view word);
  Status Fail(std::string message, int line = 0);
  Status Expect(TokenType type, std::string_view what);
  Result<Token> ExpectName();
  Status ExpectWord(std::string_view word);

  Result<StmtList> ParseBody(Words end_words);  // stops at the end word, which is current then
  Result<StmtList> ParseBlockBody(Words end_words);
  Status ParseStatement(StmtList& out);
  Status ParsePrint(StmtList& out);
  Result<StmtPtr> ParseTag(std::string_view tag);
  Status ParseFor(Stmt& stmt);
  Status ParseIf(Stmt& stmt);
  Status ParseSet(Stmt& stmt);
  Status ParseWith(Stmt& stmt);
  Status ParseSignature(Stmt& stmt);
  Status ParseMacro(Stmt& stmt);
  Status ParseCallBlock(Stmt& stmt);
  Status ParseFilterBlock(Stmt& stmt);
  Status ParseBlock(Stmt& stmt);
  Status ParseAutoescape(Stmt& stmt);
  Status ParseUnavailable(Stmt& stmt);
  Status FinishBody(Stmt& stmt, std::string_view end_word);

  // parser_expression.cc: expressions.
  struct TupleOptions {
    bool only_primaries = false;  // names and literals, as in the target of a loop
    bool allow_conditional = true;
    bool allow_empty = false;
    bool allow_namespace = false;
    std::string_view end_word = {};  // a name that ends the tuple too
  };
  Result<ExprPtr> ParseTuple(TupleOptions options);
  Result<ExprPtr> ParseTarget(TupleOptions options);
  Result<ExprPtr> ParseNameTarget();
  Status MarkStored(Expr& target);
  Result<ExprPtr> ParseExpression(bool allow_conditional = true);
  Result<ExprPtr> ParseConditional();
  Result<ExprPtr> ParseOr();
  Result<ExprPtr> ParseAnd();
  Result<ExprPtr> ParseNot();
  Result<ExprPtr> ParseCompare();
  Result<ExprPtr> ParseSum();
  Result<ExprPtr> ParseConcat();
  Result<ExprPtr> ParseProduct();
  Result<ExprPtr> ParsePower();
  Result<ExprPtr> ParseUnary(bool with_filter);
  Result<ExprPtr> ParsePrimary(bool allow_namespace);
  Result<ExprPtr> ParseNumber();
  Result<ExprPtr> ParseList();
  Result<ExprPtr> ParseDict();
  Result<ExprPtr> ParsePostfix(ExprPtr node);
  Result<ExprPtr> ParseFilterExpr(ExprPtr node);
  Result<ExprPtr> ParseSubscript(ExprPtr node);
  Result<ExprPtr> ParseSubscribed();
  Result<ExprPtr> ParseCall(ExprPtr node);
  Result<ExprPtr> ParseFilters(ExprPtr node, bool start_inline);
  Result<ExprPtr> ParseTest(ExprPtr node);
  Status ParseArguments(Expr& call);
  Result<std::string_view> ParseDottedName();

  ExprPtr NewExpr(ExprKind kind, int line) const;
  Status Add(Expr& parent, ExprPtr child);
  Status Grow(Expr& parent, const Expr& child);
  Result<ExprPtr> Binary(ExprKind kind, BinaryOp op, int line, ExprPtr left, ExprPtr right);

  std::vector<Token>& tokens_;
  TemplateError& error_;
  size_t pos_ = 0;
  int stmt_depth_ = 0;
  int expr_depth_ = 0;
};

}  // namespace pelton::jinja
