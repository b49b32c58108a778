#include "text/parsers/json_scanner.h"

#include <nlohmann/json.hpp>

#include "base/check.h"

namespace pelton {
namespace {

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

int HexValue(char c) {
  if (IsDigit(c)) return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

bool IsJsonWithin(std::string_view text, size_t max_depth) {
  JsonScanner scanner(max_depth);
  for (const char c : text) {
    if (scanner.Step(c) == JsonScanner::Outcome::kFailed) return false;
  }
  return scanner.AtEnd();
}

}  // namespace

bool JsonScanner::BeginValue(char c) {
  switch (c) {
    case '{':
    case '[':
      if (open_.size() >= max_depth_) return false;
      open_ += c;
      state_ = c == '{' ? State::kFirstKey : State::kFirstItem;
      return true;
    case '"':
      in_key_ = false;
      state_ = State::kString;
      return true;
    case '-':
      state_ = State::kMinus;
      return true;
    case '0':
      state_ = State::kZero;
      return true;
    case 't':
    case 'f':
    case 'n':
      word_ = c == 't' ? "rue" : c == 'f' ? "alse" : "ull";
      state_ = State::kWord;
      return true;
    default:
      state_ = State::kInteger;
      return IsDigit(c);
  }
}

bool JsonScanner::StepUtf8(uint8_t byte) {
  if (utf8_left_ > 0) {
    if (byte < utf8_low_ || byte > utf8_high_) return false;
    --utf8_left_;
    utf8_low_ = 0x80;
    utf8_high_ = 0xBF;
    return true;
  }
  if (byte < 0x80) return true;
  if (byte < 0xC2 || byte > 0xF4) return false;
  utf8_left_ = byte < 0xE0 ? 1 : byte < 0xF0 ? 2 : 3;
  // Neither longer forms than needed, nor surrogates, nor beyond U+10FFFF.
  if (byte == 0xE0) utf8_low_ = 0xA0;
  if (byte == 0xED) utf8_high_ = 0x9F;
  if (byte == 0xF0) utf8_low_ = 0x90;
  if (byte == 0xF4) utf8_high_ = 0x8F;
  return true;
}

bool JsonScanner::StepString(char c) {
  if (!StepUtf8(static_cast<uint8_t>(c))) return false;
  if (static_cast<uint8_t>(c) < 0x20) return false;
  if (c == '\\') {
    state_ = State::kEscape;
  } else if (c == '"') {
    key_just_ended_ = in_key_;
    state_ = in_key_ ? State::kColon : State::kAfterValue;
  }
  return true;
}

bool JsonScanner::StepHex(char c) {
  const int value = HexValue(c);
  if (value < 0) return false;
  unit_ = unit_ << 4 | static_cast<uint32_t>(value);
  if (++digits_ < 4) return true;
  const bool high = unit_ >= 0xD800 && unit_ < 0xDC00;
  const bool low = unit_ >= 0xDC00 && unit_ < 0xE000;
  if (low != low_surrogate_) return false;
  low_surrogate_ = high;
  state_ = high ? State::kLowSurrogate : State::kString;
  return true;
}

bool JsonScanner::StepNumber(char c) {
  const auto go = [&](bool possible, State next) {
    state_ = possible ? next : State::kFailed;
    return possible;
  };
  switch (state_) {
    case State::kMinus:
      return c == '0' ? go(true, State::kZero) : go(IsDigit(c), State::kInteger);
    case State::kDot:
      return go(IsDigit(c), State::kFraction);
    case State::kExponent:
      if (c == '+' || c == '-') return go(true, State::kExponentSign);
      return go(IsDigit(c), State::kExponentDigits);
    case State::kExponentSign:
      return go(IsDigit(c), State::kExponentDigits);
    default:
      break;
  }
  // From here on the number could also be over.
  if (state_ != State::kZero && IsDigit(c)) return true;
  if (c == '.' && (state_ == State::kZero || state_ == State::kInteger)) {
    return go(true, State::kDot);
  }
  if ((c == 'e' || c == 'E') && state_ != State::kExponentDigits) {
    return go(true, State::kExponent);
  }
  state_ = State::kAfterValue;
  return false;
}

bool JsonScanner::StepStructure(char c) {
  if (IsJsonSpace(c)) return true;
  const bool object = !open_.empty() && open_.back() == '{';
  switch (state_) {
    case State::kValue:
      return BeginValue(c);
    case State::kFirstItem:
      if (c != ']') return BeginValue(c);
      break;
    case State::kFirstKey:
    case State::kKey:
      if (c == '"') {
        in_key_ = true;
        state_ = State::kString;
        return true;
      }
      if (c != '}' || state_ == State::kKey) return false;
      break;
    case State::kColon:
      state_ = State::kValue;
      return c == ':';
    default:  // kAfterValue
      if (open_.empty()) return false;
      if (c == ',') {
        state_ = object ? State::kKey : State::kValue;
        return true;
      }
      if (c != (object ? '}' : ']')) return false;
  }
  open_.pop_back();
  state_ = State::kAfterValue;
  return true;
}

JsonScanner::Outcome JsonScanner::Step(char c) {
  key_just_ended_ = false;
  bool ok = true;
  switch (state_) {
    case State::kFailed:
      return Outcome::kFailed;
    case State::kString:
      ok = StepString(c);
      if (ok && state_ == State::kAfterValue && open_.empty()) return Outcome::kDone;
      break;
    case State::kEscape:
      state_ = c == 'u' ? State::kHex : State::kString;
      digits_ = 0;
      unit_ = 0;
      ok = c == 'u' || std::string_view("\"\\/bfnrt").find(c) != std::string_view::npos;
      break;
    case State::kHex:
      ok = StepHex(c);
      break;
    case State::kLowSurrogate:
      state_ = State::kLowSurrogateU;
      ok = c == '\\';
      break;
    case State::kLowSurrogateU:
      state_ = State::kHex;
      digits_ = 0;
      unit_ = 0;
      ok = c == 'u';
      break;
    case State::kWord:
      ok = c == word_.front();
      word_.remove_prefix(1);
      if (word_.empty()) state_ = State::kAfterValue;
      break;
    case State::kMinus:
    case State::kZero:
    case State::kInteger:
    case State::kDot:
    case State::kFraction:
    case State::kExponent:
    case State::kExponentSign:
    case State::kExponentDigits:
      if (StepNumber(c)) break;
      ok = state_ == State::kAfterValue;
      if (!ok) break;
      [[fallthrough]];
    default: {
      const bool open = !open_.empty();
      ok = StepStructure(c);
      if (ok && open && open_.empty()) return Outcome::kDone;
    }
  }
  if (ok) return Outcome::kMore;
  state_ = State::kFailed;
  return Outcome::kFailed;
}

bool JsonScanner::AtEnd() const {
  if (!open_.empty()) return false;
  return state_ == State::kAfterValue || state_ == State::kZero || state_ == State::kInteger ||
         state_ == State::kFraction || state_ == State::kExponentDigits;
}

bool IsJson(std::string_view text) { return IsJsonWithin(text, JsonScanner::kMaxDepth - 1); }

bool IsJsonObject(std::string_view text) {
  const size_t first = text.find_first_not_of(" \n\r\t");
  return first != std::string_view::npos && text[first] == '{' &&
         IsJsonWithin(text, JsonScanner::kMaxDepth);
}

std::string JsonQuoted(std::string_view text) {
  return nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

std::string JsonUnquoted(std::string_view json_string) {
  const nlohmann::json value = nlohmann::json::parse(json_string, nullptr, false);
  PELTON_CHECK(value.is_string(), "the text was checked to be a JSON string");
  return value.get<std::string>();
}

}  // namespace pelton
