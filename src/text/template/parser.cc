#include "text/template/parser.h"

#include <algorithm>
#include <utility>

namespace pelton::jinja {

bool Parser::IsAnyName(Words words) const {
  return Is(TokenType::kName) &&
         std::find(words.begin(), words.end(), Current().text) != words.end();
}

const Token& Parser::Next() {
  const Token& token = Current();
  if (pos_ + 1 < tokens_.size()) ++pos_;
  return token;
}

bool Parser::Skip(TokenType type) {
  if (!Is(type)) return false;
  Next();
  return true;
}

bool Parser::SkipName(std::string_view word) {
  if (!IsName(word)) return false;
  Next();
  return true;
}

Status Parser::Fail(std::string message, int line) {
  error_ = {TemplateErrorKind::kSyntax, std::move(message), line != 0 ? line : Current().line};
  return InvalidArgument(error_.message);
}

Status Parser::Expect(TokenType type, std::string_view what) {
  if (Skip(type)) return OkStatus();
  return Fail("expected " + std::string(what) + ", found " + DescribeToken(Current()));
}

Result<Token> Parser::ExpectName() {
  if (!Is(TokenType::kName)) return Fail("expected a name, found " + DescribeToken(Current()));
  return Next();
}

Status Parser::ExpectWord(std::string_view word) {
  if (SkipName(word)) return OkStatus();
  return Fail("expected '" + std::string(word) + "', found " + DescribeToken(Current()));
}

Result<StmtList> Parser::ParseTemplate() { return ParseBody({}); }

Result<StmtList> Parser::ParseBody(Words end_words) {
  if (++stmt_depth_ > kMaxStmtDepth) return Fail("tags are nested too deeply");
  const int line = Current().line;
  StmtList body;
  while (true) {
    const Token& token = Current();
    if (token.type == TokenType::kText) {
      auto stmt = std::make_unique<Stmt>();
      stmt->kind = StmtKind::kText;
      stmt->line = token.line;
      stmt->text = token.text;
      body.push_back(std::move(stmt));
      Next();
    } else if (token.type == TokenType::kVariableBegin) {
      auto stmt = std::make_unique<Stmt>();
      stmt->kind = StmtKind::kOutput;
      stmt->line = token.line;
      Next();
      ASSIGN_OR_RETURN(stmt->value, ParseTuple({}));
      RETURN_IF_ERROR(Expect(TokenType::kVariableEnd, "'}}'"));
      body.push_back(std::move(stmt));
    } else if (token.type == TokenType::kBlockBegin) {
      Next();
      if (IsAnyName(end_words)) break;
      RETURN_IF_ERROR(ParseStatement(body));
      RETURN_IF_ERROR(Expect(TokenType::kBlockEnd, "'%}'"));
    } else if (end_words.size() == 0) {
      break;  // the end of the template
    } else {
      return Fail("the template ends inside the block of line " + std::to_string(line) +
                  ", which needs {% " + std::string(*(end_words.end() - 1)) + " %}");
    }
  }
  --stmt_depth_;
  return body;
}

// The rest of a tag that opens a block, and the block.
Result<StmtList> Parser::ParseBlockBody(Words end_words) {
  Skip(TokenType::kColon);
  RETURN_IF_ERROR(Expect(TokenType::kBlockEnd, "'%}'"));
  return ParseBody(end_words);
}

Status Parser::FinishBody(Stmt& stmt, std::string_view end_word) {
  ASSIGN_OR_RETURN(stmt.body, ParseBlockBody({end_word}));
  Next();
  return OkStatus();
}

Status Parser::ParseStatement(StmtList& out) {
  if (!Is(TokenType::kName)) {
    return Fail("expected the name of a tag, found " + DescribeToken(Current()));
  }
  if (IsName("print")) return ParsePrint(out);
  ASSIGN_OR_RETURN(StmtPtr stmt, ParseTag(Current().text));
  out.push_back(std::move(stmt));
  return OkStatus();
}

Status Parser::ParsePrint(StmtList& out) {
  const int line = Next().line;
  for (bool first = true; !Is(TokenType::kBlockEnd); first = false) {
    if (!first) RETURN_IF_ERROR(Expect(TokenType::kComma, "','"));
    auto stmt = std::make_unique<Stmt>();
    stmt->kind = StmtKind::kOutput;
    stmt->line = line;
    ASSIGN_OR_RETURN(stmt->value, ParseExpression());
    out.push_back(std::move(stmt));
  }
  return OkStatus();
}

Result<StmtPtr> Parser::ParseTag(std::string_view tag) {
  struct Tag {
    std::string_view name;
    StmtKind kind;
    Status (Parser::*parse)(Stmt&);
  };
  static constexpr Tag kTags[] = {
      {"if", StmtKind::kIf, &Parser::ParseIf},
      {"set", StmtKind::kSet, &Parser::ParseSet},
      {"for", StmtKind::kFor, &Parser::ParseFor},
      {"macro", StmtKind::kMacro, &Parser::ParseMacro},
      {"call", StmtKind::kCallBlock, &Parser::ParseCallBlock},
      {"filter", StmtKind::kFilterBlock, &Parser::ParseFilterBlock},
      {"with", StmtKind::kWith, &Parser::ParseWith},
      {"block", StmtKind::kBlock, &Parser::ParseBlock},
      {"autoescape", StmtKind::kScope, &Parser::ParseAutoescape},
      {"include", StmtKind::kUnavailable, &Parser::ParseUnavailable},
      {"import", StmtKind::kUnavailable, &Parser::ParseUnavailable},
      {"from", StmtKind::kUnavailable, &Parser::ParseUnavailable},
      {"extends", StmtKind::kUnavailable, &Parser::ParseUnavailable},
  };
  auto stmt = std::make_unique<Stmt>();
  stmt->line = Current().line;
  if (tag == "break" || tag == "continue") {
    stmt->kind = tag == "break" ? StmtKind::kBreak : StmtKind::kContinue;
    Next();
    return stmt;
  }
  if (tag == "generation") {
    // Marks what the model says, for training. Its body is a macro called on the spot.
    stmt->kind = StmtKind::kCallBlock;
    Next();
    RETURN_IF_ERROR(FinishBody(*stmt, "endgeneration"));
    return stmt;
  }
  for (const Tag& known : kTags) {
    if (known.name != tag) continue;
    stmt->kind = known.kind;
    stmt->text = tag;
    Next();
    RETURN_IF_ERROR((this->*known.parse)(*stmt));
    return stmt;
  }
  return Fail("there is no tag '" + std::string(tag.substr(0, 40)) + "' here");
}

Status Parser::ParseFor(Stmt& stmt) {
  ASSIGN_OR_RETURN(stmt.target, ParseTarget({.only_primaries = true, .end_word = "in"}));
  RETURN_IF_ERROR(ExpectWord("in"));
  ASSIGN_OR_RETURN(stmt.value, ParseTuple({.allow_conditional = false, .end_word = "recursive"}));
  if (SkipName("if")) {
    ASSIGN_OR_RETURN(stmt.test, ParseExpression());
  }
  stmt.recursive = SkipName("recursive");
  ASSIGN_OR_RETURN(stmt.body, ParseBlockBody({"else", "endfor"}));
  if (Next().text == "endfor") return OkStatus();
  ASSIGN_OR_RETURN(stmt.otherwise, ParseBlockBody({"endfor"}));
  Next();
  return OkStatus();
}

Status Parser::ParseIf(Stmt& stmt) {
  while (true) {
    Stmt::Branch& branch = stmt.branches.emplace_back();
    ASSIGN_OR_RETURN(branch.test, ParseTuple({.allow_conditional = false}));
    ASSIGN_OR_RETURN(branch.body, ParseBlockBody({"elif", "else", "endif"}));
    const std::string_view word = Next().text;
    if (word == "elif") continue;
    if (word == "endif") return OkStatus();
    ASSIGN_OR_RETURN(stmt.otherwise, ParseBlockBody({"endif"}));
    Next();
    return OkStatus();
  }
}

Status Parser::ParseSet(Stmt& stmt) {
  ASSIGN_OR_RETURN(stmt.target, ParseTarget({.only_primaries = true, .allow_namespace = true}));
  if (Skip(TokenType::kAssign)) {
    ASSIGN_OR_RETURN(stmt.value, ParseTuple({}));
    return OkStatus();
  }
  stmt.kind = StmtKind::kSetBlock;
  if (Is(TokenType::kPipe)) {
    ASSIGN_OR_RETURN(stmt.value, ParseFilters(nullptr, false));
  }
  return FinishBody(stmt, "endset");
}

Status Parser::ParseWith(Stmt& stmt) {
  while (!Is(TokenType::kBlockEnd)) {
    if (!stmt.parameters.empty()) RETURN_IF_ERROR(Expect(TokenType::kComma, "','"));
    Stmt::Parameter& parameter = stmt.parameters.emplace_back();
    ASSIGN_OR_RETURN(parameter.target, ParseTarget({.only_primaries = true}));
    RETURN_IF_ERROR(Expect(TokenType::kAssign, "'='"));
    ASSIGN_OR_RETURN(parameter.value, ParseExpression());
  }
  return FinishBody(stmt, "endwith");
}

Status Parser::ParseSignature(Stmt& stmt) {
  RETURN_IF_ERROR(Expect(TokenType::kLeftParen, "'('"));
  while (!Is(TokenType::kRightParen)) {
    const bool after_default = !stmt.parameters.empty() && stmt.parameters.back().value != nullptr;
    if (!stmt.parameters.empty()) RETURN_IF_ERROR(Expect(TokenType::kComma, "','"));
    Stmt::Parameter& parameter = stmt.parameters.emplace_back();
    ASSIGN_OR_RETURN(parameter.target, ParseNameTarget());
    if (Skip(TokenType::kAssign)) {
      ASSIGN_OR_RETURN(parameter.value, ParseExpression());
    } else if (after_default) {
      return Fail("a parameter without a default follows one with a default");
    }
  }
  Next();
  return OkStatus();
}

Status Parser::ParseMacro(Stmt& stmt) {
  ASSIGN_OR_RETURN(stmt.target, ParseNameTarget());
  stmt.text = stmt.target->name;
  RETURN_IF_ERROR(ParseSignature(stmt));
  return FinishBody(stmt, "endmacro");
}

Status Parser::ParseCallBlock(Stmt& stmt) {
  stmt.text = {};
  if (Is(TokenType::kLeftParen)) RETURN_IF_ERROR(ParseSignature(stmt));
  ASSIGN_OR_RETURN(stmt.value, ParseExpression());
  if (stmt.value->kind != ExprKind::kCall) return Fail("expected a call", stmt.line);
  return FinishBody(stmt, "endcall");
}

Status Parser::ParseFilterBlock(Stmt& stmt) {
  ASSIGN_OR_RETURN(stmt.value, ParseFilters(nullptr, true));
  return FinishBody(stmt, "endfilter");
}

Status Parser::ParseBlock(Stmt& stmt) {
  ASSIGN_OR_RETURN(const Token name, ExpectName());
  stmt.text = name.text;
  SkipName("scoped");
  const bool required = SkipName("required");
  RETURN_IF_ERROR(FinishBody(stmt, "endblock"));
  if (required && !stmt.body.empty()) return Fail("a required block has a body", stmt.line);
  SkipName(stmt.text);
  return OkStatus();
}

Status Parser::ParseAutoescape(Stmt& stmt) {
  ASSIGN_OR_RETURN(stmt.value, ParseExpression());
  if (stmt.value->kind != ExprKind::kConstant || IsTruthy(stmt.value->constant)) {
    return Fail("only {% autoescape false %} is supported: chat templates produce no HTML",
                stmt.line);
  }
  return FinishBody(stmt, "endautoescape");
}

// include, import, from and extends need other templates, of which there are none. As in the
// reference, they fail only when they run.
Status Parser::ParseUnavailable(Stmt& stmt) {
  ASSIGN_OR_RETURN(stmt.value, ParseExpression());
  while (!Is(TokenType::kBlockEnd)) {
    if (Is(TokenType::kEnd)) return Fail("the template ends inside a tag");
    if (!Is(TokenType::kName) && !Is(TokenType::kComma)) {
      return Fail("unexpected " + DescribeToken(Current()));
    }
    Next();
  }
  return OkStatus();
}

}  // namespace pelton::jinja
