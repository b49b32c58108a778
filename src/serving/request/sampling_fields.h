#pragma once

#include "models/weights/model_config.h"
#include "runtime/sequence/sampling_params.h"
#include "serving/request/field_reader.h"

namespace pelton {

// Overrides `params` by the sampling fields that all interfaces share, under their names in the
// OpenAI, vLLM and llama.cpp interfaces: temperature, top_k, top_p, min_p, typical_p,
// repetition_penalty, presence_penalty, frequency_penalty, penalty_window, logit_bias, seed,
// max_tokens, min_tokens, stop, stop_ids (stop_token_ids), ignore_eos.
void ReadSamplingFields(FieldReader& reader, SamplingParams* params);

// What the model's authors advise; `temperature` where they advise none.
SamplingParams AdvisedParams(const SamplingDefaults& advice, float temperature);

}  // namespace pelton
