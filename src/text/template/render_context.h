#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.h"
#include "text/template/template.h"
#include "text/template/value.h"

namespace pelton::jinja {

// An undefined value whose use fails with `message`.
Value MakeUndefined(std::string message, bool security = false);

// What one rendering may use and has used, its error, and the making of values that count. Every
// operation whose cost depends on data goes through Step or Charge before it does the work, and
// every one whose result can be much larger than its operands through Reserve.
class RenderContext {
 public:
  explicit RenderContext(const TemplateLimits& limits);
  RenderContext(const RenderContext&) = delete;
  RenderContext& operator=(const RenderContext&) = delete;

  // The error of the rendering, at the current line. The first one wins.
  Status Error(TemplateErrorKind kind, std::string message);
  Status RuntimeError(std::string message) {
    return Error(TemplateErrorKind::kRuntime, std::move(message));
  }
  // The error of using an undefined value where a value is needed.
  Status UndefinedError(const Value& value);

  Status Step(uint64_t ticks = 1) {
    if (ticks > ticks_left_ || has_failed_ || meter_.live_bytes > limits_.max_value_bytes) {
      return StepFailed();
    }
    ticks_left_ -= ticks;
    return OkStatus();
  }
  // For reading or writing that many bytes.
  Status Charge(size_t bytes) { return Step(bytes / kBytesPerTick); }
  // For converting the case of that many bytes, which takes about eight times as long; ASCII does
  // not.
  Status ChargeCase(std::string_view text);
  // For a new value of that many bytes: fails if it would not fit into the memory limit.
  Status Reserve(size_t bytes);
  Status CheckOutput(size_t bytes);

  // New values. Beyond a limit they return None and the next Step fails.
  Value NewString(std::string text, bool safe = false);
  Value NewList(std::vector<Value> items);
  Value NewTuple(std::vector<Value> items);
  Value NewDict(std::vector<DictObject::Entry> entries);
  // Counts any other object, of `bytes` bytes and with the depth that it has.
  Value Adopt(Kind kind, std::shared_ptr<Object> object, size_t bytes);

  // Counts memory that stays until the rendering ends.
  void Hold(size_t bytes) { meter_.live_bytes += bytes; }

  const TemplateLimits& limits() const { return limits_; }
  int line() const { return line_; }
  void set_line(int line) { line_ = line; }
  const TemplateError& error() const { return error_; }
  // The status of the error. Requires: there was one, for example because a new value came as None.
  const Status& failure() const { return failure_; }

  // The unit of work is a tick: an expression, a value taken from a list, a few bytes. Measured on
  // every operation, a tick takes 10 to 60 ns (release build, Sapphire Rapids), so that the default
  // million steps end within a second.
  static constexpr uint64_t kTicksPerStep = 16;
  static constexpr uint64_t kStatementTicks = 4;  // also a loop's turn, a call, a filter, a test
  static constexpr size_t kBytesPerTick = 8;

 private:
  Status StepFailed();

  const TemplateLimits limits_;
  uint64_t ticks_left_;
  MemoryMeter meter_;
  int line_ = 1;
  bool has_failed_ = false;
  Status failure_;
  TemplateError error_;
};

}  // namespace pelton::jinja
