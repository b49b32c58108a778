#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "text/template/template.h"

namespace pelton::jinja {

enum class TokenType : uint8_t {
  kEnd,
  kText,
  kVariableBegin,
  kVariableEnd,
  kBlockBegin,
  kBlockEnd,
  kName,
  kString,
  kInteger,
  kFloat,
  // operators
  kAdd,
  kSub,
  kMul,
  kDiv,
  kFloorDiv,
  kMod,
  kPow,
  kTilde,
  kLeftBracket,
  kRightBracket,
  kLeftParen,
  kRightParen,
  kLeftBrace,
  kRightBrace,
  kEqual,
  kNotEqual,
  kLess,
  kLessEqual,
  kGreater,
  kGreaterEqual,
  kAssign,
  kDot,
  kColon,
  kPipe,
  kComma,
  kSemicolon,
};

struct Token {
  TokenType type = TokenType::kEnd;
  int line = 0;
  std::string_view text;  // points into the source; of a string, with quotes
  std::string value;      // of a string, with escapes decoded
};

// How a token is named in messages.
std::string DescribeToken(const Token& token);

// `source` with line ends as "\n", and without the one at the very end.
std::string NormalizeNewlines(std::string_view source);

// The tokens of a normalized source, ending with kEnd. White space is trimmed around tags as
// trim_blocks, lstrip_blocks and the signs of the tags say; comments are gone.
// Fails with the syntax error in `error`. Source: Jinja2 lexer.py.
Result<std::vector<Token>> Tokenize(std::string_view source, TemplateError& error);

}  // namespace pelton::jinja
