#include <array>

#include "text/parsers/call_reader.h"
#include "text/parsers/json_scanner.h"

namespace pelton {
namespace {

// Objects with a name and arguments, alone, in an array, or after each other.
class JsonCallsReader final : public CallReader {
 public:
  explicit JsonCallsReader(const JsonCallsForm& form) : form_(form) {}

  void Begin(std::string_view marker) override {
    state_ = State::kOpen;
    in_array_ = false;
    bare_ = marker == "{" || marker == "[";
  }

  Outcome Step(char c, std::vector<ParsedCall>* calls) override {
    switch (state_) {
      case State::kOpen:
        if (IsJsonSpace(c)) return Outcome::kMore;
        if (c == '[' && !in_array_) {
          in_array_ = true;
          return Outcome::kMore;
        }
        return BeginObject(c);
      case State::kObject:
        return StepObject(c, calls);
      case State::kAfterItem:
        if (IsJsonSpace(c)) return Outcome::kMore;
        if (c == ',') {
          state_ = State::kOpen;
          return Outcome::kMore;
        }
        if (c != ']') return Outcome::kFailed;
        return AfterCalls();
      case State::kSeparator:
        if (IsJsonSpace(c)) return Outcome::kMore;
        if (c != ';') return Outcome::kFailed;
        state_ = State::kOpen;
        return Outcome::kMore;
      case State::kClosing:
        break;
    }
    const int match = closing_.Step(c);
    return match == Choice::kMore   ? Outcome::kMore
           : match == Choice::kNone ? Outcome::kFailed
                                    : Outcome::kEnd;
  }

 private:
  enum class State { kOpen, kObject, kAfterItem, kSeparator, kClosing };

  Outcome BeginObject(char c) {
    if (c != '{') return Outcome::kFailed;
    state_ = State::kObject;
    scanner_ = JsonScanner();
    object_ = c;
    scanner_.Step(c);
    return Outcome::kMore;
  }

  Outcome StepObject(char c, std::vector<ParsedCall>* calls) {
    const JsonScanner::Outcome outcome = scanner_.Step(c);
    if (outcome == JsonScanner::Outcome::kFailed) return Outcome::kFailed;
    object_ += c;
    if (bare_ && scanner_.depth() == 1 && scanner_.key_ended() && !IsKeyOfCall()) {
      return Outcome::kFailed;
    }
    if (outcome == JsonScanner::Outcome::kMore) return Outcome::kMore;
    std::optional<ParsedCall> call = CallFromJson(object_, bare_);
    if (!call) return Outcome::kFailed;
    calls->push_back(*std::move(call));
    if (!in_array_) return AfterCalls();
    state_ = State::kAfterItem;
    return Outcome::kTaken;
  }

  // Without a marker, an object with other keys is an answer in JSON; it need not be held back.
  bool IsKeyOfCall() const {
    const size_t start = object_.rfind('"', object_.size() - 2);
    const std::string_view key =
        std::string_view(object_).substr(start + 1, object_.size() - start - 2);
    return key == "name" || key == "parameters" || key == "arguments" || key == "type" ||
           key == "id";
  }

  Outcome AfterCalls() {
    in_array_ = false;
    if (form_.separated) {
      state_ = State::kSeparator;
    } else if (!form_.closing.empty()) {
      state_ = State::kClosing;
      closing_.Begin(std::span(&form_.closing, 1));
    } else {
      return Outcome::kEnd;
    }
    return Outcome::kTaken;
  }

  const JsonCallsForm form_;
  State state_ = State::kOpen;
  bool in_array_ = false;
  bool bare_ = false;
  JsonScanner scanner_;
  std::string object_;
  Choice closing_;
};

// Mistral's [TOOL_CALLS]: an array of objects in old templates, later one name and one object of
// arguments for each marker.
class MistralReader final : public CallReader {
 public:
  void Begin(std::string_view marker) override {
    state_ = State::kOpen;
    call_ = {};
    array_.Begin(marker);
  }

  Outcome Step(char c, std::vector<ParsedCall>* calls) override {
    switch (state_) {
      case State::kOpen:
        if (IsJsonSpace(c)) return Outcome::kMore;
        if (c == '[' || c == '{') {
          state_ = State::kArray;
          return array_.Step(c, calls);
        }
        state_ = State::kName;
        [[fallthrough]];
      case State::kName:
        if (IsNameByte(c) && call_.name.size() < kMaxNameBytes) {
          call_.name += c;
          return Outcome::kMore;
        }
        return call_.name.empty() ? Outcome::kFailed : AfterWord(c, kAfterName);
      case State::kId:
        if (IsNameByte(c) && call_.id.size() < kMaxNameBytes) {
          call_.id += c;
          return Outcome::kMore;
        }
        return call_.id.empty() ? Outcome::kFailed : AfterWord(c, kAfterId);
      case State::kMarker:
        switch (marker_.Step(c)) {
          case Choice::kMore:
            return Outcome::kMore;
          case 0:
            state_ = State::kBeforeArguments;
            return Outcome::kMore;
          case 1:
            state_ = State::kId;
            return Outcome::kMore;
          default:
            return Outcome::kFailed;
        }
      case State::kBeforeArguments:
        if (IsJsonSpace(c)) return Outcome::kMore;
        return c == '{' ? BeginArguments(c) : Outcome::kFailed;
      case State::kArguments:
        return StepArguments(c, calls);
      case State::kArray:
        return array_.Step(c, calls);
    }
    return Outcome::kFailed;
  }

 private:
  enum class State { kOpen, kName, kMarker, kId, kBeforeArguments, kArguments, kArray };
  static constexpr std::array<std::string_view, 2> kAfterName = {"[ARGS]", "[CALL_ID]"};
  static constexpr std::array<std::string_view, 1> kAfterId = {"[ARGS]"};

  Outcome AfterWord(char c, std::span<const std::string_view> markers) {
    if (c == '{') return BeginArguments(c);
    if (c != '[' && !IsJsonSpace(c)) return Outcome::kFailed;
    if (IsJsonSpace(c)) {
      state_ = State::kBeforeArguments;
      return Outcome::kMore;
    }
    state_ = State::kMarker;
    marker_.Begin(markers);
    return marker_.Step(c) == Choice::kMore ? Outcome::kMore : Outcome::kFailed;
  }

  Outcome BeginArguments(char c) {
    state_ = State::kArguments;
    scanner_ = JsonScanner();
    scanner_.Step(c);
    call_.arguments = c;
    return Outcome::kMore;
  }

  Outcome StepArguments(char c, std::vector<ParsedCall>* calls) {
    const JsonScanner::Outcome outcome = scanner_.Step(c);
    if (outcome == JsonScanner::Outcome::kFailed) return Outcome::kFailed;
    call_.arguments += c;
    if (outcome == JsonScanner::Outcome::kMore) return Outcome::kMore;
    calls->push_back(std::move(call_));
    return Outcome::kEnd;
  }

  State state_ = State::kOpen;
  ParsedCall call_;
  JsonScanner scanner_;
  Choice marker_;
  JsonCallsReader array_{JsonCallsForm{}};
};

}  // namespace

std::unique_ptr<CallReader> MakeJsonCallsReader(const JsonCallsForm& form) {
  return std::make_unique<JsonCallsReader>(form);
}

std::unique_ptr<CallReader> MakeMistralReader() { return std::make_unique<MistralReader>(); }

}  // namespace pelton
