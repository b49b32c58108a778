#include "request_options.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <fstream>

#include "serving/request/sampling_fields.h"

namespace pelton {
namespace {

constexpr size_t kMostConstraintBytes = 1 << 20;

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

// An option's text, or the file that it names.
Result<std::string> TextOrFile(const char* option, const std::string& value, bool is_text) {
  if (is_text) return value;
  std::ifstream file(value, std::ios::binary);
  if (!file) return NotFound(fmt::format("{}: {}: cannot be read", option, value));
  std::string text(kMostConstraintBytes + 1, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<size_t>(file.gcount()));
  if (text.size() > kMostConstraintBytes) {
    return InvalidArgument(
        fmt::format("{}: {}: expected at most {} bytes", option, value, kMostConstraintBytes));
  }
  return text;
}

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
  add("-j,--json-schema", "SCHEMA",
      "the answer is JSON that this schema allows: its text, or a file of it", "generation",
      &json_schema);
  add("--grammar", "GBNF", "the answer is what this grammar allows: its text, or a file of it",
      "generation", &grammar);
  add("--regex", "REGEX", "the whole answer matches this expression", "generation", &regex);
  add("--logprobs", "N", "log-probabilities of each token and of the N best", "output", &logprobs);
  add("--prompt-logprobs", "N", "the same for the prompt", "output", &prompt_logprobs);
}

Result<SamplingParams> RequestOptions::Params(const LanguageModel& model) const {
  SamplingParams params = AdvisedParams(model.files.config.sampling, 0.0f);
  const auto override_with = [](double option, float* param) {
    if (!std::isnan(option)) *param = static_cast<float>(option);
  };
  override_with(temperature, &params.temperature);
  override_with(top_p, &params.top_p);
  override_with(min_p, &params.min_p);
  override_with(typical_p, &params.typical_p);
  override_with(repetition_penalty, &params.repetition_penalty);
  if (!std::isnan(top_k)) {
    ASSIGN_OR_RETURN(params.top_k, Count("--top-k", top_k));
  }
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

Result<std::optional<GrammarSource>> RequestOptions::Constraint() const {
  if (!json_schema.empty() + !grammar.empty() + !regex.empty() > 1) {
    return InvalidArgument("expected at most one of --json-schema, --grammar and --regex");
  }
  using Kind = GrammarSource::Kind;
  std::optional<GrammarSource> source;
  if (!regex.empty()) source = {.kind = Kind::kRegex, .text = regex};
  if (!json_schema.empty()) {
    // No file is called so, and a schema without braces is not worth its name.
    ASSIGN_OR_RETURN(std::string text, TextOrFile("--json-schema", json_schema,
                                                  json_schema.find('{') != std::string::npos));
    source = {.kind = Kind::kJsonSchema, .text = std::move(text)};
  }
  if (!grammar.empty()) {
    ASSIGN_OR_RETURN(std::string text,
                     TextOrFile("--grammar", grammar, grammar.find("::=") != std::string::npos));
    source = {.kind = Kind::kEbnf, .text = std::move(text)};
  }
  return source;
}

Result<RequestDefaults> RequestOptions::Defaults(const LanguageModel& model) const {
  RequestDefaults defaults{.params = {}, .system = system, .raw = raw, .constraint = std::nullopt};
  ASSIGN_OR_RETURN(defaults.params, Params(model));
  ASSIGN_OR_RETURN(defaults.constraint, Constraint());
  return defaults;
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
