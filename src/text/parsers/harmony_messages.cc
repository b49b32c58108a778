#include <array>

#include "text/parsers/call_reader.h"
#include "text/parsers/json_scanner.h"

namespace pelton {
namespace {

// Headers name a role, a channel, a recipient and a format; longer ones are text.
constexpr size_t kMaxHeaderBytes = 512;

// The messages of gpt-oss ("harmony"):
//   <|start|>assistant to=RECIPIENT<|channel|>CHANNEL to=RECIPIENT <|constrain|>json<|message|>BODY
// The first message has no start. A message to a recipient is a call, whatever its channel; its
// body is the arguments. Otherwise the channel says what the body is.
class HarmonyReader final : public CallReader {
 public:
  explicit HarmonyReader(bool has_tools) : has_tools_(has_tools) {}

  void Begin(std::string_view marker) override {
    state_ = State::kHeader;
    header_ = marker;
  }

  Outcome Step(char c, std::vector<ParsedCall>* calls) override {
    switch (state_) {
      case State::kHeader:
        return StepHeader(c);
      case State::kBody:
        if (IsJsonSpace(c)) return Outcome::kMore;
        if (c != '{') return Outcome::kFailed;
        state_ = State::kArguments;
        scanner_ = JsonScanner();
        scanner_.Step(c);
        call_.arguments = c;
        return Outcome::kMore;
      case State::kArguments: {
        const JsonScanner::Outcome outcome = scanner_.Step(c);
        if (outcome == JsonScanner::Outcome::kFailed) return Outcome::kFailed;
        call_.arguments += c;
        if (outcome == JsonScanner::Outcome::kMore) return Outcome::kMore;
        calls->push_back(std::move(call_));
        state_ = State::kClosing;
        closing_.Begin(kClosing);
        return Outcome::kTaken;
      }
      case State::kClosing:
        break;
    }
    const int match = closing_.Step(c);
    return match == Choice::kMore   ? Outcome::kMore
           : match == Choice::kNone ? Outcome::kFailed
                                    : Outcome::kEnd;
  }

 private:
  enum class State { kHeader, kBody, kArguments, kClosing };
  static constexpr std::string_view kMessage = "<|message|>";
  static constexpr std::string_view kChannel = "<|channel|>";
  static constexpr std::array<std::string_view, 3> kClosing = {"<|call|>", "<|end|>", "<|return|>"};

  Outcome StepHeader(char c) {
    header_ += c;
    if (header_.size() > kMaxHeaderBytes) return Outcome::kFailed;
    if (c != '>') return Outcome::kMore;
    // Another token that begins or ends a message: this header was none.
    for (const std::string_view token : {"<|start|>", "<|end|>", "<|return|>", "<|call|>"}) {
      if (header_.ends_with(token)) return Outcome::kFailed;
    }
    return header_.ends_with(kMessage) ? EndHeader() : Outcome::kMore;
  }

  // The word that follows `key`, up to white space or the next token.
  std::string_view WordAfter(std::string_view key) const {
    const std::string_view header = header_;
    const size_t at = header.rfind(key);
    if (at == std::string_view::npos) return {};
    const std::string_view rest = header.substr(at + key.size());
    return rest.substr(0, rest.find_first_of(" \n\r\t<"));
  }

  Outcome EndHeader() {
    std::string_view recipient = WordAfter(" to=");
    constexpr std::string_view kFunctions = "functions.";
    if (recipient.starts_with(kFunctions)) recipient.remove_prefix(kFunctions.size());
    if (recipient.empty()) {
      return WordAfter(kChannel) == "analysis" ? Outcome::kReasoning : Outcome::kContent;
    }
    if (!has_tools_) return Outcome::kFailed;
    call_ = {.name = std::string(recipient)};
    state_ = State::kBody;
    return Outcome::kMore;
  }

  const bool has_tools_;
  State state_ = State::kHeader;
  std::string header_;
  ParsedCall call_;
  JsonScanner scanner_;
  Choice closing_;
};

}  // namespace

std::unique_ptr<CallReader> MakeHarmonyReader(bool has_tools) {
  return std::make_unique<HarmonyReader>(has_tools);
}

}  // namespace pelton
