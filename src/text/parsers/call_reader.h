#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace pelton {

class ToolTypes;

struct ParsedCall {
  std::string id;
  std::string name;
  std::string arguments;  // one JSON object
};

// Reads what follows a marker that can open a call, one byte at a time. The engine keeps the bytes
// that the reader has looked at; if they turn out to be no call, they are text again.
class CallReader {
 public:
  enum class Outcome {
    kMore,       // could still become a call
    kTaken,      // certain up to and with this byte: it will never be text; more may follow
    kEnd,        // the same, and the markup is over
    kFailed,     // with this byte it is no markup (it may follow on some that was taken)
    kContent,    // harmony: what follows is content, up to the end of the message
    kReasoning,  // harmony: what follows is reasoning
  };

  virtual ~CallReader() = default;
  // Starts anew after `marker`, one of the family's.
  virtual void Begin(std::string_view marker) = 0;
  // Appends the calls that the byte completes; the outcome is then kTaken or kEnd.
  virtual Outcome Step(char c, std::vector<ParsedCall>* calls) = 0;
  // The text is over. Appends the calls that only lack their closing markup.
  virtual void Finish(std::vector<ParsedCall>* calls) { (void)calls; }
};

// Skips white space, then matches one of a few texts, none of which begins another.
class Choice {
 public:
  static constexpr int kMore = -1;
  static constexpr int kNone = -2;

  // Borrows the texts.
  void Begin(std::span<const std::string_view> texts) {
    texts_ = texts;
    length_ = 0;
    first_ = 0;
  }
  // The number of the text that c completes, kMore or kNone.
  int Step(char c);
  bool started() const { return length_ > 0; }

 private:
  std::span<const std::string_view> texts_;
  size_t first_ = 0;   // the first text that has the bytes so far
  size_t length_ = 0;  // bytes so far
};

// Byte of a function's name: letters, digits, most punctuation; no space, bracket or quote.
bool IsNameByte(char c);
constexpr size_t kMaxNameBytes = 256;

// The readers' constructors. `types` outlives them.
struct JsonCallsForm {
  std::string_view closing;    // may follow a call: "</tool_call>"; empty: none
  bool separated = false;      // further calls may follow after "; "
  std::string_view bare = "";  // markers that belong to the call themselves: "{" and "["
};
// {"name": …, "arguments": {…}}, or an array of such.
std::unique_ptr<CallReader> MakeJsonCallsReader(const JsonCallsForm& form);
// [{"name": …}], name{…}, name[ARGS]{…}, name[CALL_ID]id[ARGS]{…}.
std::unique_ptr<CallReader> MakeMistralReader();
std::unique_ptr<CallReader> MakeDeepSeekReader();
std::unique_ptr<CallReader> MakeKimiReader();
// DeepSeek-V3.2 and V4.
std::unique_ptr<CallReader> MakeDsmlReader();
std::unique_ptr<CallReader> MakeGlmReader(const ToolTypes& types);
std::unique_ptr<CallReader> MakeQwenCoderReader(const ToolTypes& types);
// [f(a='x', b=[1, None]), g()].
std::unique_ptr<CallReader> MakePythonicReader();
// The headers of gpt-oss's messages, and the calls. Without tools a call is no call.
std::unique_ptr<CallReader> MakeHarmonyReader(bool has_tools);

// The call that a JSON object with a name and arguments (or parameters) describes, if it does.
// `need_arguments`: without them it is no call. Requires: valid JSON.
std::optional<ParsedCall> CallFromJson(std::string_view object, bool need_arguments);

}  // namespace pelton
