#include <array>

#include "text/parsers/call_reader.h"
#include "text/parsers/json_scanner.h"
#include "text/parsers/python_literal.h"
#include "text/parsers/tool_types.h"

namespace pelton {
namespace {

// A list of Python calls with keyword arguments. The calls are certain with the closing bracket: a
// list that goes on otherwise is an answer that happens to begin like calls.
class PythonicReader final : public CallReader {
 public:
  void Begin(std::string_view) override {
    state_ = State::kOpen;
    ready_.clear();
  }

  Outcome Step(char c, std::vector<ParsedCall>* calls) override {
    switch (state_) {
      case State::kValue:
        return StepValue(c);
      case State::kClosing: {
        const int match = closing_.Step(c);
        return match == Choice::kMore   ? Outcome::kMore
               : match == Choice::kNone ? Outcome::kFailed
                                        : Outcome::kEnd;
      }
      case State::kName:
        if (IsWordByte(c)) return AppendTo(&name_, c);
        state_ = State::kParenthesis;
        break;
      case State::kKey:
        if (IsWordByte(c)) return AppendTo(&key_, c);
        state_ = State::kEquals;
        break;
      default:
        break;
    }
    if (IsJsonSpace(c)) return Outcome::kMore;
    switch (state_) {
      case State::kOpen:
        return Expect(c, '[', State::kCall);
      case State::kCall:
        if (!IsWordByte(c)) return Outcome::kFailed;
        name_ = c;
        arguments_.Clear();
        state_ = State::kName;
        return Outcome::kMore;
      case State::kParenthesis:
        return Expect(c, '(', State::kArgument);
      case State::kArgument:
        if (c == ')') return EndCall();
        if (!IsWordByte(c)) return Outcome::kFailed;
        key_ = c;
        state_ = State::kKey;
        return Outcome::kMore;
      case State::kEquals:
        literal_ = {};
        return Expect(c, '=', State::kValue);
      case State::kAfterArgument:
        return c == ')' ? EndCall() : Expect(c, ',', State::kArgument);
      default:  // kAfterCall
        if (c != ']') return Expect(c, ',', State::kCall);
        TakeCalls(calls);
        state_ = State::kClosing;
        closing_.Begin(kClosing);
        return Outcome::kTaken;
    }
  }

  void Finish(std::vector<ParsedCall>* calls) override {
    if (state_ == State::kAfterCall) TakeCalls(calls);
  }

 private:
  enum class State {
    kOpen,
    kCall,
    kName,
    kParenthesis,
    kArgument,
    kKey,
    kEquals,
    kValue,
    kAfterArgument,
    kAfterCall,
    kClosing,
  };
  static constexpr std::array<std::string_view, 1> kClosing = {"<|python_end|>"};

  static bool IsWordByte(char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
           c == '.' || c == '-';
  }

  static Outcome AppendTo(std::string* word, char c) {
    *word += c;
    return word->size() <= kMaxNameBytes ? Outcome::kMore : Outcome::kFailed;
  }

  Outcome Expect(char c, char expected, State next) {
    state_ = next;
    return c == expected ? Outcome::kMore : Outcome::kFailed;
  }

  Outcome StepValue(char c) {
    const PythonLiteral::Outcome outcome = literal_.Step(c);
    if (outcome == PythonLiteral::Outcome::kMore) return Outcome::kMore;
    // The scanner also refuses strings that are not UTF-8.
    if (outcome == PythonLiteral::Outcome::kFailed || !IsJson(literal_.json())) {
      return Outcome::kFailed;
    }
    arguments_.Add(key_, literal_.json());
    state_ = State::kAfterArgument;
    if (outcome == PythonLiteral::Outcome::kDone || IsJsonSpace(c)) return Outcome::kMore;
    return c == ')' ? EndCall() : Expect(c, ',', State::kArgument);
  }

  Outcome EndCall() {
    ready_.push_back({.name = name_, .arguments = arguments_.Json()});
    state_ = State::kAfterCall;
    return Outcome::kMore;
  }

  void TakeCalls(std::vector<ParsedCall>* calls) {
    for (ParsedCall& call : ready_) calls->push_back(std::move(call));
    ready_.clear();
  }

  State state_ = State::kOpen;
  Choice closing_;
  PythonLiteral literal_;
  std::string name_, key_;
  ArgumentList arguments_;
  std::vector<ParsedCall> ready_;
};

}  // namespace

std::unique_ptr<CallReader> MakePythonicReader() { return std::make_unique<PythonicReader>(); }

}  // namespace pelton
