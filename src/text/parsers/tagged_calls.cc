#include <array>

#include "text/parsers/call_reader.h"
#include "text/parsers/json_scanner.h"
#include "text/parsers/tool_types.h"

namespace pelton {
namespace {

constexpr size_t kMaxKeyBytes = 1024;

// Appends c to text; true once it ends with `end`, which is then cut off.
bool AppendUntil(std::string_view end, char c, std::string* text) {
  *text += c;
  if (c != end.back() || !text->ends_with(end)) return false;
  text->resize(text->size() - end.size());
  return true;
}

std::string_view Trimmed(std::string_view text) {
  const size_t first = text.find_first_not_of(" \n\r\t");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \n\r\t") + 1 - first);
}

// <tool_call>NAME (<arg_key>KEY</arg_key> <arg_value>VALUE</arg_value>)* </tool_call>, white space
// between them.
class GlmReader final : public CallReader {
 public:
  explicit GlmReader(const ToolTypes& types) : types_(types) {}

  void Begin(std::string_view) override {
    state_ = State::kName;
    name_.clear();
    arguments_.Clear();
  }

  Outcome Step(char c, std::vector<ParsedCall>* calls) override {
    switch (state_) {
      case State::kName:
        if (IsNameByte(c) && name_.size() < kMaxNameBytes) {
          name_ += c;
          return Outcome::kMore;
        }
        if (name_.empty()) return IsJsonSpace(c) ? Outcome::kMore : Outcome::kFailed;
        ExpectKey();
        [[fallthrough]];
      case State::kBeforeKey:
        return StepBeforeKey(c, calls);
      case State::kKey:
        if (AppendUntil("</arg_key>", c, &key_)) {
          state_ = State::kBeforeValue;
          choice_.Begin(kValue);
        }
        return key_.size() <= kMaxKeyBytes ? Outcome::kMore : Outcome::kFailed;
      case State::kBeforeValue:
        switch (choice_.Step(c)) {
          case Choice::kMore:
            return Outcome::kMore;
          case Choice::kNone:
            return Outcome::kFailed;
          default:
            state_ = State::kInValue;
            value_.clear();
            return Outcome::kMore;
        }
      case State::kInValue:
        break;
    }
    if (AppendUntil("</arg_value>", c, &value_)) {
      const std::string key(Trimmed(key_));
      arguments_.Add(key, types_.JsonValue(name_, key, value_));
      ExpectKey();
    }
    return Outcome::kMore;
  }

  void Finish(std::vector<ParsedCall>* calls) override {
    if (state_ != State::kBeforeKey || choice_.started() || arguments_.empty()) return;
    calls->push_back({.name = name_, .arguments = arguments_.Json()});
  }

 private:
  enum class State { kName, kBeforeKey, kKey, kBeforeValue, kInValue };
  static constexpr std::array<std::string_view, 2> kKeyOrEnd = {"<arg_key>", "</tool_call>"};
  static constexpr std::array<std::string_view, 1> kValue = {"<arg_value>"};

  void ExpectKey() {
    state_ = State::kBeforeKey;
    choice_.Begin(kKeyOrEnd);
  }

  Outcome StepBeforeKey(char c, std::vector<ParsedCall>* calls) {
    switch (choice_.Step(c)) {
      case Choice::kMore:
        return Outcome::kMore;
      case 0:
        state_ = State::kKey;
        key_.clear();
        return Outcome::kMore;
      case 1:
        calls->push_back({.name = name_, .arguments = arguments_.Json()});
        return Outcome::kEnd;
      default:
        return Outcome::kFailed;
    }
  }

  const ToolTypes& types_;
  State state_ = State::kName;
  Choice choice_;
  std::string name_, key_, value_;
  ArgumentList arguments_;
};

// <tool_call> <function=NAME> (<parameter=KEY>\nVALUE\n</parameter>)* </function> </tool_call>,
// white space between them; the outer tags may be missing.
class QwenCoderReader final : public CallReader {
 public:
  explicit QwenCoderReader(const ToolTypes& types) : types_(types) {}

  void Begin(std::string_view marker) override {
    if (marker == kFunction[0]) return BeginFunction();
    state_ = State::kBeforeFunction;
    choice_.Begin(kFunction);
  }

  Outcome Step(char c, std::vector<ParsedCall>* calls) override {
    switch (state_) {
      case State::kBeforeFunction:
        switch (choice_.Step(c)) {
          case Choice::kMore:
            return Outcome::kMore;
          case Choice::kNone:
            return Outcome::kFailed;
          default:
            BeginFunction();
            return Outcome::kMore;
        }
      case State::kName:
        if (c == '>' && !name_.empty()) {
          ExpectParameter();
        } else if (IsNameByte(c) && name_.size() < kMaxNameBytes) {
          name_ += c;
        } else {
          return Outcome::kFailed;
        }
        return Outcome::kMore;
      case State::kBeforeParameter:
        return StepBeforeParameter(c, calls);
      case State::kKey:
        if (c == '>' && !key_.empty()) {
          state_ = State::kInValue;
          value_.clear();
        } else if (c != '<' && c != '>' && key_.size() < kMaxKeyBytes) {
          key_ += c;
        } else {
          return Outcome::kFailed;
        }
        return Outcome::kMore;
      case State::kInValue:
        if (AppendUntil("</parameter>", c, &value_)) AddParameter();
        return Outcome::kMore;
      case State::kAfterFunction:
        break;
    }
    const int match = choice_.Step(c);
    return match == Choice::kMore   ? Outcome::kMore
           : match == Choice::kNone ? Outcome::kFailed
                                    : Outcome::kEnd;
  }

  void Finish(std::vector<ParsedCall>* calls) override {
    if (state_ != State::kBeforeParameter || choice_.started() || arguments_.empty()) return;
    calls->push_back({.name = name_, .arguments = arguments_.Json()});
  }

 private:
  enum class State { kBeforeFunction, kName, kBeforeParameter, kKey, kInValue, kAfterFunction };
  static constexpr std::array<std::string_view, 1> kFunction = {"<function="};
  static constexpr std::array<std::string_view, 2> kParameterOrEnd = {"<parameter=", "</function>"};
  static constexpr std::array<std::string_view, 1> kClosing = {"</tool_call>"};

  void BeginFunction() {
    state_ = State::kName;
    name_.clear();
    arguments_.Clear();
  }

  void ExpectParameter() {
    state_ = State::kBeforeParameter;
    choice_.Begin(kParameterOrEnd);
  }

  void AddParameter() {
    // One line break on each side belongs to the markup.
    std::string_view value = value_;
    if (value.starts_with('\n')) value.remove_prefix(1);
    if (value.ends_with('\n')) value.remove_suffix(1);
    const std::string key(Trimmed(key_));
    arguments_.Add(key, types_.JsonValue(name_, key, value));
    ExpectParameter();
  }

  Outcome StepBeforeParameter(char c, std::vector<ParsedCall>* calls) {
    switch (choice_.Step(c)) {
      case Choice::kMore:
        return Outcome::kMore;
      case 0:
        state_ = State::kKey;
        key_.clear();
        return Outcome::kMore;
      case 1:
        calls->push_back({.name = name_, .arguments = arguments_.Json()});
        state_ = State::kAfterFunction;
        choice_.Begin(kClosing);
        return Outcome::kTaken;
      default:
        return Outcome::kFailed;
    }
  }

  const ToolTypes& types_;
  State state_ = State::kBeforeFunction;
  Choice choice_;
  std::string name_, key_, value_;
  ArgumentList arguments_;
};

// DeepSeek-V3.2, and V4 with tool_calls for function_calls; white space between the elements:
//   <｜DSML｜function_calls> (<｜DSML｜invoke name="NAME"> PARAMETER* </｜DSML｜invoke>)+
//   </｜DSML｜function_calls>
// where PARAMETER is <｜DSML｜parameter name="KEY" string="true|false">VALUE</｜DSML｜parameter>.
// The outer tags may be missing. Unlike in XML nothing is escaped.
class DsmlReader final : public CallReader {
 public:
  void Begin(std::string_view marker) override {
    if (marker == kInvoke) return BeginCall();
    Expect(State::kSection, std::span(kInvokeOrEnd).first(1));
  }

  Outcome Step(char c, std::vector<ParsedCall>* calls) override {
    switch (state_) {
      case State::kName:
        if (IsNameByte(c) && name_.size() < kMaxNameBytes) {
          name_ += c;
          return Outcome::kMore;
        }
        if (c != '"' || name_.empty()) return Outcome::kFailed;
        Expect(State::kNameEnd, kNameEnd);
        return Outcome::kMore;
      case State::kKey:
        if (c == '<' || c == '>' || key_.size() >= kMaxKeyBytes) return Outcome::kFailed;
        if (AppendUntil("\" string=\"", c, &key_)) Expect(State::kType, kTypes);
        return Outcome::kMore;
      case State::kValue:
        if (AppendUntil("</｜DSML｜parameter>", c, &value_)) AddParameter();
        return Outcome::kMore;
      case State::kSection:
      case State::kNameEnd:
      case State::kBeforeParameter:
      case State::kType:
      case State::kAfterCall:
        break;
    }
    const int match = choice_.Step(c);
    if (match == Choice::kMore) return Outcome::kMore;
    return match == Choice::kNone ? Outcome::kFailed : Act(match, calls);
  }

  void Finish(std::vector<ParsedCall>* calls) override {
    if (state_ != State::kBeforeParameter || choice_.started() || arguments_.empty()) return;
    calls->push_back({.name = name_, .arguments = arguments_.Json()});
  }

 private:
  enum class State {
    kSection,
    kName,
    kNameEnd,
    kBeforeParameter,
    kKey,
    kType,
    kValue,
    kAfterCall,
  };
  static constexpr std::string_view kInvoke = "<｜DSML｜invoke name=\"";
  static constexpr std::array<std::string_view, 3> kInvokeOrEnd = {
      kInvoke, "</｜DSML｜function_calls>", "</｜DSML｜tool_calls>"};
  static constexpr std::array<std::string_view, 1> kNameEnd = {">"};
  static constexpr std::array<std::string_view, 2> kParameterOrEnd = {"<｜DSML｜parameter name=\"",
                                                                      "</｜DSML｜invoke>"};
  static constexpr std::array<std::string_view, 2> kTypes = {"true\">", "false\">"};

  void Expect(State state, std::span<const std::string_view> texts) {
    state_ = state;
    choice_.Begin(texts);
  }

  void BeginCall() {
    state_ = State::kName;
    name_.clear();
    arguments_.Clear();
  }

  // The choice of the state was made.
  Outcome Act(int match, std::vector<ParsedCall>* calls) {
    switch (state_) {
      case State::kNameEnd:
        Expect(State::kBeforeParameter, kParameterOrEnd);
        return Outcome::kMore;
      case State::kBeforeParameter:
        if (match == 0) {
          state_ = State::kKey;
          key_.clear();
          return Outcome::kMore;
        }
        calls->push_back({.name = name_, .arguments = arguments_.Json()});
        Expect(State::kAfterCall, kInvokeOrEnd);
        return Outcome::kTaken;
      case State::kType:
        is_text_ = match == 0;
        state_ = State::kValue;
        value_.clear();
        return Outcome::kMore;
      default:
        if (match > 0) return Outcome::kEnd;
        BeginCall();
        return Outcome::kMore;
    }
  }

  // What is said to be no text has to be JSON; else it is text all the same.
  void AddParameter() {
    const std::string_view json = Trimmed(value_);
    arguments_.Add(key_, !is_text_ && IsJson(json) ? std::string(json) : JsonQuoted(value_));
    Expect(State::kBeforeParameter, kParameterOrEnd);
  }

  State state_ = State::kSection;
  Choice choice_;
  bool is_text_ = true;
  std::string name_, key_, value_;
  ArgumentList arguments_;
};

}  // namespace

std::unique_ptr<CallReader> MakeDsmlReader() { return std::make_unique<DsmlReader>(); }

std::unique_ptr<CallReader> MakeGlmReader(const ToolTypes& types) {
  return std::make_unique<GlmReader>(types);
}

std::unique_ptr<CallReader> MakeQwenCoderReader(const ToolTypes& types) {
  return std::make_unique<QwenCoderReader>(types);
}

}  // namespace pelton
