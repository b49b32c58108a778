#include "serving/pool/pool_state.h"

#include <fmt/format.h>

#include <utility>

#include "serving/metrics/metrics_text.h"

namespace pelton {
namespace {

std::string LabelOf(const std::string& name) {
  return fmt::format("model=\"{}\"", LabelValue(name));
}

}  // namespace

ModelPool::Resident::Resident(LoadedModel model, const ServedName& called)
    : loaded(std::move(model)) {
  if (loaded.language != nullptr) language.emplace(ServedModel{*loaded.language, called});
  if (loaded.encoder != nullptr) encoder.emplace(ServedEncoder{*loaded.encoder, called});
}

ModelCounts::ModelCounts(MetricRegistry& registry, const std::string& name)
    : loaded(registry.AddGauge("pelton_model_loaded", LabelOf(name),
                               "1 if the model is in memory, else 0")),
      memory_bytes(registry.AddGauge("pelton_model_memory_bytes", LabelOf(name),
                                     "What the model takes of the memory for models")),
      waiting(registry.AddGauge("pelton_model_requests_waiting", LabelOf(name),
                                "Requests that wait for the model to be loaded")),
      loads(registry.AddCounter("pelton_model_loads_total", LabelOf(name),
                                "How often the model was loaded")),
      failures(registry.AddCounter("pelton_model_load_failures_total", LabelOf(name),
                                   "How often the model could not be loaded")),
      unloads(registry.AddCounter("pelton_model_unloads_total", LabelOf(name),
                                  "How often the model left memory")),
      load_seconds(registry.AddHistogram("pelton_model_load_seconds", LabelOf(name),
                                         "Duration of loading the model",
                                         {0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600})) {}

ModelPool::Entry* ModelPool::State::Find(std::string_view asked) const {
  for (const auto& entry : entries) {
    if (entry->model.called.Is(asked)) return entry.get();
  }
  return nullptr;
}

void ModelPool::State::CountOut(Entry& entry, const Waiter& waiter) {
  --waiting;
  waiting_bytes -= waiter.bytes;
  entry.counts.waiting.Add(-1);
}

std::vector<ModelPool::Waiter> ModelPool::State::TakeWaiters(Entry& entry) {
  std::vector<Waiter> taken = std::move(entry.waiters);
  entry.waiters.clear();
  for (const Waiter& waiter : taken) CountOut(entry, waiter);
  return taken;
}

}  // namespace pelton
