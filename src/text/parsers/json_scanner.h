#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace pelton {

// Checks one JSON value (RFC 8259), byte by byte. Strings must be UTF-8 and surrogates come in
// pairs, so that every reader accepts what this one accepts. No recursion: at most kMaxDepth
// containers may be open.
class JsonScanner {
 public:
  static constexpr size_t kMaxDepth = 256;

  enum class Outcome {
    kMore,
    kDone,    // the byte ends the value: a bracket or a quote
    kFailed,  // no JSON value begins like this
  };

  explicit JsonScanner(size_t max_depth = kMaxDepth) : max_depth_(max_depth) {}

  // Numbers and words at the top level have no last byte of their own: AtEnd() tells whether they
  // are complete.
  Outcome Step(char c);
  bool AtEnd() const;

  size_t depth() const { return open_.size(); }
  // The byte before was the closing quote of an object's key.
  bool key_ended() const { return state_ == State::kColon && key_just_ended_; }

 private:
  enum class State : uint8_t {
    kValue,       // a value must follow
    kFirstKey,    // after {: a key or }
    kKey,         // after a comma in an object
    kColon,       // after a key
    kFirstItem,   // after [: a value or ]
    kAfterValue,  // a comma or a closing bracket, or the end at depth 0
    kString,
    kEscape,
    kHex,            // digits of \uXXXX
    kLowSurrogate,   // the backslash of a low surrogate must follow
    kLowSurrogateU,  // its u
    kWord,           // true, false, null
    kMinus,
    kZero,
    kInteger,
    kDot,
    kFraction,
    kExponent,
    kExponentSign,
    kExponentDigits,
    kFailed,
  };

  bool BeginValue(char c);
  bool StepString(char c);
  bool StepHex(char c);
  bool StepUtf8(uint8_t byte);
  // True if the number goes on with c; else the state is kAfterValue or kFailed.
  bool StepNumber(char c);
  bool StepStructure(char c);

  size_t max_depth_;
  State state_ = State::kValue;
  bool in_key_ = false;
  bool key_just_ended_ = false;
  bool low_surrogate_ = false;                  // the escape being read must be a low surrogate
  uint8_t digits_ = 0;                          // read of \uXXXX
  uint32_t unit_ = 0;                           // its value
  uint8_t utf8_left_ = 0;                       // continuation bytes that must follow
  uint8_t utf8_low_ = 0x80, utf8_high_ = 0xBF;  // range of the next one
  std::string_view word_;                       // what must follow of true, false or null
  std::string open_;                            // the open brackets
};

// Is the text, with white space around it, one JSON value that can be a member of an object?
bool IsJson(std::string_view text);
// Is the text, with white space around it, one JSON object?
bool IsJsonObject(std::string_view text);

inline bool IsJsonSpace(char c) { return c == ' ' || c == '\n' || c == '\r' || c == '\t'; }

// `text` as a JSON string with quotes. Bytes that are not UTF-8 become U+FFFD.
std::string JsonQuoted(std::string_view text);
// The text of a valid JSON string with quotes.
std::string JsonUnquoted(std::string_view json_string);

}  // namespace pelton
