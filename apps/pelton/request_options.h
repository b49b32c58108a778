#pragma once

#include <cmath>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "command.h"
#include "serving/model/language_model.h"
#include "text/grammar/grammar.h"

namespace pelton {

// What holds for every request unless it says otherwise.
struct RequestDefaults {
  SamplingParams params;
  std::string system;  // the system message of a chat
  bool raw = false;    // prompts are not put into the chat template
  std::optional<GrammarSource> constraint;
};

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
  std::string json_schema;       // its text, or a file of it
  std::string grammar;           // GBNF, or a file of it
  std::string regex;

  void Add(std::vector<Option>* options);

  // InvalidArgument naming the option that is out of range or one too many, NotFound if the file of
  // a constraint cannot be read.
  Result<RequestDefaults> Defaults(const LanguageModel& model) const;

 private:
  Result<SamplingParams> Params(const LanguageModel& model) const;
  Result<std::optional<GrammarSource>> Constraint() const;
};

// "1,2,3". InvalidArgument naming the first part that is no id.
Result<std::vector<int32_t>> ParseIds(const std::string& text);

}  // namespace pelton
