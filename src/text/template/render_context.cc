#include "text/template/render_context.h"

#include <algorithm>
#include <limits>

#include "base/checked_math.h"
#include "text/template/unicode_text.h"

namespace pelton::jinja {

Value MakeUndefined(std::string message, bool security) {
  auto object = std::make_shared<UndefinedObject>();
  object->message = std::move(message);
  object->security = security;
  return Value::FromObject(Kind::kUndefined, std::move(object));
}

RenderContext::RenderContext(const TemplateLimits& limits)
    : limits_(limits),
      ticks_left_(CheckedMul<uint64_t>(limits.max_steps, kTicksPerStep)
                      .value_or(std::numeric_limits<uint64_t>::max())) {}

Status RenderContext::Error(TemplateErrorKind kind, std::string message) {
  if (has_failed_) return failure_;
  has_failed_ = true;
  error_ = {kind, std::move(message), line_};
  const StatusCode code = kind == TemplateErrorKind::kLimit ? StatusCode::kResourceExhausted
                                                            : StatusCode::kInvalidArgument;
  failure_ = Status(code, "chat template, line " + std::to_string(line_) + ": " + error_.message);
  return failure_;
}

Status RenderContext::UndefinedError(const Value& value) {
  const UndefinedObject& undefined = value.undefined();
  return Error(undefined.security ? TemplateErrorKind::kSecurity : TemplateErrorKind::kUndefined,
               undefined.message);
}

Status RenderContext::StepFailed() {
  if (has_failed_) return failure_;
  if (meter_.live_bytes > limits_.max_value_bytes) {
    return Error(TemplateErrorKind::kLimit, "the values of the template need more than " +
                                                std::to_string(limits_.max_value_bytes) + " bytes");
  }
  return Error(TemplateErrorKind::kLimit,
               "the template takes more than " + std::to_string(limits_.max_steps) + " steps");
}

Status RenderContext::Reserve(size_t bytes) {
  const std::optional<size_t> total = CheckedAdd(meter_.live_bytes, bytes);
  if (!total || *total > limits_.max_value_bytes) {
    return Error(TemplateErrorKind::kLimit, "a value of the template would need more than " +
                                                std::to_string(limits_.max_value_bytes) + " bytes");
  }
  return Charge(bytes);
}

Status RenderContext::ChargeCase(std::string_view text) {
  return Charge(IsAsciiText(text) ? text.size() : 8 * text.size());
}

Status RenderContext::CheckOutput(size_t bytes) {
  if (bytes <= limits_.max_output_bytes) return OkStatus();
  return Error(TemplateErrorKind::kLimit, "the text of the template is longer than " +
                                              std::to_string(limits_.max_output_bytes) + " bytes");
}

Value RenderContext::Adopt(Kind kind, std::shared_ptr<Object> object, size_t bytes) {
  if (object->depth > kMaxValueDepth) {
    (void)Error(TemplateErrorKind::kLimit, "a value of the template is nested too deeply");
    return Value();
  }
  object->meter = &meter_;
  object->metered_bytes = bytes;
  meter_.live_bytes += bytes;
  return Value::FromObject(kind, std::move(object));
}

Value RenderContext::NewString(std::string text, bool safe) {
  auto object = std::make_shared<StringObject>();
  object->text = std::move(text);
  object->safe = safe;
  const size_t bytes = sizeof(StringObject) + object->text.capacity();
  // The work of making it; if there are no ticks left, the next Step says so.
  ticks_left_ -= std::min<uint64_t>(ticks_left_, object->text.size() / kBytesPerTick);
  return Adopt(Kind::kString, std::move(object), bytes);
}

Value RenderContext::NewList(std::vector<Value> items) {
  auto object = std::make_shared<ListObject>();
  for (const Value& item : items) object->depth = std::max(object->depth, item.depth());
  ++object->depth;
  const size_t bytes = sizeof(ListObject) + items.capacity() * sizeof(Value);
  ticks_left_ -= std::min<uint64_t>(ticks_left_, items.size() * sizeof(Value) / kBytesPerTick);
  object->items = std::move(items);
  return Adopt(Kind::kList, std::move(object), bytes);
}

Value RenderContext::NewTuple(std::vector<Value> items) {
  const Value list = NewList(std::move(items));
  return list.is(Kind::kList) ? Value::FromObject(Kind::kTuple, list.object()) : list;
}

Value RenderContext::NewDict(std::vector<DictObject::Entry> entries) {
  auto object = std::make_shared<DictObject>();
  object->Build(std::move(entries));
  const size_t bytes = sizeof(DictObject) +
                       object->entries.capacity() * (sizeof(DictObject::Entry) + sizeof(uint32_t));
  ticks_left_ -= std::min<uint64_t>(ticks_left_, bytes / kBytesPerTick);
  return Adopt(Kind::kDict, std::move(object), bytes);
}

}  // namespace pelton::jinja
