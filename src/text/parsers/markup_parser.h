#pragma once

#include <array>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "text/parsers/call_reader.h"
#include "text/parsers/output_parser.h"
#include "text/parsers/tool_types.h"

namespace pelton {

// What the engine must know of a family. All texts are static.
struct MarkupForm {
  std::string_view reasoning_begin, reasoning_end;  // empty: messages have no such marker
  std::span<const std::string_view> openers;        // hand over to the reader, wherever they are
  std::span<const std::string_view> bare;  // ... only where the message begins or a call ended
  std::span<const std::string_view> message_ends;  // end a message that the reader opened
  bool opens_messages = false;                     // the reader is needed without tools, too
};

// The engine that all families share. The text is a row of stretches, each with its own markers;
// what could become a marker is held back, and a marker leads to another stretch or to the family's
// reader. It sees one byte at a time, so chunks cannot matter.
//
// Linear time: when a reader fails, all but the last bytes that it saw, fewer than the longest
// marker has, are text for good, so no byte is looked at again more often than that.
class MarkupParser final : public OutputParser {
 public:
  // The reader may refer to the types.
  MarkupParser(const MarkupForm& form, bool has_tools, bool reasoning_open,
               std::unique_ptr<const ToolTypes> types, std::unique_ptr<CallReader> reader);

  void Feed(std::string_view text, OutputDelta* out) override;
  void Finish(OutputDelta* out) override;

 private:
  enum Stretch {
    kFresh,    // content, but nothing yet: a bare call or reasoning may begin
    kContent,  // outside of messages
    kMessage,  // content, in a message that has an end
    kOpened,   // reasoning that the prompt opened, nothing yet
    kReasoning,
    kNumStretches,
  };
  enum class FreshBecause { kMessageStart, kReasoningEnded, kMarkupEnded };
  enum class Action { kRead, kReason, kEndReasoning, kEndMessage };
  struct Marker {
    std::string_view text;
    Action action;
  };

  void AddMarkers(Stretch stretch, std::span<const std::string_view> texts, Action action);
  void Step(char c);
  void StepText(char c);
  void StepMarkup(char c);
  void Act(const Marker& marker);
  void Fail(char c);
  void FinishMarkup();
  void EnterFresh(FreshBecause because);
  void EnterReasoning(Stretch stretch);
  void LeaveFresh();
  void EmitText(std::string_view text);
  void EmitReasoning(std::string_view text);
  void EmitCalls();
  // Looks at `text` again before what follows.
  void Requeue(std::string_view text);

  const std::unique_ptr<const ToolTypes> types_;
  const std::unique_ptr<CallReader> reader_;  // null: no markup is read
  std::array<std::vector<Marker>, kNumStretches> markers_;
  std::array<std::string, kNumStretches> first_bytes_;  // of the markers
  size_t max_retry_ = 0;                                // bytes that a failed reader gives back

  OutputDelta* out_ = nullptr;  // during a call
  Stretch stretch_ = kFresh;
  FreshBecause fresh_because_ = FreshBecause::kMessageStart;
  std::string tail_;   // could become a marker
  std::string space_;  // white space that may have to be dropped, before tail_ and held_
  std::string backlog_;
  size_t backlog_done_ = 0;

  bool in_markup_ = false;
  bool taken_ = false;  // held_ follows on markup that was taken
  std::string held_;    // what the reader has seen and not taken, the marker included
  std::vector<ParsedCall> calls_;
  size_t num_calls_ = 0;

  bool any_content_ = false, any_reasoning_ = false;
  bool break_content_ = false, break_reasoning_ = false;  // a line break before the next text
  bool reasoning_blank_ = true;                           // nothing given of this reasoning yet
};

}  // namespace pelton
