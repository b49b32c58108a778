#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace pelton {

// Turns one literal of Python into JSON, byte by byte: strings without prefix, numbers as JSON
// writes them, True, False, None (and JSON's words), lists, and dicts with strings as keys; nothing
// that would have to be evaluated. No recursion: at most kMaxDepth containers may be open.
class PythonLiteral {
 public:
  static constexpr size_t kMaxDepth = 256;

  enum class Outcome {
    kMore,
    kDone,        // the byte ends the literal
    kDoneBefore,  // the literal ended before this byte, which is not part of it
    kFailed,
  };

  Outcome Step(char c);
  // Of the literal when it is done. Bytes that are not UTF-8 are kept as they are.
  const std::string& json() const { return json_; }

 private:
  enum class State : uint8_t {
    kValue,
    kItemOrEnd,  // in a list or dict: an item or the closing bracket
    kAfterItem,  // a comma or the closing bracket
    kColon,
    kString,
    kEscape,
    kDigits,  // of \x, \u, \U
    kOctal,
    kToken,  // a number or a word
  };

  Outcome StepStructure(char c);
  Outcome BeginValue(char c);
  Outcome StepString(char c);
  Outcome StepEscape(char c);
  Outcome Close(char c);
  bool EndToken();
  void EndValue();
  bool AppendCodePoint(uint32_t code_point);
  void AppendByte(char c);

  State state_ = State::kValue;
  bool comma_ = false;   // before the next item
  bool is_key_ = false;  // the string being read is a key
  char quote_ = 0;
  int digits_left_ = 0;
  uint32_t code_point_ = 0;
  std::string token_;
  std::string open_;  // the open brackets
  std::string json_;
};

}  // namespace pelton
