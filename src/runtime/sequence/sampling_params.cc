#include "runtime/sequence/sampling_params.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>

namespace pelton {
namespace {

// NaN fails every comparison, so it is refused like any value out of range.
Status CheckRange(std::string_view field, float value, float low, float high) {
  if (value >= low && value <= high) return OkStatus();
  return InvalidArgument(
      fmt::format("{} is {}, but must be between {} and {}", field, value, low, high));
}

Status CheckAboveZero(std::string_view field, float value) {
  if (value > 0 && value <= 1) return OkStatus();
  return InvalidArgument(fmt::format("{} is {}, but must be above 0 and at most 1", field, value));
}

Status CheckId(std::string_view field, int32_t id, size_t vocab_size) {
  if (id >= 0 && static_cast<size_t>(id) < vocab_size) return OkStatus();
  return InvalidArgument(
      fmt::format("{} holds token id {}, but the vocabulary has {} ids", field, id, vocab_size));
}

Status CheckCount(std::string_view field, size_t count, size_t limit) {
  if (count <= limit) return OkStatus();
  return InvalidArgument(
      fmt::format("{} has {} entries, but at most {} are allowed", field, count, limit));
}

Status CheckLogprobs(std::string_view field, std::optional<uint32_t> count) {
  if (!count || *count <= SamplingParams::kMaxLogprobs) return OkStatus();
  return InvalidArgument(
      fmt::format("{} is {}, but must be at most {}", field, *count, SamplingParams::kMaxLogprobs));
}

}  // namespace

Status SamplingParams::Validate(size_t vocab_size) const {
  RETURN_IF_ERROR(CheckRange("temperature", temperature, 0, 100));
  RETURN_IF_ERROR(CheckAboveZero("top_p", top_p));
  RETURN_IF_ERROR(CheckRange("min_p", min_p, 0, 1));
  RETURN_IF_ERROR(CheckAboveZero("typical_p", typical_p));
  RETURN_IF_ERROR(CheckRange("repetition_penalty", repetition_penalty, 0.01f, 100));
  RETURN_IF_ERROR(CheckRange("presence_penalty", presence_penalty, -100, 100));
  RETURN_IF_ERROR(CheckRange("frequency_penalty", frequency_penalty, -100, 100));
  if (penalty_window < -1) {
    return InvalidArgument(
        fmt::format("penalty_window is {}, but must be -1 or more", penalty_window));
  }
  RETURN_IF_ERROR(CheckCount("logit_bias", logit_bias.size(), kMaxLogitBiases));
  for (const LogitBias& entry : logit_bias) {
    RETURN_IF_ERROR(CheckId("logit_bias", entry.id, vocab_size));
    RETURN_IF_ERROR(CheckRange("logit_bias", entry.bias, -100, 100));
  }
  if (max_tokens && min_tokens > *max_tokens) {
    return InvalidArgument(
        fmt::format("min_tokens is {}, above max_tokens, which is {}", min_tokens, *max_tokens));
  }
  RETURN_IF_ERROR(CheckCount("stop", stop_strings.size(), kMaxStopStrings));
  for (const std::string& text : stop_strings) {
    if (text.empty() || text.size() > kMaxStopStringBytes) {
      return InvalidArgument(fmt::format("stop holds a text of {} bytes, but it must have 1 to {}",
                                         text.size(), kMaxStopStringBytes));
    }
  }
  RETURN_IF_ERROR(CheckCount("stop_ids", stop_ids.size(), kMaxStopIds));
  for (const int32_t id : stop_ids) RETURN_IF_ERROR(CheckId("stop_ids", id, vocab_size));
  RETURN_IF_ERROR(CheckLogprobs("logprobs", logprobs));
  RETURN_IF_ERROR(CheckLogprobs("prompt_logprobs", prompt_logprobs));
  return OkStatus();
}

}  // namespace pelton
