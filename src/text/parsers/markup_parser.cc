#include "text/parsers/markup_parser.h"

#include <algorithm>

#include "text/parsers/json_scanner.h"

namespace pelton {
namespace {

constexpr std::string_view kSpaces = " \n\r\t";

}  // namespace

MarkupParser::MarkupParser(const MarkupForm& form, bool has_tools, bool reasoning_open,
                           std::unique_ptr<const ToolTypes> types,
                           std::unique_ptr<CallReader> reader)
    : types_(std::move(types)), reader_(std::move(reader)) {
  if (reader_ != nullptr && (has_tools || form.opens_messages)) {
    for (const Stretch stretch : {kFresh, kContent}) {
      AddMarkers(stretch, form.openers, Action::kRead);
    }
    AddMarkers(kFresh, form.bare, Action::kRead);
  }
  for (const Stretch stretch : {kMessage, kOpened, kReasoning}) {
    AddMarkers(stretch, form.message_ends, Action::kEndMessage);
    if (form.opens_messages) AddMarkers(stretch, form.openers, Action::kRead);
  }
  if (!form.reasoning_begin.empty()) {
    for (const Stretch stretch : {kFresh, kOpened}) {
      AddMarkers(stretch, std::span(&form.reasoning_begin, 1), Action::kReason);
    }
    for (const Stretch stretch : {kOpened, kReasoning}) {
      AddMarkers(stretch, std::span(&form.reasoning_end, 1), Action::kEndReasoning);
    }
  }
  if (reasoning_open) EnterReasoning(kOpened);
}

void MarkupParser::AddMarkers(Stretch stretch, std::span<const std::string_view> texts,
                              Action action) {
  for (const std::string_view text : texts) {
    markers_[stretch].push_back({text, action});
    first_bytes_[stretch] += text.front();
    max_retry_ = std::max(max_retry_, text.size() - 1);
  }
}

void MarkupParser::Feed(std::string_view text, OutputDelta* out) {
  out_ = out;
  while (!text.empty()) {
    // Most text is far from any marker.
    if (!in_markup_ && tail_.empty() && stretch_ != kFresh && stretch_ != kOpened) {
      const size_t run = std::min(text.find_first_of(first_bytes_[stretch_]), text.size());
      if (run > 0) EmitText(text.substr(0, run));
      text.remove_prefix(run);
      if (text.empty()) break;
    }
    Step(text.front());
    text.remove_prefix(1);
    while (backlog_done_ < backlog_.size()) Step(backlog_[backlog_done_++]);
  }
  out_ = nullptr;
}

void MarkupParser::Finish(OutputDelta* out) {
  out_ = out;
  if (in_markup_) FinishMarkup();
  if (!tail_.empty()) {
    if (stretch_ == kFresh) LeaveFresh();
    EmitText(tail_);
    tail_.clear();
  }
  if (stretch_ == kFresh && fresh_because_ == FreshBecause::kMessageStart) LeaveFresh();
  out_ = nullptr;
}

void MarkupParser::Requeue(std::string_view text) {
  backlog_.replace(0, backlog_done_, text);
  backlog_done_ = 0;
}

void MarkupParser::Step(char c) {
  if (in_markup_) {
    StepMarkup(c);
  } else {
    StepText(c);
  }
}

void MarkupParser::StepText(char c) {
  if (stretch_ == kFresh && tail_.empty() && IsJsonSpace(c)) {
    space_ += c;
    return;
  }
  tail_ += c;
  bool possible = false;
  for (const Marker& marker : markers_[stretch_]) {
    if (!marker.text.starts_with(tail_)) continue;
    if (marker.text.size() == tail_.size()) return Act(marker);
    possible = true;
  }
  if (possible) return;
  const std::string text = std::move(tail_);
  tail_.clear();
  if (stretch_ == kFresh) {
    LeaveFresh();  // the markers are others now
    Requeue(text);
    return;
  }
  EmitText(std::string_view(text).substr(0, 1));
  if (text.size() > 1) Requeue(std::string_view(text).substr(1));
}

void MarkupParser::Act(const Marker& marker) {
  tail_.clear();
  switch (marker.action) {
    case Action::kRead:
      in_markup_ = true;
      taken_ = false;
      reader_->Begin(marker.text);
      if (marker.text.size() == 1) {  // a bare call: the marker is its first byte
        StepMarkup(marker.text.front());
      } else {
        held_ = marker.text;
      }
      return;
    case Action::kReason:
      return EnterReasoning(kReasoning);
    case Action::kEndReasoning:
      return EnterFresh(FreshBecause::kReasoningEnded);
    case Action::kEndMessage:
      return EnterFresh(FreshBecause::kMarkupEnded);
  }
}

void MarkupParser::EnterFresh(FreshBecause because) {
  stretch_ = kFresh;
  fresh_because_ = because;
  space_.clear();
  break_content_ = false;
}

void MarkupParser::EnterReasoning(Stretch stretch) {
  stretch_ = stretch;
  space_.clear();
  reasoning_blank_ = true;
  break_reasoning_ = any_reasoning_;
}

void MarkupParser::LeaveFresh() {
  stretch_ = kContent;
  if (fresh_because_ != FreshBecause::kReasoningEnded) EmitText(space_);
  space_.clear();
}

void MarkupParser::EmitText(std::string_view text) {
  if (text.empty()) return;
  if (stretch_ == kOpened || stretch_ == kReasoning) {
    EmitReasoning(text);
    if (!reasoning_blank_) stretch_ = kReasoning;
    return;
  }
  if (break_content_) out_->content += '\n';
  break_content_ = false;
  any_content_ = true;
  out_->content += text;
}

// Without the white space at both ends of the reasoning.
void MarkupParser::EmitReasoning(std::string_view text) {
  if (reasoning_blank_) {
    text.remove_prefix(std::min(text.find_first_not_of(kSpaces), text.size()));
    if (text.empty()) return;
    if (break_reasoning_) out_->reasoning += '\n';
    reasoning_blank_ = false;
    any_reasoning_ = true;
  }
  const size_t length = text.find_last_not_of(kSpaces) + 1;
  if (length > 0) {
    out_->reasoning += space_;
    out_->reasoning += text.substr(0, length);
    space_.clear();
  }
  space_ += text.substr(length);
}

void MarkupParser::EmitCalls() {
  for (ParsedCall& call : calls_) {
    out_->calls.push_back({.index = num_calls_++,
                           .id = std::move(call.id),
                           .name = std::move(call.name),
                           .arguments = std::move(call.arguments)});
  }
  calls_.clear();
}

void MarkupParser::StepMarkup(char c) {
  const CallReader::Outcome outcome = reader_->Step(c, &calls_);
  switch (outcome) {
    case CallReader::Outcome::kMore:
      held_ += c;
      return;
    case CallReader::Outcome::kFailed:
      return Fail(c);
    case CallReader::Outcome::kTaken:
      break;
    case CallReader::Outcome::kEnd:
      in_markup_ = false;
      EnterFresh(FreshBecause::kMarkupEnded);
      break;
    case CallReader::Outcome::kContent:
      in_markup_ = false;
      stretch_ = kMessage;
      break_content_ = any_content_;
      break;
    case CallReader::Outcome::kReasoning:
      in_markup_ = false;
      EnterReasoning(kReasoning);
      break;
  }
  held_.clear();
  space_.clear();
  taken_ = true;
  EmitCalls();
}

void MarkupParser::Fail(char c) {
  std::string held = std::move(held_);
  held_.clear();
  in_markup_ = false;
  size_t retry = held.empty() ? 0 : std::min(max_retry_, held.size() - 1);
  if (taken_) {
    EnterFresh(FreshBecause::kMarkupEnded);
    space_ = held.substr(0, held.find_first_not_of(kSpaces));
    held.erase(0, space_.size());
    retry = std::min(max_retry_, held.size());
  }
  const size_t text = held.size() - retry;
  if (text > 0) {
    if (stretch_ == kFresh) LeaveFresh();
    EmitText(std::string_view(held).substr(0, text));
  }
  held.erase(0, text);
  held += c;
  Requeue(held);
}

void MarkupParser::FinishMarkup() {
  in_markup_ = false;
  reader_->Finish(&calls_);
  if (!calls_.empty()) {
    EnterFresh(FreshBecause::kMarkupEnded);
    EmitCalls();
    return;
  }
  if (taken_) {
    EnterFresh(FreshBecause::kMarkupEnded);
    space_ = held_.substr(0, held_.find_first_not_of(kSpaces));
    held_.erase(0, space_.size());
  }
  if (held_.empty()) return;
  if (stretch_ == kFresh) LeaveFresh();
  EmitText(held_);
}

}  // namespace pelton
