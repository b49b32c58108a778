#include "text/template/lexer.h"

#include <algorithm>
#include <utility>

#include "text/template/unicode_text.h"

namespace pelton::jinja {
namespace {

bool IsAsciiDigit(char c) { return c >= '0' && c <= '9'; }

int HexDigit(char c) {
  if (IsAsciiDigit(c)) return c - '0';
  const char lower = static_cast<char>(c | 0x20);
  return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

struct Operator {
  std::string_view text;
  TokenType type;
};

// Longest first.
constexpr Operator kOperators[] = {
    {"//", TokenType::kFloorDiv},   {"**", TokenType::kPow},          {"==", TokenType::kEqual},
    {"!=", TokenType::kNotEqual},   {">=", TokenType::kGreaterEqual}, {"<=", TokenType::kLessEqual},
    {"+", TokenType::kAdd},         {"-", TokenType::kSub},           {"/", TokenType::kDiv},
    {"*", TokenType::kMul},         {"%", TokenType::kMod},           {"~", TokenType::kTilde},
    {"[", TokenType::kLeftBracket}, {"]", TokenType::kRightBracket},  {"(", TokenType::kLeftParen},
    {")", TokenType::kRightParen},  {"{", TokenType::kLeftBrace},     {"}", TokenType::kRightBrace},
    {">", TokenType::kGreater},     {"<", TokenType::kLess},          {"=", TokenType::kAssign},
    {".", TokenType::kDot},         {":", TokenType::kColon},         {"|", TokenType::kPipe},
    {",", TokenType::kComma},       {";", TokenType::kSemicolon},
};

class Lexer {
 public:
  Lexer(std::string_view source, TemplateError& error) : source_(source), error_(error) {}

  Result<std::vector<Token>> Run() {
    while (pos_ < source_.size()) RETURN_IF_ERROR(LexText());
    Add(TokenType::kEnd, "");
    return std::move(tokens_);
  }

 private:
  Status Fail(std::string message) {
    error_ = {TemplateErrorKind::kSyntax, std::move(message), line_};
    return InvalidArgument(error_.message);
  }

  char Peek(size_t offset = 0) const {
    return pos_ + offset < source_.size() ? source_[pos_ + offset] : '\0';
  }
  bool At(std::string_view text) const { return source_.substr(pos_).starts_with(text); }

  // Moves past `length` bytes and counts their lines.
  std::string_view Take(size_t length) {
    const std::string_view taken = source_.substr(pos_, length);
    line_ += static_cast<int>(std::count(taken.begin(), taken.end(), '\n'));
    pos_ += taken.size();
    if (!taken.empty()) line_starting_ = taken.back() == '\n';
    return taken;
  }

  size_t SpaceAt(size_t pos) const {
    const std::string_view rest = source_.substr(pos);
    return rest.size() - StripLeft(rest).size();
  }

  Token& Add(TokenType type, std::string_view text) {
    Token& token = tokens_.emplace_back();
    token.type = type;
    token.line = line_;
    token.text = text;
    return token;
  }

  // Text up to the next tag, and that tag.
  Status LexText() {
    size_t tag = pos_;
    for (;; ++tag) {
      tag = source_.find('{', tag);
      if (tag == std::string_view::npos || tag + 1 >= source_.size()) {
        Add(TokenType::kText, source_.substr(pos_));
        Take(source_.size() - pos_);
        return OkStatus();
      }
      const char next = source_[tag + 1];
      if (next == '{' || next == '%' || next == '#') break;
    }
    const char kind = source_[tag + 1];
    const char sign = tag + 2 < source_.size() ? source_[tag + 2] : '\0';
    const bool signed_tag = sign == '-' || sign == '+';
    const std::string_view text = TrimBefore(source_.substr(pos_, tag - pos_), sign, kind == '{');
    if (!text.empty()) Add(TokenType::kText, text);
    Take(tag - pos_);
    if (kind == '%') {
      if (const size_t raw = RawBeginLength(signed_tag); raw != 0) {
        Take(raw);
        return LexRaw();
      }
    }
    if (kind != '#') Add(kind == '{' ? TokenType::kVariableBegin : TokenType::kBlockBegin, "");
    Take(signed_tag ? 3 : 2);
    if (kind == '#') return LexComment();
    return LexExpression(kind == '{');
  }

  // `text` before a tag without what the tag's sign or lstrip_blocks removes.
  std::string_view TrimBefore(std::string_view text, char sign, bool is_variable) const {
    if (sign == '-') return StripRight(text);
    if (sign == '+' || is_variable) return text;
    const size_t newline = text.rfind('\n');
    const size_t line_start = newline == std::string_view::npos ? 0 : newline + 1;
    if (line_start == 0 && !line_starting_) return text;
    return StripLeft(text.substr(line_start)).empty() ? text.substr(0, line_start) : text;
  }

  // Length of {% raw %} at the position, 0 if it is another tag.
  size_t RawBeginLength(bool signed_tag) const {
    size_t pos = pos_ + (signed_tag ? 3 : 2);
    pos += SpaceAt(pos);
    if (!source_.substr(pos).starts_with("raw")) return 0;
    pos += 3;
    pos += SpaceAt(pos);
    const std::string_view rest = source_.substr(pos);
    if (rest.starts_with("%}")) return pos + 2 - pos_;
    if (rest.starts_with("-%}")) return pos + 3 + SpaceAt(pos + 3) - pos_;
    return 0;
  }

  Status LexRaw() {
    for (size_t tag = source_.find("{%", pos_); tag != std::string_view::npos;
         tag = source_.find("{%", tag + 1)) {
      size_t end = tag + 2;
      const char sign = end < source_.size() ? source_[end] : '\0';
      if (sign == '-' || sign == '+') ++end;
      end += SpaceAt(end);
      if (!source_.substr(end).starts_with("endraw")) continue;
      end += 6;
      end += SpaceAt(end);
      const size_t length = EndLength(end, "%}", true);
      if (length == 0) continue;
      const std::string_view text = TrimBefore(source_.substr(pos_, tag - pos_), sign, false);
      if (!text.empty()) Add(TokenType::kText, text);
      Take(end + length - pos_);
      return OkStatus();
    }
    return Fail("missing {% endraw %} after {% raw %}");
  }

  // Length of the end of a tag at `pos`, with its sign and what it trims behind it; 0 if none.
  size_t EndLength(size_t pos, std::string_view end, bool trims_newline) const {
    const std::string_view rest = source_.substr(pos);
    if (rest.starts_with('-') && rest.substr(1).starts_with(end)) {
      const size_t length = 1 + end.size();
      return length + SpaceAt(pos + length);
    }
    if (trims_newline && rest.starts_with('+') && rest.substr(1).starts_with(end)) {
      return 1 + end.size();
    }
    if (!rest.starts_with(end)) return 0;
    return end.size() + (trims_newline && rest.substr(end.size()).starts_with('\n') ? 1 : 0);
  }

  Status LexComment() {
    size_t end = source_.find("#}", pos_);
    if (end == std::string_view::npos) return Fail("missing #} at the end of a comment");
    if (end > pos_ && (source_[end - 1] == '-' || source_[end - 1] == '+')) --end;
    Take(end - pos_);
    Take(EndLength(pos_, "#}", true));
    return OkStatus();
  }

  Status LexExpression(bool is_variable) {
    std::string closers;  // the brackets that are open, each as its closing character
    while (pos_ < source_.size()) {
      if (closers.empty()) {
        const size_t length = EndLength(pos_, is_variable ? "}}" : "%}", !is_variable);
        if (length != 0) {
          Add(is_variable ? TokenType::kVariableEnd : TokenType::kBlockEnd, "");
          Take(length);
          return OkStatus();
        }
      }
      if (const size_t space = SpaceAt(pos_); space != 0) {
        Take(space);
        continue;
      }
      const char c = Peek();
      if (IsAsciiDigit(c)) {
        LexNumber();
      } else if (c == '\'' || c == '"') {
        RETURN_IF_ERROR(LexString(c));
      } else if (const size_t name = NameLength(); name != 0) {
        Token& token = Add(TokenType::kName, "");
        token.text = Take(name);
      } else {
        RETURN_IF_ERROR(LexOperator(closers));
      }
    }
    return OkStatus();  // the parser says what is missing
  }

  size_t NameLength() const {
    size_t end = pos_;
    while (end < source_.size()) {
      size_t next = end;
      if (!IsIdentifierPart(DecodeAt(source_, next))) break;
      end = next;
    }
    return end - pos_;
  }

  // Number of characters at `pos` that are digits below `base`, with single underscores between.
  size_t DigitsAt(size_t pos, int base) const {
    size_t end = pos;
    while (end < source_.size()) {
      const size_t digit = end + (source_[end] == '_' && end > pos ? 1 : 0);
      if (digit >= source_.size()) break;
      const int value = HexDigit(source_[digit]);
      if (value < 0 || value >= base) break;
      end = digit + 1;
    }
    return end - pos;
  }

  void LexNumber() {
    const size_t whole = DigitsAt(pos_, 10);
    size_t length = whole;
    bool is_float = false;
    // After a dot, "a.1.5" is two subscripts.
    const bool after_dot = pos_ > 0 && source_[pos_ - 1] == '.';
    if (!after_dot) {
      if (Peek(length) == '.') {
        if (const size_t digits = DigitsAt(pos_ + length + 1, 10); digits != 0) {
          length += 1 + digits;
          is_float = true;
        }
      }
      if ((Peek(length) | 0x20) == 'e') {
        const size_t sign = Peek(length + 1) == '+' || Peek(length + 1) == '-' ? 1 : 0;
        if (const size_t digits = DigitsAt(pos_ + length + 1 + sign, 10); digits != 0) {
          length += 1 + sign + digits;
          is_float = true;
        }
      }
    }
    if (!is_float && Peek() == '0') length = LeadingZeroLength();
    Token& token = Add(is_float ? TokenType::kFloat : TokenType::kInteger, "");
    token.text = Take(length);
  }

  // Length of an integer that starts with 0: 0x1f, 0o17, 0b1 or only zeros.
  size_t LeadingZeroLength() const {
    const char letter = static_cast<char>(Peek(1) | 0x20);
    const int base = letter == 'x' ? 16 : letter == 'o' ? 8 : letter == 'b' ? 2 : 0;
    if (base != 0) {
      const size_t underscore = Peek(2) == '_' ? 1 : 0;
      if (const size_t digits = DigitsAt(pos_ + 2 + underscore, base); digits != 0) {
        return 2 + underscore + digits;
      }
    }
    return DigitsAt(pos_, 1);
  }

  Status LexString(char quote) {
    size_t end = pos_ + 1;
    while (end < source_.size() && source_[end] != quote) end += source_[end] == '\\' ? 2 : 1;
    if (end >= source_.size()) return Fail("a string has no closing quote");
    Token& token = Add(TokenType::kString, "");
    RETURN_IF_ERROR(Unescape(source_.substr(pos_ + 1, end - pos_ - 1), token.value));
    token.text = Take(end + 1 - pos_);
    return OkStatus();
  }

  Status Unescape(std::string_view text, std::string& out) {
    size_t pos = 0;
    while (pos < text.size()) {
      const size_t backslash = text.find('\\', pos);
      out += text.substr(
          pos, backslash == std::string_view::npos ? std::string_view::npos : backslash - pos);
      if (backslash == std::string_view::npos) break;
      pos = backslash + 1;  // a character follows, or the string would not have ended
      const char c = text[pos++];
      constexpr std::string_view kLetters = "abfnrtv\\'\"";
      constexpr std::string_view kMeanings = "\a\b\f\n\r\t\v\\'\"";
      if (const size_t letter = kLetters.find(c); letter != std::string_view::npos) {
        out += kMeanings[letter];
      } else if (c == '\n') {
        // a line continued
      } else if (c >= '0' && c <= '7') {
        char32_t value = static_cast<char32_t>(c - '0');
        for (int i = 0; i < 2 && pos < text.size() && text[pos] >= '0' && text[pos] <= '7'; ++i) {
          value = value * 8 + static_cast<char32_t>(text[pos++] - '0');
        }
        AppendUtf8(value, out);
      } else if (c == 'x' || c == 'u' || c == 'U') {
        char32_t value = 0;
        if (!TakeHex(text, pos, c == 'x' ? 2 : c == 'u' ? 4 : 8, value) || value > 0x10FFFF) {
          return Fail(std::string("a string has an incomplete \\") + c + " escape");
        }
        char32_t low = 0;
        size_t next = pos + 2;
        if (value >= 0xD800 && value < 0xDC00 && text.substr(pos).starts_with("\\u") &&
            TakeHex(text, next, 4, low) && low >= 0xDC00 && low < 0xE000) {
          value = 0x10000 + ((value - 0xD800) << 10) + (low - 0xDC00);
          pos = next;
        }
        AppendUtf8(value, out);
      } else if (c == 'N') {
        return Fail("\\N{name} escapes are not supported; write the character itself");
      } else {
        out += '\\';
        out += c;
      }
    }
    return OkStatus();
  }

  static bool TakeHex(std::string_view text, size_t& pos, size_t digits, char32_t& value) {
    if (pos + digits > text.size()) return false;
    for (size_t i = 0; i < digits; ++i) {
      const int digit = HexDigit(text[pos + i]);
      if (digit < 0) return false;
      value = value << 4 | static_cast<char32_t>(digit);
    }
    pos += digits;
    return true;
  }

  Status LexOperator(std::string& closers) {
    for (const Operator& op : kOperators) {
      if (!At(op.text)) continue;
      const char c = op.text[0];
      if (c == '(') closers += ')';
      if (c == '[') closers += ']';
      if (c == '{') closers += '}';
      if (c == ')' || c == ']' || c == '}') {
        if (closers.empty()) return Fail(std::string("unexpected '") + c + "'");
        if (closers.back() != c) {
          return Fail(std::string("unexpected '") + c + "', expected '" + closers.back() + "'");
        }
        closers.pop_back();
      }
      Add(op.type, op.text);
      Take(op.text.size());
      return OkStatus();
    }
    size_t end = pos_;
    DecodeAt(source_, end);
    return Fail("unexpected character '" + std::string(source_.substr(pos_, end - pos_)) + "'");
  }

  std::string_view source_;
  TemplateError& error_;
  size_t pos_ = 0;
  int line_ = 1;
  bool line_starting_ = true;  // the last thing taken ended a line, or nothing was taken yet
  std::vector<Token> tokens_;
};

}  // namespace

std::string DescribeToken(const Token& token) {
  switch (token.type) {
    case TokenType::kEnd:
      return "end of template";
    case TokenType::kText:
      return "text";
    case TokenType::kVariableBegin:
      return "'{{'";
    case TokenType::kVariableEnd:
      return "'}}'";
    case TokenType::kBlockBegin:
      return "'{%'";
    case TokenType::kBlockEnd:
      return "'%}'";
    default:
      return "'" + std::string(token.text.substr(0, 40)) + "'";
  }
}

std::string NormalizeNewlines(std::string_view source) {
  std::string out;
  out.reserve(source.size());
  for (size_t i = 0; i < source.size(); ++i) {
    if (source[i] != '\r') {
      out += source[i];
      continue;
    }
    out += '\n';
    if (i + 1 < source.size() && source[i + 1] == '\n') ++i;
  }
  if (out.ends_with('\n')) out.pop_back();
  return out;
}

Result<std::vector<Token>> Tokenize(std::string_view source, TemplateError& error) {
  return Lexer(source, error).Run();
}

}  // namespace pelton::jinja
