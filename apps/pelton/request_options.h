#pragma once

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "command.h"
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

// "1,2,3". InvalidArgument naming the first part that is no id.
Result<std::vector<int32_t>> ParseIds(const std::string& text);

}  // namespace pelton
