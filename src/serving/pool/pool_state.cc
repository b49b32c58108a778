#include "serving/pool/pool_state.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/checked_math.h"
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
    if (!entry->removed && entry->model.called.Is(asked)) return entry.get();
  }
  return nullptr;
}

void ModelPool::State::Forget() {
  std::erase_if(entries, [](const auto& entry) {
    return entry->removed && entry->state == ModelState::kCold && entry->shares == 0;
  });
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

ModelPool::Entry* ModelPool::State::NextToLoad() const {
  Entry* next = nullptr;
  for (const auto& entry : entries) {
    if (entry->state != ModelState::kCold || entry->waiters.empty()) continue;
    if (next == nullptr || entry->waiters[0].ticket < next->waiters[0].ticket) next = entry.get();
  }
  return next;
}

ModelPool::Entry* ModelPool::State::NextIdle(int64_t now_ns, int64_t* wake_ns) const {
  for (const auto& entry : entries) {
    if (entry->state != ModelState::kReady || entry->KeepNs() < 0) continue;
    const int64_t since_ns = entry->shares > 0 ? now_ns : entry->last_used_ns;
    const int64_t end_ns = since_ns + entry->KeepNs();
    if (entry->MayGo() && end_ns <= now_ns) return entry.get();
    // One in use says so when it is let go, or is looked at again when its time may be over.
    if (entry->shares == 0 || entry->KeepNs() >= kSecondNs) {
      *wake_ns = std::min(*wake_ns, end_ns);
    }
  }
  return nullptr;
}

std::string ModelPool::State::HoldersText() const {
  std::string text;
  for (const auto& entry : entries) {
    if (entry->bytes == 0) continue;
    text += fmt::format("{}\"{}\" {} MiB", text.empty() ? "" : ", ", entry->model.called.name,
                        DivUp(entry->bytes, size_t{1} << 20));
    if (entry->model.pinned) {
      text += " (pinned)";
    } else if (entry->shares > 0) {
      text += " (in use)";
    }
  }
  return text.empty() ? "nothing" : text;
}

}  // namespace pelton
