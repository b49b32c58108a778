#include "served_models.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <utility>

#include "serving/model/model_store.h"
#include "serving/request/duration.h"

namespace pelton {
namespace {

constexpr size_t kMostModels = 1000;
constexpr int64_t kDefaultKeepAliveNs = int64_t{300} * 1'000'000'000;

// One entry of the list "models"; what it leaves out is as the command's options say.
struct ModelEntry {
  ModelOptions model;
  std::string name;
  std::vector<std::string> aliases;
  std::string keep_alive;
  int64_t parallel = 0;
  bool embedding = false;
  bool preload = false;
  bool pin = false;
  // Below 0: as the model's files advise.
  double temperature = -1, top_p = -1, min_p = -1, repetition_penalty = -1;
  int64_t top_k = -1;
};

std::vector<Option> OptionsOf(ModelEntry* entry) {
  std::vector<Option> options;
  const auto add = [&](const char* names, decltype(Option::target) target) {
    options.push_back({.names = names, .value = "", .help = "", .group = "", .target = target});
  };
  entry->model.AddPlan(&options);
  entry->model.AddRuntime(&options);
  entry->model.AddPrefixCache(&options);
  add("--path,--model", &entry->model.model);
  add("--name", &entry->name);
  add("--aliases,--alias", &entry->aliases);
  add("--keep-alive", &entry->keep_alive);
  add("--parallel,--max-num-seqs", &entry->parallel);
  add("--embedding", &entry->embedding);
  add("--preload", &entry->preload);
  add("--pin", &entry->pin);
  add("--temperature", &entry->temperature);
  add("--top-p", &entry->top_p);
  add("--top-k", &entry->top_k);
  add("--min-p", &entry->min_p);
  add("--repetition-penalty", &entry->repetition_penalty);
  return options;
}

// "smollm2-135m-instruct-q4_1" of ".../smollm2-135m-instruct-q4_1.gguf".
std::string NameOf(const std::string& model) {
  std::string name = model;
  while (name.size() > 1 && name.back() == '/') name.pop_back();
  name = name.substr(name.rfind('/') + 1);
  if (name.ends_with(".gguf")) name.resize(name.size() - 5);
  return name;
}

Status CheckName(const std::string& name) {
  constexpr size_t kMostBytes = 200;
  const bool plain = std::none_of(name.begin(), name.end(), [](char c) {
    return static_cast<unsigned char>(c) <= ' ' || c == 0x7f || c == '"';
  });
  if (!name.empty() && name.size() <= kMostBytes && plain) return OkStatus();
  return InvalidArgument(
      fmt::format("name: found \"{}\", expected 1 to 200 characters without blanks and quotes",
                  name.substr(0, 40)));
}

// -1: for ever.
Result<int64_t> KeepAlive(const std::string& text, int64_t otherwise_ns) {
  if (text.empty()) return otherwise_ns;
  const std::optional<int64_t> ns = ParseDuration(text);
  if (ns) return *ns;
  return InvalidArgument(
      fmt::format("keep-alive: found \"{}\", expected a time such as 90s, 5m, 1h30m or forever",
                  text.substr(0, 40)));
}

Status InRange(const char* name, double value, double low, double high) {
  if (value == -1 || (value >= low && value <= high)) return OkStatus();
  return InvalidArgument(fmt::format("{}: found {}, expected {} to {}", name, value, low, high));
}

Result<SamplingDefaults> SamplingOf(const ModelEntry& entry) {
  RETURN_IF_ERROR(InRange("temperature", entry.temperature, 0, 100));
  RETURN_IF_ERROR(InRange("top-p", entry.top_p, 0, 1));
  RETURN_IF_ERROR(InRange("min-p", entry.min_p, 0, 1));
  RETURN_IF_ERROR(InRange("repetition-penalty", entry.repetition_penalty, 0.01, 100));
  RETURN_IF_ERROR(InRange("top-k", static_cast<double>(entry.top_k), 0, 1 << 30));
  SamplingDefaults sampling;
  const auto state = [](double value, std::optional<double>* out) {
    if (value >= 0) *out = value;
  };
  state(entry.temperature, &sampling.temperature);
  state(entry.top_p, &sampling.top_p);
  state(entry.min_p, &sampling.min_p);
  state(entry.repetition_penalty, &sampling.repetition_penalty);
  if (entry.top_k >= 0) sampling.top_k = static_cast<uint64_t>(entry.top_k);
  return sampling;
}

// A model before its files are looked at.
struct Declaration {
  ModelOptions model;
  PooledModel pooled;
  bool must_be_encoder = false;
  bool may_be_broken = false;  // then it is left out
};

Result<Declaration> Declare(const ServedModelsOptions& options, const ModelEntry& entry,
                            int64_t keep_alive_ns) {
  if (entry.model.model.empty()) return InvalidArgument("path: expected the model's place or name");
  Declaration out{.model = entry.model, .must_be_encoder = entry.embedding};
  PooledModel& pooled = out.pooled;
  pooled.called = {.name = entry.name.empty() ? NameOf(entry.model.model) : entry.name,
                   .aliases = entry.aliases};
  RETURN_IF_ERROR(CheckName(pooled.called.name));
  for (const std::string& alias : pooled.called.aliases) RETURN_IF_ERROR(CheckName(alias));
  const int64_t parallel = entry.parallel == 0 ? options.parallel : entry.parallel;
  if (parallel < 1 || parallel > 1024) {
    return InvalidArgument(fmt::format("parallel: found {}, expected 1 to 1024", parallel));
  }
  ASSIGN_OR_RETURN(LoadOptions load, entry.model.Load(static_cast<size_t>(parallel)));
  load.max_queued = static_cast<size_t>(options.max_queued);
  load.policies[0].step_ns = options.realtime_step_ms * 1'000'000;
  load.gather_ns = options.gather_ms * 1'000'000;
  load.touch_ahead_bytes = size_t{512} << 20;
  ASSIGN_OR_RETURN(load.sampling, SamplingOf(entry));
  pooled.embedding = {.passes = load.passes,
                      .threads = load.threads,
                      .max_step_tokens = load.max_step_tokens,
                      .max_queued = load.max_queued};
  pooled.load = std::move(load);
  ASSIGN_OR_RETURN(pooled.keep_alive_ns, KeepAlive(entry.keep_alive, keep_alive_ns));
  pooled.preload = entry.preload || entry.pin;
  pooled.pinned = entry.pin;
  return out;
}

// What the store holds besides; names that are declared already mean those.
Status AddStored(const ServedModelsOptions& options, int64_t keep_alive_ns,
                 std::vector<Declaration>* out) {
  std::set<std::string> taken;
  for (const Declaration& each : *out) {
    taken.insert(each.pooled.called.name);
    taken.insert(each.pooled.called.aliases.begin(), each.pooled.called.aliases.end());
  }
  for (const StoredModel& stored : ListStore(options.model.models_folder)) {
    if (taken.contains(stored.name) || !CheckName(stored.name).ok()) continue;
    ModelEntry entry{.model = options.model, .name = stored.name};
    entry.model.model = stored.path;
    ASSIGN_OR_RETURN(Declaration declared, Declare(options, entry, keep_alive_ns));
    declared.may_be_broken = true;
    out->push_back(std::move(declared));
  }
  return OkStatus();
}

// The models that the options and the list declare. With more than one MODEL, or a list, they are
// loaded when they are asked for.
Result<std::vector<Declaration>> Declarations(const ServedModelsOptions& options,
                                              const Configuration& configuration) {
  const ConfigNode* const list = configuration.Find("models");
  const bool has_list = list != nullptr && list->kind == ConfigNode::Kind::kList;
  const bool several = has_list || options.models.size() > 1 || options.manage_store;
  ASSIGN_OR_RETURN(const int64_t keep_alive_ns,
                   KeepAlive(options.keep_alive, several ? kDefaultKeepAliveNs : kKeepForever));
  if (!options.name.empty() && options.models.size() != 1) {
    return InvalidArgument(
        fmt::format("--served-model-name: found {} models on the command line, expected 1",
                    options.models.size()));
  }
  std::vector<Declaration> out;
  const auto add = [&](const std::string& model, const std::string& name, bool encoder) -> Status {
    ModelEntry entry{.model = options.model, .name = name, .embedding = encoder};
    entry.model.model = model;
    entry.preload = !several;
    ASSIGN_OR_RETURN(Declaration declared, Declare(options, entry, keep_alive_ns));
    out.push_back(std::move(declared));
    return OkStatus();
  };
  for (const std::string& model : options.models) RETURN_IF_ERROR(add(model, options.name, false));
  if (has_list) {
    if (list->items.size() > kMostModels) {
      return configuration.Error(*list, fmt::format("models: found {}, expected at most {}",
                                                    list->items.size(), kMostModels));
    }
    for (const ConfigNode& item : list->items) {
      if (item.kind != ConfigNode::Kind::kMap) {
        return configuration.Error(item, "models: expected names and values of a model");
      }
      ModelEntry entry{.model = options.model};
      RETURN_IF_ERROR(
          SetOptions(configuration, OptionsOf(&entry), item, [](const Option&) { return false; }));
      Result<Declaration> declared = Declare(options, entry, keep_alive_ns);
      if (!declared.ok()) return configuration.Error(item, declared.status().message());
      out.push_back(std::move(declared).value());
    }
  }
  for (const std::string& model : options.encoders) RETURN_IF_ERROR(add(model, "", true));
  if (options.manage_store) RETURN_IF_ERROR(AddStored(options, keep_alive_ns, &out));
  std::set<std::string> names;
  for (const Declaration& each : out) {
    std::vector<std::string> own = each.pooled.called.aliases;
    own.push_back(each.pooled.called.name);
    for (const std::string& name : own) {
      if (names.insert(name).second) continue;
      return InvalidArgument(
          fmt::format("models: found the name \"{}\" twice, expected different ones", name));
    }
  }
  return out;
}

}  // namespace

void ServedModelsOptions::AddModels(std::vector<Option>* options) {
  model.AddModel(options);
  Option& positional = options->front();
  positional.help += "; several are loaded when they are asked for";
  positional.value = "MODEL...";
  positional.target = &models;
  positional.required = false;  // a file may name it
}

void ServedModelsOptions::AddResources(std::vector<Option>* options) {
  const auto add = [&](const char* names, const char* value, const char* help,
                       decltype(Option::target) target) {
    options->push_back(
        {.names = names, .value = value, .help = help, .group = "resources", .target = target});
  };
  add("--keep-alive", "TIME",
      "unload a model that nobody asked for so long: 90s, 5m, forever [forever for one MODEL, else "
      "5m]",
      &keep_alive);
  add("--memory", "SIZE", "for all models together, such as 16GiB [what the system has]", &memory);
  add("--kv-cache-dir", "FOLDER",
      "keep prefix caches there when models go, and begin with them the next time", &store_folder);
  add("--kv-cache-limit", "SIZE", "most that is kept there of each model [256MiB]", &store_limit);
  add("--parallel,--max-num-seqs", "N", "sequences in one step [32]", &parallel);
  add("--max-queued,--max-num-queued-reqs", "N", "requests that wait; more get status 503 [1024]",
      &max_queued);
  add("--realtime-step-ms", "N", "step time that requests of class realtime are promised [25]",
      &realtime_step_ms);
  add("--gather-ms", "N", "how long an idle engine waits for more requests to start with [0]",
      &gather_ms);
}

Status ServedModelsOptions::Check(const Configuration& configuration) const {
  if (parallel < 1 || parallel > 1024) {
    return InvalidArgument(fmt::format("--parallel: found {}, expected 1 to 1024", parallel));
  }
  if (max_queued < 1 || max_queued > 1 << 20) {
    return InvalidArgument(
        fmt::format("--max-queued: found {}, expected 1 to 1048576", max_queued));
  }
  for (const auto& [option, value] :
       {std::pair("realtime-step-ms", realtime_step_ms), std::pair("gather-ms", gather_ms)}) {
    if (value < 0 || value > 60'000) {
      return InvalidArgument(fmt::format("--{}: found {}, expected 0 to 60000", option, value));
    }
  }
  if (!memory.empty()) RETURN_IF_ERROR(ParseSize("--memory", memory).status());
  RETURN_IF_ERROR(Store().status());
  return Declarations(*this, configuration).status();
}

Result<std::vector<PooledModel>> ServedModelsOptions::Declared(const Configuration& configuration,
                                                               size_t memory_bytes,
                                                               PrefixStore* store) const {
  ASSIGN_OR_RETURN(std::vector<Declaration> declarations, Declarations(*this, configuration));
  std::vector<PooledModel> out;
  for (Declaration& each : declarations) {
    ASSIGN_OR_RETURN(const std::string path, each.model.Path());
    Result<ModelFacts> read = ReadModelFacts(path);
    if (!read.ok() && each.may_be_broken) continue;
    if (!read.ok()) return read.status();
    ModelFacts facts = std::move(read).value();
    if (each.must_be_encoder && !facts.encoder) {
      return Unimplemented(
          fmt::format("{}: embeddings of {} are not supported, expected an encoder (bert)", path,
                      facts.architecture));
    }
    each.pooled.load.store = store;
    each.pooled.facts = std::make_shared<const ModelFacts>(std::move(facts));
    out.push_back(std::move(each.pooled));
  }
  if (out.empty() && !manage_store) {
    return InvalidArgument(
        "expected MODEL, on the command line or as \"model\" or \"models\" in the --config file");
  }
  ShareMemory(memory_bytes, &out);
  return out;
}

Result<PooledModel> ServedModelsOptions::DeclareStored(const std::string& stored_name,
                                                       const std::string& path, size_t memory_bytes,
                                                       PrefixStore* store) const {
  ASSIGN_OR_RETURN(const int64_t keep_alive_ns, KeepAlive(keep_alive, kDefaultKeepAliveNs));
  ModelEntry entry{.model = model, .name = stored_name};
  entry.model.model = path;
  ASSIGN_OR_RETURN(Declaration declared, Declare(*this, entry, keep_alive_ns));
  ASSIGN_OR_RETURN(ModelFacts facts, ReadModelFacts(path));
  PooledModel& pooled = declared.pooled;
  pooled.facts = std::make_shared<const ModelFacts>(std::move(facts));
  pooled.load.store = store;
  // Others are there already.
  pooled.load.memory_bytes = memory_bytes;
  pooled.load.most_kv_bytes = memory_bytes / 4;
  return std::move(pooled);
}

Result<std::optional<PrefixStoreOptions>> ServedModelsOptions::Store() const {
  if (store_folder.empty()) {
    if (store_limit.empty()) return std::optional<PrefixStoreOptions>();
    return InvalidArgument("--kv-cache-limit: expected --kv-cache-dir, too");
  }
  PrefixStoreOptions options{.folder = store_folder, .most_bytes = uint64_t{256} << 20};
  if (!store_limit.empty()) {
    ASSIGN_OR_RETURN(options.most_bytes, ParseSize("--kv-cache-limit", store_limit));
  }
  return std::optional<PrefixStoreOptions>(std::move(options));
}

Result<size_t> ServedModelsOptions::MemoryBytes() const {
  if (memory.empty()) return MemoryForModels();
  return ParseSize("--memory", memory);
}

}  // namespace pelton
