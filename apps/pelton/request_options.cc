#include "request_options.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>

#include "serving/model/chat_prompt.h"

namespace pelton {
namespace {

using Json = nlohmann::ordered_json;

template <typename T>
bool ParseWhole(std::string_view text, T* out) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *out);
  return error == std::errc() && end == text.data() + text.size() && !text.empty();
}

Result<uint32_t> Count(std::string_view name, double value) {
  if (!(value >= 0) || value > 4294967295.0 || value != std::floor(value)) {
    return InvalidArgument(
        fmt::format("{}: found {}, expected a whole number from 0 on", name, value));
  }
  return static_cast<uint32_t>(value);
}

// Adapts the text layer's decoder to the engine.
class StreamTextDecoder final : public TextDecoder {
 public:
  explicit StreamTextDecoder(const Tokenizer& tokenizer) : decoder_(tokenizer) {}
  void Append(int32_t id, std::string& out) override { out += decoder_.Feed(id); }
  void Finish(std::string& out) override { out += decoder_.Flush(); }

 private:
  StreamDecoder decoder_;
};

// Reads one field after another; the first failure is kept.
class FieldReader {
 public:
  explicit FieldReader(const Json& object) : object_(object) {}

  void Float(const char* name, float* out) {
    if (const Json* value = Find(name, &Json::is_number, "a number")) *out = value->get<float>();
  }
  template <typename Integer>
  void Whole(const char* name, Integer* out) {
    const Json* value = Find(name, &Json::is_number_integer, "a whole number");
    if (value == nullptr) return;
    if (std::is_unsigned_v<Integer> && *value < 0) return Fail(name, "a whole number from 0 on");
    const auto wide = value->get<int64_t>();
    const bool fits = !(*value > std::numeric_limits<Integer>::max()) &&
                      !(*value < std::numeric_limits<Integer>::min());
    if (!fits) return Fail(name, "a smaller number");
    *out = static_cast<Integer>(wide);
  }
  template <typename Integer>
  void Whole(const char* name, std::optional<Integer>* out) {
    if (!object_.contains(name) || object_[name].is_null()) return;
    Integer value = 0;
    Whole(name, &value);
    *out = value;
  }
  void Bool(const char* name, bool* out) {
    if (const Json* value = Find(name, &Json::is_boolean, "true or false")) {
      *out = value->get<bool>();
    }
  }
  void Strings(const char* name, std::vector<std::string>* out) {
    if (!object_.contains(name) || object_[name].is_null()) return;
    const Json& value = object_[name];
    out->clear();
    if (value.is_string()) return out->push_back(value.get<std::string>());
    if (!value.is_array()) return Fail(name, "a string or a list of strings");
    for (const Json& item : value) {
      if (!item.is_string()) return Fail(name, "a string or a list of strings");
      out->push_back(item.get<std::string>());
    }
  }
  void Ids(const char* name, std::vector<int32_t>* out) {
    const Json* value = Find(name, &Json::is_array, "a list of ids");
    if (value == nullptr) return;
    out->clear();
    for (const Json& item : *value) {
      if (!item.is_number_integer() || item < 0 || item > std::numeric_limits<int32_t>::max()) {
        return Fail(name, "a list of ids");
      }
      out->push_back(item.get<int32_t>());
    }
  }
  void Biases(const char* name, std::vector<LogitBias>* out) {
    const Json* value = Find(name, &Json::is_object, "an object from ids to numbers");
    if (value == nullptr) return;
    out->clear();
    for (const auto& [key, bias] : value->items()) {
      int32_t id = 0;
      if (!ParseWhole(key, &id) || !bias.is_number()) {
        return Fail(name, "an object from ids to numbers");
      }
      out->push_back({id, bias.get<float>()});
    }
  }
  const Status& status() const { return status_; }

 private:
  const Json* Find(const char* name, bool (Json::*is)() const noexcept, const char* expected) {
    if (!object_.contains(name) || object_[name].is_null()) return nullptr;
    const Json& value = object_[name];
    if ((value.*is)()) return &value;
    Fail(name, expected);
    return nullptr;
  }
  void Fail(const char* name, const char* expected) {
    if (!status_.ok()) return;
    const std::string found =
        object_[name].dump(-1, ' ', false, Json::error_handler_t::replace).substr(0, 40);
    status_ = InvalidArgument(fmt::format("{}: found {}, expected {}", name, found, expected));
  }

  const Json& object_;
  Status status_;
};

}  // namespace

void RequestOptions::Add(std::vector<Option>* options) {
  const auto add = [&](const char* names, const char* value, const char* help, const char* group,
                       decltype(Option::target) target) {
    options->push_back(
        {.names = names, .value = value, .help = help, .group = group, .target = target});
  };
  add("-s,--system", "TEXT", "the system message of a chat", "prompt", &system);
  add("--raw", "", "give PROMPT to the model as it is, without the chat template", "prompt", &raw);
  add("-n,--max-tokens,--n-predict", "N",
      "most tokens to generate; -1 until the context is full [1024]", "generation", &max_tokens);
  add("--min-tokens", "N", "tokens before the answer may end [0]", "generation", &min_tokens);
  add("--temperature,--temp", "X",
      "randomness; 0 takes the best token [the model's advice, else 0]", "sampling", &temperature);
  add("--top-k", "K", "choose among the K best tokens; 0 for all [model's advice, else 0]",
      "sampling", &top_k);
  add("--top-p", "P",
      "choose among the fewest tokens that reach probability P [model's advice, else 1]",
      "sampling", &top_p);
  add("--min-p", "P", "leave out tokens below P times the best one [model's advice, else 0]",
      "sampling", &min_p);
  add("--typical-p,--typical", "P", "locally typical sampling [1]", "sampling", &typical_p);
  add("--repetition-penalty,--repeat-penalty", "X",
      "divides logits of tokens seen before [model's advice, else 1]", "sampling",
      &repetition_penalty);
  add("--presence-penalty", "X", "subtracted from logits of tokens seen before [0]", "sampling",
      &presence_penalty);
  add("--frequency-penalty", "X", "subtracted for each time that a token was seen [0]", "sampling",
      &frequency_penalty);
  add("--penalty-window,--repeat-last-n", "N", "tokens that penalties look back; -1 for all [64]",
      "sampling", &penalty_window);
  add("--logit-bias", "ID=X", "adds X to the logit of a token; may be given again", "sampling",
      &logit_bias);
  add("--seed", "N", "seed of the random draws [0]", "sampling", &seed);
  add("--stop", "TEXT", "end the answer before this text; may be given again", "generation",
      &stop_strings);
  add("--stop-id", "ID", "end the answer after this token; may be given again", "generation",
      &stop_ids);
  add("--ignore-eos", "", "go on after the model's end token", "generation", &ignore_eos);
  add("--logprobs", "N", "log-probabilities of each token and of the N best", "output", &logprobs);
  add("--prompt-logprobs", "N", "the same for the prompt", "output", &prompt_logprobs);
}

Result<SamplingParams> RequestOptions::Params(const LanguageModel& model) const {
  const SamplingDefaults& advice = model.files.config.sampling;
  SamplingParams params;
  const auto choose = [](double option, const std::optional<double>& advised, double otherwise) {
    return static_cast<float>(!std::isnan(option) ? option : advised.value_or(otherwise));
  };
  const bool greedy_advised = advice.sample && !*advice.sample;
  params.temperature =
      choose(temperature, greedy_advised ? std::optional(0.0) : advice.temperature, 0);
  params.top_p = choose(top_p, advice.top_p, 1);
  params.min_p = choose(min_p, advice.min_p, 0);
  params.typical_p = choose(typical_p, std::nullopt, 1);
  params.repetition_penalty = choose(repetition_penalty, advice.repetition_penalty, 1);
  const double k = !std::isnan(top_k) ? top_k : static_cast<double>(advice.top_k.value_or(0));
  ASSIGN_OR_RETURN(params.top_k, Count("--top-k", k));
  params.presence_penalty = static_cast<float>(presence_penalty);
  params.frequency_penalty = static_cast<float>(frequency_penalty);
  if (penalty_window < -1 || penalty_window > std::numeric_limits<int32_t>::max()) {
    return InvalidArgument(
        fmt::format("--penalty-window: found {}, expected -1 or more", penalty_window));
  }
  params.penalty_window = static_cast<int32_t>(penalty_window);
  for (const std::string& text : logit_bias) {
    const size_t equals = text.find('=');
    LogitBias bias{};
    if (equals == std::string::npos ||
        !ParseWhole(std::string_view(text).substr(0, equals), &bias.id) ||
        !ParseWhole(std::string_view(text).substr(equals + 1), &bias.bias)) {
      return InvalidArgument(fmt::format("--logit-bias: found \"{}\", expected ID=NUMBER", text));
    }
    params.logit_bias.push_back(bias);
  }
  params.seed = static_cast<uint64_t>(seed);
  if (max_tokens < -1 || max_tokens > std::numeric_limits<uint32_t>::max()) {
    return InvalidArgument(fmt::format("--max-tokens: found {}, expected -1 or more", max_tokens));
  }
  if (max_tokens >= 0) params.max_tokens = static_cast<uint32_t>(max_tokens);
  ASSIGN_OR_RETURN(params.min_tokens, Count("--min-tokens", static_cast<double>(min_tokens)));
  params.stop_strings = stop_strings;
  for (const std::string& text : stop_ids) {
    ASSIGN_OR_RETURN(const std::vector<int32_t> ids, ParseIds(text));
    params.stop_ids.insert(params.stop_ids.end(), ids.begin(), ids.end());
  }
  params.ignore_eos = ignore_eos;
  if (logprobs != -1) {
    ASSIGN_OR_RETURN(params.logprobs, Count("--logprobs", static_cast<double>(logprobs)));
  }
  if (prompt_logprobs != -1) {
    ASSIGN_OR_RETURN(params.prompt_logprobs,
                     Count("--prompt-logprobs", static_cast<double>(prompt_logprobs)));
  }
  RETURN_IF_ERROR(params.Validate(model.files.config.vocab));
  return params;
}

Status ReadSamplingFields(const Json& object, const std::vector<std::string>& known,
                          SamplingParams* params) {
  static const std::vector<std::string> fields = {"temperature",
                                                  "top_k",
                                                  "top_p",
                                                  "min_p",
                                                  "typical_p",
                                                  "repetition_penalty",
                                                  "presence_penalty",
                                                  "frequency_penalty",
                                                  "penalty_window",
                                                  "logit_bias",
                                                  "seed",
                                                  "max_tokens",
                                                  "min_tokens",
                                                  "stop",
                                                  "stop_ids",
                                                  "ignore_eos",
                                                  "logprobs",
                                                  "prompt_logprobs"};
  for (const auto& [key, value] : object.items()) {
    const auto has = [&](const std::vector<std::string>& names) {
      return std::find(names.begin(), names.end(), key) != names.end();
    };
    if (has(fields) || has(known)) continue;
    std::vector<std::string> all = fields;
    all.insert(all.end(), known.begin(), known.end());
    const std::string nearest = Nearest(key, all);
    return InvalidArgument(
        fmt::format("unknown field \"{}\"{}", key.substr(0, 40),
                    nearest.empty() ? "" : fmt::format("; did you mean \"{}\"?", nearest)));
  }
  FieldReader reader(object);
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
  reader.Bool("ignore_eos", &params->ignore_eos);
  reader.Whole("logprobs", &params->logprobs);
  reader.Whole("prompt_logprobs", &params->prompt_logprobs);
  return reader.status();
}

std::vector<int32_t> EncodeRaw(const LanguageModel& model, const std::string& text) {
  return model.tokenizer->Encode(text, {.parse_special = true, .add_special = true});
}

Result<std::vector<int32_t>> EncodeChat(const LanguageModel& model, const Json& messages) {
  ASSIGN_OR_RETURN(
      const std::string text,
      RenderMessages(model, messages.dump(-1, ' ', false, Json::error_handler_t::replace)));
  // The template writes BOS itself where the model wants it.
  return model.tokenizer->Encode(text, {.parse_special = true, .add_special = false});
}

std::unique_ptr<TextDecoder> MakeTextDecoder(const LanguageModel& model) {
  if (model.tokenizer == nullptr) return nullptr;
  return std::make_unique<StreamTextDecoder>(*model.tokenizer);
}

Result<std::vector<int32_t>> ParseIds(const std::string& text) {
  std::vector<int32_t> ids;
  std::string_view left = text;
  while (!left.empty()) {
    const std::string_view part = left.substr(0, left.find(','));
    left.remove_prefix(std::min(left.size(), part.size() + 1));
    int32_t id = 0;
    if (!ParseWhole(part, &id) || id < 0) {
      return InvalidArgument(
          fmt::format("token ids: found \"{}\", expected numbers and commas", part));
    }
    ids.push_back(id);
  }
  return ids;
}

}  // namespace pelton
