#include "model_options.h"

#include <fmt/format.h>

#include <charconv>
#include <cstdio>
#include <cstdlib>

#include "runtime/speculate/model_drafter.h"
#include "serving/hub/hub.h"
#include "serving/model/model_store.h"
#include "serving/tuning/tuning_file.h"

namespace pelton {

namespace {

std::string FromEnvironment(const char* name, const std::string& otherwise) {
  const char* value = std::getenv(name);  // NOLINT(concurrency-mt-unsafe): before threads
  return value != nullptr && *value != '\0' ? value : otherwise;
}

}  // namespace

std::string HubAddress() { return FromEnvironment("HF_ENDPOINT", PullOptions().hub); }
std::string HubToken() { return FromEnvironment("HF_TOKEN", ""); }

std::vector<std::string> Proxies() {
  std::vector<std::string> proxies;
  for (const char* name : {"http_proxy", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"}) {
    std::string proxy = FromEnvironment(name, "");
    if (!proxy.empty()) proxies.push_back(std::move(proxy));
  }
  return proxies;
}

Result<size_t> ParseSize(const char* option, const std::string& text) {
  constexpr double kMost = 0x1p50;
  double number = 0;
  const char* const end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, number, std::chars_format::fixed);
  double unit = 1;
  std::string_view letters(rest, static_cast<size_t>(end - rest));
  while (letters.starts_with(' ')) letters.remove_prefix(1);
  constexpr std::string_view kUnits = "kmgt";
  if (!letters.empty()) {
    const char letter = static_cast<char>(letters[0] | 0x20);
    const size_t power = kUnits.find(letter);
    const std::string_view after = letters.substr(1);
    const bool known =
        letter == 'b' ? after.empty()
                      : power != kUnits.npos && (after.empty() || after == "B" || after == "b" ||
                                                 after == "iB" || after == "ib");
    if (!known) number = -1;
    for (size_t i = 0; letter != 'b' && i <= power && known; ++i) unit *= 1024;
  }
  const double bytes = number * unit;
  if (error != std::errc() || !(bytes >= 1 && bytes <= kMost)) {
    return InvalidArgument(fmt::format("{}: found \"{}\", expected a size such as 16GiB or 500M",
                                       option, text.substr(0, 40)));
  }
  return static_cast<size_t>(bytes);
}

void ModelOptions::AddModel(std::vector<Option>* options) {
  models_folder = DefaultModelsFolder();
  options->push_back({.names = "model",
                      .value = "MODEL",
                      .help = "a GGUF file, a Hugging Face folder, a name in the store, or smollm2",
                      .group = "arguments",
                      .target = &model,
                      .required = true});
  options->push_back({.names = "--models",
                      .value = "FOLDER",
                      .help = "where models are kept by name [$XDG_CACHE_HOME/pelton/models]",
                      .group = "model",
                      .target = &models_folder});
}

void ModelOptions::AddPlan(std::vector<Option>* options) {
  options->push_back({.names = "--numerics",
                      .value = "MODE",
                      .help = "arithmetic: fast, or exact for fp32 throughout [fast]",
                      .group = "plan",
                      .target = &numerics,
                      .choices = {"fast", "exact"}});
  options->push_back({.names = "--weights",
                      .value = "FORMAT",
                      .help = "format of weights in memory: stored, as in the file, or w8 for 8 "
                              "bits, of experts too, that prompts are read faster with [stored]",
                      .group = "plan",
                      .target = &weights,
                      .choices = {"stored", "w8"}});
  options->push_back({.names = "--fusion-level",
                      .value = "N",
                      .help = "how much the graph is rewritten, 0 (not at all) to 3 [3]",
                      .group = "plan",
                      .target = &fusion_level});
  options->push_back({.names = "--pass-on",
                      .value = "NAME",
                      .help = "run one pass that is for some uses only: expand-latent-attention, "
                              "for DeepSeek's models and long prompts; may be given again",
                      .group = "plan",
                      .target = &passes_on});
  options->push_back({.names = "--pass-off",
                      .value = "NAME",
                      .help = "leave out one pass; may be given again",
                      .group = "plan",
                      .target = &passes_off});
}

void ModelOptions::AddRuntime(std::vector<Option>* options) {
  options->push_back({.names = "--invariant",
                      .value = "MODE",
                      .help = "results that do not depend on batch, chunk or cache: on, or off "
                              "for the fastest kernels; it matters only with AMX [on]",
                      .group = "plan",
                      .target = &invariant,
                      .choices = {"on", "off"}});
  options->push_back({.names = "--speculate",
                      .value = "MODE",
                      .help = "guess next tokens and check them in one step, where that pays: "
                              "ngram from what stood in the text before, mtp by the layer that "
                              "the model has for it, draft by --draft-model, all of them from the "
                              "form that the answer must have; off; or auto for draft, else mtp, "
                              "else ngram, where the answer cannot change by it [auto]",
                      .group = "plan",
                      .target = &speculate,
                      .choices = {"auto", "ngram", "mtp", "draft", "off"}});
  options->push_back({.names = "--draft-model",
                      .value = "MODEL",
                      .help = "a smaller model with the same vocabulary, which guesses next tokens",
                      .group = "plan",
                      .target = &draft_model});
  options->push_back({.names = "--draft-tokens",
                      .value = "N",
                      .help = "tokens that mtp and draft guess in a row at most, 1 to 8 [3]",
                      .group = "plan",
                      .target = &draft_tokens});
  options->push_back({.names = "-t,--threads",
                      .value = "N",
                      .help = "threads that compute; 0 for one per core [0]",
                      .group = "resources",
                      .target = &threads});
  options->push_back({.names = "-c,--ctx,--ctx-size,--max-model-len",
                      .value = "TOKENS",
                      .help = "longest sequence; 0 for what model and memory allow [0]",
                      .group = "resources",
                      .target = &context_tokens});
  options->push_back(
      {.names = "--kv-tokens",
       .value = "TOKENS",
       .help = "size of the KV cache; 0 for a context per sequence, at most half the memory [0]",
       .group = "resources",
       .target = &kv_tokens});
  options->push_back({.names = "--kv-memory",
                      .value = "SIZE",
                      .help = "the same as a size, such as 2GiB; what no sequence uses keeps "
                              "prefixes for reuse",
                      .group = "resources",
                      .target = &kv_memory});
  options->push_back({.names = "--kv-cache-dtype",
                      .value = "TYPE",
                      .help = "what keys and values are kept in: f32, f16, q8 for 8 bits and a "
                              "scale a head, or fp8 for the latent rows of DeepSeek V2 to V3.2 in "
                              "floats of 8 bits; both take about half the memory of f16; auto for "
                              "f16, or f32 where the numerics are exact [auto]",
                      .group = "resources",
                      .target = &kv_cache_dtype,
                      .choices = {"auto", "f32", "f16", "q8", "fp8"}});
  options->push_back({.names = "--step-tokens,--ubatch-size",
                      .value = "TOKENS",
                      .help = "most rows of one step; longer prompts run in chunks [512]",
                      .group = "resources",
                      .target = &step_tokens});
  options->push_back({.names = "--packed-cache-dir",
                      .value = "FOLDER",
                      .help =
                          "keep packed weights there, as large as the model's file: later loads "
                          "map them instead of packing again",
                      .group = "resources",
                      .target = &packed_cache_folder});
  options->push_back({.names = "--expert-memory",
                      .value = "SIZE",
                      .help =
                          "keep so much of a mixture's experts in memory and read the others "
                          "from --packed-cache-dir when they are needed; auto where they do not "
                          "fit, or off [auto]",
                      .group = "resources",
                      .target = &expert_memory});
  options->push_back({.names = "--tuning",
                      .value = "FILE",
                      .help = "kernels that pelton tune chose; auto for its own file, where there "
                              "is one, or off [auto]",
                      .group = "resources",
                      .target = &tuning});
  options->push_back({.names = "--packed-cache-verify",
                      .value = "",
                      .help =
                          "read the whole file of packed weights before it is used, to see that "
                          "nothing is damaged",
                      .group = "resources",
                      .target = &packed_cache_verify});
}

void ModelOptions::AddPrefixCache(std::vector<Option>* options) {
  options->push_back({.names = "--prefix-cache",
                      .value = "MODE",
                      .help = "what sequences leave in the KV cache is kept for prompts that begin "
                              "alike: on, or off [on]",
                      .group = "resources",
                      .target = &prefix_cache,
                      .choices = {"on", "off"}});
}

Result<std::string> ModelOptions::Path() const { return ResolveModel(model, models_folder); }

Result<PassOptions> ModelOptions::Passes() const {
  PassOptions options{.numerics = numerics == "exact" ? Numerics::kExact : Numerics::kFast,
                      .weights = weights == "w8" ? PackedFormat::kW8 : PackedFormat::kStored,
                      .fusion_level = static_cast<int>(fusion_level),
                      .switched_off = passes_off,
                      .switched_on = passes_on};
  RETURN_IF_ERROR(Validate(options));
  return options;
}

namespace {

// Follows what `pelton tune` measured.
Status FollowTuning(const std::string& tuning) {
  if (tuning == "off") return OkStatus();
  if (tuning != "auto") return ApplyTuning(tuning);
  const Status status = ApplyTuning(DefaultTuningFile());
  if (!status.ok() && status.code() != StatusCode::kNotFound) {
    fmt::print(stderr, "pelton: not tuned: {}\n", status.message());
  }
  return OkStatus();
}

}  // namespace

Result<LoadOptions> ModelOptions::Load(size_t max_sequences) const {
  // Once, before there is a model: kernels must not change while one runs.
  static const Status tuned = FollowTuning(tuning);
  RETURN_IF_ERROR(tuned.WithContext("--tuning"));
  const auto in_range = [](const char* name, int64_t value, int64_t low, int64_t high) {
    if (value >= low && value <= high) return OkStatus();
    return InvalidArgument(
        fmt::format("--{}: found {}, expected {} to {}", name, value, low, high));
  };
  constexpr int64_t kMost = int64_t{1} << 30;
  RETURN_IF_ERROR(in_range("threads", threads, 0, 1024));
  RETURN_IF_ERROR(in_range("ctx", context_tokens, 0, kMost));
  RETURN_IF_ERROR(in_range("kv-tokens", kv_tokens, 0, kMost));
  RETURN_IF_ERROR(in_range("step-tokens", step_tokens, 1, 65536));
  RETURN_IF_ERROR(
      in_range("draft-tokens", draft_tokens, 1, static_cast<int64_t>(ModelDrafter::kMaxGuesses)));
  LoadOptions options;
  ASSIGN_OR_RETURN(options.passes, Passes());
  options.invariant = invariant == "on";
  options.prefix_cache = prefix_cache == "on";
  options.speculate = speculate == "off"     ? Speculation::kOff
                      : speculate == "ngram" ? Speculation::kNgram
                      : speculate == "mtp"   ? Speculation::kMtp
                      : speculate == "draft" ? Speculation::kDraft
                                             : Speculation::kAuto;
  if (!draft_model.empty()) {
    Result<std::string> path = ResolveModel(draft_model, models_folder);
    if (!path.ok()) return path.status().WithContext("--draft-model");
    options.draft_model = std::move(path).value();
  }
  options.draft_tokens = static_cast<size_t>(draft_tokens);
  options.threads = static_cast<size_t>(threads);
  options.context_tokens = static_cast<size_t>(context_tokens);
  options.kv_tokens = static_cast<size_t>(kv_tokens);
  if (kv_cache_dtype != "auto") {
    options.kv_dtype = kv_cache_dtype == "f32"   ? KvDType::kF32
                       : kv_cache_dtype == "f16" ? KvDType::kF16
                       : kv_cache_dtype == "q8"  ? KvDType::kQ8
                                                 : KvDType::kFp8;
  }
  if (!kv_memory.empty()) {
    if (kv_tokens != 0) return InvalidArgument("--kv-memory and --kv-tokens: expected one of both");
    ASSIGN_OR_RETURN(options.kv_bytes, ParseSize("--kv-memory", kv_memory));
  }
  options.packed_cache_folder = packed_cache_folder;
  options.verify_packed_cache = packed_cache_verify;
  if (expert_memory == "auto") {
    options.expert_bytes = kExpertsThatFit;
  } else if (expert_memory != "off") {
    ASSIGN_OR_RETURN(options.expert_bytes, ParseSize("--expert-memory", expert_memory));
    if (packed_cache_folder.empty()) {
      return InvalidArgument("--expert-memory: expected --packed-cache-dir, too");
    }
  }
  options.report = [](std::string_view line) { fmt::print(stderr, "pelton: {}\n", line); };
  options.max_sequences = max_sequences;
  options.max_step_tokens = static_cast<size_t>(step_tokens);
  return options;
}

Result<std::unique_ptr<LanguageModel>> ModelOptions::Open(const LoadOptions& options) const {
  ASSIGN_OR_RETURN(const std::string path, Path());
  return LoadLanguageModel(path, options);
}

}  // namespace pelton
