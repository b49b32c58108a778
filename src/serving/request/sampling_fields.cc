#include "serving/request/sampling_fields.h"

#include <algorithm>

namespace pelton {

void ReadSamplingFields(FieldReader& reader, SamplingParams* params) {
  reader.Float("temperature", &params->temperature);
  reader.Whole("top_k", &params->top_k);
  reader.Float("top_p", &params->top_p);
  reader.Float("min_p", &params->min_p);
  reader.Float("typical_p", &params->typical_p);
  reader.Float("repetition_penalty", &params->repetition_penalty);
  reader.Float("presence_penalty", &params->presence_penalty);
  reader.Float("frequency_penalty", &params->frequency_penalty);
  reader.Whole("penalty_window", &params->penalty_window);
  reader.Biases("logit_bias", &params->logit_bias);
  reader.Whole("seed", &params->seed);
  reader.Whole("max_tokens", &params->max_tokens);
  reader.Whole("min_tokens", &params->min_tokens);
  reader.Strings("stop", &params->stop_strings);
  reader.Ids("stop_ids", &params->stop_ids);
  reader.Ids("stop_token_ids", &params->stop_ids);
  reader.Bool("ignore_eos", &params->ignore_eos);
}

SamplingParams AdvisedParams(const SamplingDefaults& advice, float temperature) {
  SamplingParams params;
  const auto choose = [](const std::optional<double>& advised, float otherwise) {
    return advised ? static_cast<float>(*advised) : otherwise;
  };
  const bool greedy = advice.sample && !*advice.sample;
  params.temperature = greedy ? 0.0f : choose(advice.temperature, temperature);
  params.top_p = choose(advice.top_p, 1.0f);
  params.min_p = choose(advice.min_p, 0.0f);
  params.repetition_penalty = choose(advice.repetition_penalty, 1.0f);
  params.top_k = static_cast<uint32_t>(
      std::min<uint64_t>(advice.top_k.value_or(0), std::numeric_limits<uint32_t>::max()));
  return params;
}

}  // namespace pelton
