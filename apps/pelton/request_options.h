#pragma once

#include <cmath>
#include <limits>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "command.h"
#include "runtime/engine/request.h"
#include "serving/model/language_model.h"

namespace pelton {

// The options of `run` that say what to generate, and the request that they make.
struct RequestOptions {
  static constexpr double kUnset = std::numeric_limits<double>::quiet_NaN();

  std::string system;
  bool raw = false;
  int64_t max_tokens = 1024;
  int64_t min_tokens = 0;
  double temperature = kUnset;  // unset: what the model's authors advise, else 0
  double top_k = kUnset, top_p = kUnset, min_p = kUnset, typical_p = kUnset;
  double repetition_penalty = kUnset;
  double presence_penalty = 0, frequency_penalty = 0;
  int64_t penalty_window = 64;
  std::vector<std::string> logit_bias;  // "ID=BIAS"
  int64_t seed = 0;
  std::vector<std::string> stop_strings;
  std::vector<std::string> stop_ids;
  bool ignore_eos = false;
  int64_t logprobs = -1;         // -1: none
  int64_t prompt_logprobs = -1;  // -1: none

  void Add(std::vector<Option>* options);

  // InvalidArgument naming the option that is out of range.
  Result<SamplingParams> Params(const LanguageModel& model) const;
};

// Overrides `params` by the sampling fields of one JSON request, under their names in the OpenAI
// and llama.cpp interfaces. InvalidArgument naming a field that is unknown or of the wrong type;
// `known` are the other fields that the object may have.
Status ReadSamplingFields(const nlohmann::ordered_json& object,
                          const std::vector<std::string>& known, SamplingParams* params);

// The ids of a prompt that is not a chat: the text with BOS where the model wants it.
std::vector<int32_t> EncodeRaw(const LanguageModel& model, const std::string& text);

// The ids of a chat: `messages_json` through the model's template. InvalidArgument if the model has
// no template or the template refuses the messages.
Result<std::vector<int32_t>> EncodeChat(const LanguageModel& model,
                                        const nlohmann::ordered_json& messages);

// Decoder for stop strings and text; null if the model has no vocabulary.
std::unique_ptr<TextDecoder> MakeTextDecoder(const LanguageModel& model);

// "1,2,3". InvalidArgument naming the first part that is no id.
Result<std::vector<int32_t>> ParseIds(const std::string& text);

}  // namespace pelton
