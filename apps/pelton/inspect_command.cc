#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "command.h"
#include "graph/ir/text.h"
#include "graph/plan/cost_model.h"
#include "graph/plan/memory_plan.h"
#include "model_options.h"

namespace pelton {
namespace {

using Json = nlohmann::ordered_json;

struct InspectOptions {
  ModelOptions model;
  bool graph = false;
  bool plan = false;
  bool passes = false;
  bool memory = false;
  bool json = false;
};

constexpr double kMiB = 1 << 20;

Json CostJson(const GraphCost& cost) {
  return {{"ops", cost.ops},
          {"weight_bytes", cost.weight_bytes},
          {"value_bytes", cost.value_bytes},
          {"operations", cost.operations},
          {"predicted_us", cost.seconds * 1e6}};
}

void PrintPasses(const PlannedModel& model, bool json) {
  if (json) {
    Json out = Json::array();
    for (const PassReport& report : model.pass_reports) {
      out.push_back({{"name", report.name},
                     {"ran", report.ran},
                     {"changed", report.changed},
                     {"undone", report.undone},
                     {"seconds", report.seconds},
                     {"before", CostJson(report.before)},
                     {"after", CostJson(report.after)}});
    }
    fmt::print("{}\n", out.dump(2));
    return;
  }
  fmt::print("One decoding step with 512 tokens of context, as predicted.\n");
  fmt::print("{:<28} {:>8} {:>11} {:>11} {:>13} {:>13} {:>10}\n", "PASS", "TIME", "OPS", "SAVED",
             "BYTES MOVED", "SAVED", "PREDICTED");
  for (const PassReport& report : model.pass_reports) {
    if (!report.ran) {
      fmt::print("{:<28} {:>8}\n", report.name, "off");
      continue;
    }
    const auto bytes = [](const GraphCost& cost) { return cost.weight_bytes + cost.value_bytes; };
    fmt::print("{:<28} {:>5.2f} ms {:>11} {:>11} {:>9.2f} MiB {:>9.3f} MiB {:>7.0f} us{}\n",
               report.name, report.seconds * 1e3, report.after.ops,
               static_cast<int64_t>(report.before.ops) - static_cast<int64_t>(report.after.ops),
               bytes(report.after) / kMiB, (bytes(report.before) - bytes(report.after)) / kMiB,
               report.after.seconds * 1e6, report.undone ? "  (did not pay, undone)" : "");
  }
}

void PrintPlan(const PlannedModel& model, const SymbolValues& largest, bool json) {
  const MemoryPlan memory = PlanMemory(model.planned, largest);
  const MachineModel machine;
  Json out = Json::array();
  if (!json) {
    fmt::print("{:>4}  {:<18} {:<34} {:>10} {:>10} {:>10}\n", "#", "OP", "RESULT", "AT", "1 ROW",
               "512 ROWS");
  }
  for (size_t n = 0; n < model.planned.nodes.size(); ++n) {
    const Node& node = model.planned.nodes[n];
    ValueId result = kNoValue;
    for (ValueId output : node.outputs) {
      if (output != kNoValue && result == kNoValue) result = output;
    }
    const Value& value = model.planned.value(result);
    const MemoryPlan::Place& place = memory.places[static_cast<size_t>(result)];
    const double decode = CostOf(model.planned, node, kDecodeStep, machine).seconds * 1e6;
    const double prefill = CostOf(model.planned, node, kPrefillStep, machine).seconds * 1e6;
    if (json) {
      out.push_back({{"op", SchemaOf(node.kind).name},
                     {"result", value.name},
                     {"shape", ToText(value.shape)},
                     {"offset", place.in_arena ? Json(place.offset) : Json()},
                     {"predicted_us_1_row", decode},
                     {"predicted_us_512_rows", prefill}});
      continue;
    }
    fmt::print("{:>4}  {:<18} {:<34} {:>10} {:>7.1f} us {:>7.0f} us\n", n, SchemaOf(node.kind).name,
               value.name + " " + ToText(value.shape),
               place.in_arena ? fmt::format("{}", place.offset) : "-", decode, prefill);
  }
  if (json) fmt::print("{}\n", out.dump(2));
}

int PrintMemory(const ModelOptions& options, bool json) {
  const Result<LoadOptions> load = options.Load(1);
  if (!load.ok()) return Fail(load.status());
  const Result<std::unique_ptr<LanguageModel>> model = options.Open(*load);
  if (!model.ok()) return Fail(model.status());
  const MemoryUse& use = (*model)->memory;
  if (json) {
    fmt::print("{}\n", Json{{"arena_bytes", use.arena_bytes},
                            {"arena_unshared_bytes", use.arena_sum_bytes},
                            {"scratch_bytes", use.scratch_bytes},
                            {"kv_bytes", use.kv_bytes},
                            {"kv_bytes_per_token", use.kv_bytes_per_token},
                            {"context_tokens", (*model)->context_tokens},
                            {"packed_weight_bytes", use.packed_weight_bytes},
                            {"expert_bytes", use.expert_bytes},
                            {"mapped_bytes", use.mapped_bytes}}
                           .dump(2));
    return kExitOk;
  }
  const auto mib = [](size_t bytes) { return static_cast<double>(bytes) / kMiB; };
  fmt::print("1. arena    {:>9.1f} MiB  activations of the largest step ({:.1f} without sharing)\n",
             mib(use.arena_bytes), mib(use.arena_sum_bytes));
  fmt::print("            {:>9.1f} MiB  scratch of the threads\n", mib(use.scratch_bytes));
  fmt::print("2. blocks   {:>9.1f} MiB  KV cache, {} bytes a token, {} tokens\n", mib(use.kv_bytes),
             use.kv_bytes_per_token, use.kv_bytes / use.kv_bytes_per_token);
  fmt::print("3. views    {:>9.1f} MiB  weights packed once, read by every step\n",
             mib(use.packed_weight_bytes));
  if (use.expert_bytes > 0) {
    fmt::print(
        "            {:>9.1f} MiB  at most, experts that are mapped from their packed file\n",
        mib(use.expert_bytes));
  }
  fmt::print("            {:>9.1f} MiB  model file, mapped; its pages leave memory once packed\n",
             mib(use.mapped_bytes));
  return kExitOk;
}

void PrintSummary(const PlannedModel& model, bool json) {
  const ModelConfig& config = model.files.config;
  double parameters = 0;
  std::map<std::string, std::pair<size_t, double>> types;
  for (const TensorInfo& tensor : model.files.weights.tensors()) {
    parameters += static_cast<double>(tensor.NumElements());
    auto& [count, bytes] = types[std::string(DTypeName(tensor.dtype))];
    ++count;
    bytes += static_cast<double>(tensor.data.size());
  }
  if (json) {
    Json out{{"file", config.file},
             {"architecture", config.architecture},
             {"name", config.name},
             {"parameters", parameters},
             {"layers", config.layers},
             {"hidden", config.hidden},
             {"heads", config.heads},
             {"kv_heads", config.kv_heads},
             {"head_dim", config.head_dim},
             {"intermediate", config.intermediate},
             {"vocab", config.vocab},
             {"context_tokens", config.context_tokens},
             {"tied_embeddings", config.tie_embeddings}};
    if (config.moe) {
      out["experts"] = {{"count", config.moe->experts},
                        {"used", config.moe->top},
                        {"shared", config.moe->shared},
                        {"intermediate", config.moe->intermediate}};
    }
    if (config.mla) {
      out["latent_attention"] = {{"kv_rank", config.mla->kv_rank},
                                 {"rope_dim", config.mla->rope_dim},
                                 {"q_rank", config.mla->q_rank}};
    }
    for (const auto& [name, entry] : types) {
      out["tensors"][name] = {{"count", entry.first}, {"bytes", entry.second}};
    }
    fmt::print("{}\n", out.dump(2));
    return;
  }
  fmt::print("file          {}\n", config.file);
  fmt::print("name          {}\n", config.name.empty() ? "-" : config.name);
  fmt::print("architecture  {}\n", config.architecture);
  fmt::print("parameters    {:.1f} M\n", parameters / 1e6);
  fmt::print("layers        {}, hidden {}, heads {} ({} for K and V) of {}, feed-forward {}\n",
             config.layers, config.hidden, config.heads, config.kv_heads, config.head_dim,
             config.intermediate);
  if (config.moe) {
    const auto with_experts =
        std::count(config.moe->layers.begin(), config.moe->layers.end(), true);
    fmt::print("experts       {} of {} a token in {} layers, {} shared, feed-forward {}\n",
               config.moe->top, config.moe->experts, with_experts, config.moe->shared,
               config.moe->intermediate);
  }
  if (config.mla) {
    fmt::print("attention     latent, a row of {} + {} for each token and layer\n",
               config.mla->kv_rank, config.mla->rope_dim);
  }
  fmt::print("vocabulary    {}{}\n", config.vocab,
             config.tie_embeddings ? ", embeddings tied to the head" : "");
  fmt::print("context       {} tokens\n", config.context_tokens);
  for (const auto& [name, entry] : types) {
    fmt::print("tensors       {:<7} {:>5}  {:>9.1f} MB\n", name, entry.first, entry.second / 1e6);
  }
}

int Run(const InspectOptions& options) {
  if (options.memory) return PrintMemory(options.model, options.json);
  const Result<std::string> path = options.model.Path();
  if (!path.ok()) return Fail(path.status());
  const Result<LoadOptions> load = options.model.Load(1);
  if (!load.ok()) return Fail(load.status());
  const Result<PlannedModel> model = PlanModel(*path, *load);
  if (!model.ok()) return Fail(model.status());
  if (options.graph) {
    fmt::print("{}", GraphToText(model->planned));
  } else if (options.plan) {
    const SymbolValues largest{512, 32, 2048};
    PrintPlan(*model, largest, options.json);
  } else if (options.passes) {
    PrintPasses(*model, options.json);
  } else {
    PrintSummary(*model, options.json);
  }
  return kExitOk;
}

}  // namespace

Command InspectCommand() {
  auto options = std::make_shared<InspectOptions>();
  Command command{
      .name = "inspect",
      .summary = "what is in a model and what is made of it",
      .description =
          "Describes a model file. --graph prints the graph that will run (with --fusion-level 0 "
          "as the model's builder made it, with packed weights), --plan every op with its place in "
          "memory and its "
          "predicted time, --passes what each pass of the optimiser saved, --memory what the "
          "three levels of memory hold."};
  options->model.AddModel(&command.options);
  const auto add = [&](const char* name, const char* help, bool* target) {
    command.options.push_back(
        {.names = name, .value = "", .help = help, .group = "output", .target = target});
  };
  add("--graph", "print the graph as text", &options->graph);
  add("--plan", "print the ops in order, with memory and predicted time", &options->plan);
  add("--passes", "print what each pass saved", &options->passes);
  add("--memory", "load the model and print its memory", &options->memory);
  add("--json", "print JSON", &options->json);
  options->model.AddPlan(&command.options);
  options->model.AddRuntime(&command.options);
  command.run = [options] { return Run(*options); };
  command.storage = options;
  return command;
}

}  // namespace pelton
