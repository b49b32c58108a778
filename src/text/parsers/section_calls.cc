#include <array>

#include "text/parsers/call_reader.h"
#include "text/parsers/json_scanner.h"

namespace pelton {
namespace {

// Sections of calls between special tokens:
//   section begin (call begin HEAD separator BODY call end)* section end
// Kimi:            HEAD is functions.NAME:INDEX, BODY the arguments.
// DeepSeek V3.1:   HEAD is the name, BODY the arguments.
// DeepSeek V3, R1: HEAD is "function", BODY is NAME "\n```json\n" arguments "\n```".
struct SectionForm {
  std::string_view call_begin, separator, call_end, section_end;
  bool kimi;
};

constexpr SectionForm kDeepSeekForm = {
    .call_begin = "<｜tool▁call▁begin｜>",
    .separator = "<｜tool▁sep｜>",
    .call_end = "<｜tool▁call▁end｜>",
    .section_end = "<｜tool▁calls▁end｜>",
    .kimi = false,
};

constexpr SectionForm kKimiForm = {
    .call_begin = "<|tool_call_begin|>",
    .separator = "<|tool_call_argument_begin|>",
    .call_end = "<|tool_call_end|>",
    .section_end = "<|tool_calls_section_end|>",
    .kimi = true,
};

// "functions.get_weather:0" gives "get_weather".
std::string NameOfKimiId(std::string_view id) {
  constexpr std::string_view kPrefix = "functions.";
  if (id.starts_with(kPrefix)) id.remove_prefix(kPrefix.size());
  const size_t colon = id.rfind(':');
  if (colon != std::string_view::npos && colon + 1 < id.size() &&
      id.find_first_not_of("0123456789", colon + 1) == std::string_view::npos) {
    id = id.substr(0, colon);
  }
  return std::string(id);
}

class SectionReader final : public CallReader {
 public:
  explicit SectionReader(const SectionForm& form)
      : form_(form),
        begin_({form.call_begin}),
        separator_({form.separator}),
        after_({"```", form.call_end, form.call_begin, form.section_end}) {}

  void Begin(std::string_view marker) override {
    if (marker == form_.call_begin) return BeginCall();
    Expect(State::kSection, begin_);
  }

  Outcome Step(char c, std::vector<ParsedCall>* calls) override {
    switch (state_) {
      case State::kSection:
        return Match(c, [this](int) { BeginCall(); });
      case State::kHead:
        if (IsNameByte(c) && head_.size() < kMaxNameBytes) {
          head_ += c;
          return Outcome::kMore;
        }
        if (head_.empty()) return IsJsonSpace(c) ? Outcome::kMore : Outcome::kFailed;
        Expect(State::kSeparator, separator_);
        [[fallthrough]];
      case State::kSeparator:
        return Match(c, [this](int) { state_ = State::kBody; });
      case State::kBody:
        if (IsJsonSpace(c)) return Outcome::kMore;
        if (c == '{') return BeginArguments(c);
        if (form_.kimi) return Outcome::kFailed;
        state_ = State::kName;
        name_.clear();
        [[fallthrough]];
      case State::kName:
        if (IsNameByte(c) && name_.size() < kMaxNameBytes) {
          name_ += c;
          return Outcome::kMore;
        }
        if (name_.empty()) return Outcome::kFailed;
        Expect(State::kFence, kFence);
        [[fallthrough]];
      case State::kFence:
        return Match(c, [this](int) { state_ = State::kBeforeArguments; });
      case State::kBeforeArguments:
        if (IsJsonSpace(c)) return Outcome::kMore;
        return c == '{' ? BeginArguments(c) : Outcome::kFailed;
      case State::kArguments:
        return StepArguments(c, calls);
      case State::kAfterArguments:
        break;
    }
    const int match = choice_.Step(c);
    if (match == Choice::kMore) return Outcome::kMore;
    if (match == Choice::kNone) return Outcome::kFailed;
    if (after_[static_cast<size_t>(match)] == form_.section_end) return Outcome::kEnd;
    if (after_[static_cast<size_t>(match)] == form_.call_begin) {
      BeginCall();
      return Outcome::kMore;
    }
    choice_.Begin(after_);
    return Outcome::kTaken;
  }

 private:
  enum class State {
    kSection,
    kHead,
    kSeparator,
    kBody,
    kName,
    kFence,
    kBeforeArguments,
    kArguments,
    kAfterArguments,
  };
  static constexpr std::array<std::string_view, 1> kFence = {"```json"};

  void Expect(State state, std::span<const std::string_view> texts) {
    state_ = state;
    choice_.Begin(texts);
  }

  template <typename Matched>
  Outcome Match(char c, Matched matched) {
    const int match = choice_.Step(c);
    if (match == Choice::kNone) return Outcome::kFailed;
    if (match != Choice::kMore) matched(match);
    return Outcome::kMore;
  }

  void BeginCall() {
    state_ = State::kHead;
    head_.clear();
    name_.clear();
  }

  Outcome BeginArguments(char c) {
    state_ = State::kArguments;
    scanner_ = JsonScanner();
    scanner_.Step(c);
    arguments_ = c;
    return Outcome::kMore;
  }

  Outcome StepArguments(char c, std::vector<ParsedCall>* calls) {
    const JsonScanner::Outcome outcome = scanner_.Step(c);
    if (outcome == JsonScanner::Outcome::kFailed) return Outcome::kFailed;
    arguments_ += c;
    if (outcome == JsonScanner::Outcome::kMore) return Outcome::kMore;
    ParsedCall call{.arguments = std::move(arguments_)};
    if (form_.kimi) {
      // An index makes it an identity; a bare name would not be one of a kind.
      if (head_.find(':') != std::string::npos) call.id = head_;
      call.name = NameOfKimiId(head_);
    } else {
      call.name = name_.empty() ? head_ : name_;
    }
    if (call.name.empty()) return Outcome::kFailed;
    calls->push_back(std::move(call));
    Expect(State::kAfterArguments, after_);
    return Outcome::kTaken;
  }

  const SectionForm form_;
  const std::array<std::string_view, 1> begin_, separator_;
  const std::array<std::string_view, 4> after_;
  State state_ = State::kSection;
  Choice choice_;
  std::string head_, name_, arguments_;
  JsonScanner scanner_;
};

}  // namespace

std::unique_ptr<CallReader> MakeDeepSeekReader() {
  return std::make_unique<SectionReader>(kDeepSeekForm);
}

std::unique_ptr<CallReader> MakeKimiReader() { return std::make_unique<SectionReader>(kKimiForm); }

}  // namespace pelton
