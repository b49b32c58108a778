#include "text/parsers/python_literal.h"

#include "text/parsers/json_scanner.h"

namespace pelton {
namespace {

int DigitValue(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return 99;
}

bool IsTokenByte(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '.' ||
         c == '-' || c == '+' || c == '_';
}

constexpr size_t kMaxTokenBytes = 256;

}  // namespace

void PythonLiteral::AppendByte(char c) {
  static constexpr char kHex[] = "0123456789abcdef";
  const auto byte = static_cast<unsigned char>(c);
  if (c == '"' || c == '\\') json_ += '\\';
  if (byte >= 0x20) {
    json_ += c;
  } else if (c == '\n') {
    json_ += "\\n";
  } else if (c == '\t') {
    json_ += "\\t";
  } else {
    json_ += "\\u00";
    json_ += kHex[byte >> 4];
    json_ += kHex[byte & 15];
  }
}

bool PythonLiteral::AppendCodePoint(uint32_t code_point) {
  if (code_point > 0x10FFFF || (code_point >= 0xD800 && code_point < 0xE000)) return false;
  if (code_point < 0x80) {
    AppendByte(static_cast<char>(code_point));
    return true;
  }
  const auto tail = [&](unsigned shift) {
    json_ += static_cast<char>(0x80 | (code_point >> shift & 0x3F));
  };
  if (code_point < 0x800) {
    json_ += static_cast<char>(0xC0 | code_point >> 6);
  } else if (code_point < 0x10000) {
    json_ += static_cast<char>(0xE0 | code_point >> 12);
    tail(6);
  } else {
    json_ += static_cast<char>(0xF0 | code_point >> 18);
    tail(12);
    tail(6);
  }
  tail(0);
  return true;
}

void PythonLiteral::EndValue() {
  state_ = is_key_ ? State::kColon : State::kAfterItem;
  is_key_ = false;
}

bool PythonLiteral::EndToken() {
  if (token_ == "True") {
    json_ += "true";
  } else if (token_ == "False") {
    json_ += "false";
  } else if (token_ == "None") {
    json_ += "null";
  } else if (IsJson(token_)) {
    json_ += token_;
  } else {
    return false;
  }
  EndValue();
  return true;
}

PythonLiteral::Outcome PythonLiteral::BeginValue(char c) {
  if (comma_) json_ += ", ";
  comma_ = false;
  const bool in_dict = !open_.empty() && open_.back() == '{';
  const bool key = in_dict && state_ == State::kItemOrEnd;
  if (c == '\'' || c == '"') {
    is_key_ = key;
    quote_ = c;
    json_ += '"';
    state_ = State::kString;
    return Outcome::kMore;
  }
  if (key) return Outcome::kFailed;
  if (c == '[' || c == '{') {
    if (open_.size() == kMaxDepth) return Outcome::kFailed;
    open_ += c;
    json_ += c;
    state_ = State::kItemOrEnd;
    return Outcome::kMore;
  }
  if (!IsTokenByte(c)) return Outcome::kFailed;
  token_ = c;
  state_ = State::kToken;
  return Outcome::kMore;
}

PythonLiteral::Outcome PythonLiteral::Close(char c) {
  if (c != (open_.back() == '{' ? '}' : ']')) return Outcome::kFailed;
  open_.pop_back();
  json_ += c;
  comma_ = false;
  state_ = State::kAfterItem;
  return open_.empty() ? Outcome::kDone : Outcome::kMore;
}

PythonLiteral::Outcome PythonLiteral::StepStructure(char c) {
  if (IsJsonSpace(c)) return Outcome::kMore;
  switch (state_) {
    case State::kValue:
      return BeginValue(c);
    case State::kItemOrEnd:
      return c == ']' || c == '}' ? Close(c) : BeginValue(c);
    case State::kColon:
      json_ += ": ";
      state_ = State::kValue;
      return c == ':' ? Outcome::kMore : Outcome::kFailed;
    default:  // kAfterItem
      if (c != ',') return Close(c);
      comma_ = true;
      state_ = State::kItemOrEnd;
      return Outcome::kMore;
  }
}

PythonLiteral::Outcome PythonLiteral::StepString(char c) {
  if (c == '\\') {
    state_ = State::kEscape;
  } else if (c == quote_) {
    json_ += '"';
    EndValue();
    if (open_.empty()) return Outcome::kDone;
  } else if (c == '\n') {
    return Outcome::kFailed;
  } else {
    AppendByte(c);
  }
  return Outcome::kMore;
}

PythonLiteral::Outcome PythonLiteral::StepEscape(char c) {
  static constexpr std::string_view kLetters = "abfnrtv\\'\"";
  static constexpr std::string_view kMeanings = "\a\b\f\n\r\t\v\\'\"";
  state_ = State::kString;
  if (const size_t at = kLetters.find(c); at != std::string_view::npos) {
    AppendByte(kMeanings[at]);
  } else if (c == 'x' || c == 'u' || c == 'U') {
    digits_left_ = c == 'x' ? 2 : c == 'u' ? 4 : 8;
    code_point_ = 0;
    state_ = State::kDigits;
  } else if (DigitValue(c) < 8) {
    digits_left_ = 2;
    code_point_ = static_cast<uint32_t>(DigitValue(c));
    state_ = State::kOctal;
  } else if (c != '\n') {  // a line break is skipped, any other escape stays as it is
    AppendByte('\\');
    AppendByte(c);
  }
  return Outcome::kMore;
}

PythonLiteral::Outcome PythonLiteral::Step(char c) {
  switch (state_) {
    case State::kOctal:
      if (DigitValue(c) < 8 && digits_left_ > 0) {
        code_point_ = code_point_ * 8 + static_cast<uint32_t>(DigitValue(c));
        --digits_left_;
        return Outcome::kMore;
      }
      state_ = State::kString;
      if (!AppendCodePoint(code_point_)) return Outcome::kFailed;
      return StepString(c);
    case State::kString:
      return StepString(c);
    case State::kEscape:
      return StepEscape(c);
    case State::kDigits:
      if (DigitValue(c) > 15) return Outcome::kFailed;
      code_point_ = code_point_ * 16 + static_cast<uint32_t>(DigitValue(c));
      if (--digits_left_ > 0) return Outcome::kMore;
      state_ = State::kString;
      return AppendCodePoint(code_point_) ? Outcome::kMore : Outcome::kFailed;
    case State::kToken:
      if (IsTokenByte(c)) {
        token_ += c;
        return token_.size() <= kMaxTokenBytes ? Outcome::kMore : Outcome::kFailed;
      }
      if (!EndToken()) return Outcome::kFailed;
      if (open_.empty()) return Outcome::kDoneBefore;
      [[fallthrough]];
    default:
      return StepStructure(c);
  }
}

}  // namespace pelton
