#include "graph/execute/expert_cache.h"

#include <sys/mman.h>

#include <utility>

namespace pelton {

ExpertCache::ExpertCache(std::vector<std::vector<ExpertPanels>> layers,
                         std::vector<size_t> num_experts, size_t most_bytes,
                         MetricRegistry& metrics)
    : layers_(std::move(layers)),
      first_(1),
      most_bytes_(most_bytes),
      hits_(metrics.AddCounter("pelton_expert_cache_hits_total", "",
                               "Uses of experts that were in memory from earlier uses")),
      foreseen_(metrics.AddCounter("pelton_expert_cache_foreseen_total", "",
                                   "Uses of experts that were asked for a layer ahead")),
      misses_(metrics.AddCounter("pelton_expert_cache_misses_total", "",
                                 "Uses of experts that were asked for from the file")),
      fetched_bytes_(metrics.AddCounter("pelton_expert_cache_fetched_bytes_total", "",
                                        "Bytes of experts that were asked for from the file")),
      evicted_bytes_(metrics.AddCounter("pelton_expert_cache_evicted_bytes_total", "",
                                        "Bytes of experts that left memory for others")),
      resident_gauge_(metrics.AddGauge("pelton_expert_cache_resident_bytes", "",
                                       "Bytes of experts that are kept in memory")) {
  for (size_t layer = 0; layer < layers_.size(); ++layer) {
    first_.push_back(first_.back() + static_cast<uint32_t>(num_experts[layer]));
    size_t bytes = 0;
    for (const ExpertPanels& panels : layers_[layer]) bytes += panels.group_bytes;
    bytes_.push_back(bytes);
    entries_.resize(first_.back(), Entry{.layer = static_cast<uint32_t>(layer)});
  }
}

ExpertCache::~ExpertCache() { resident_gauge_.Add(-static_cast<int64_t>(resident_bytes_)); }

void ExpertCache::Append(uint32_t entry) noexcept {
  entries_[entry].older = newest_;
  entries_[entry].newer = kNone;
  (newest_ == kNone ? oldest_ : entries_[newest_].newer) = entry;
  newest_ = entry;
}

void ExpertCache::Remove(uint32_t entry) noexcept {
  const Entry& e = entries_[entry];
  (e.older == kNone ? oldest_ : entries_[e.older].newer) = e.newer;
  (e.newer == kNone ? newest_ : entries_[e.newer].older) = e.older;
}

void ExpertCache::Advise(uint32_t entry, int advice) const noexcept {
  const size_t layer = entries_[entry].layer;
  const size_t expert = entry - first_[layer];
  for (const ExpertPanels& panels : layers_[layer]) {
    ::madvise(const_cast<std::byte*>(panels.data) + expert * panels.group_bytes, panels.group_bytes,
              advice);
  }
}

void ExpertCache::Evict(uint32_t entry) noexcept {
  const size_t bytes = bytes_[entries_[entry].layer];
  Remove(entry);
  entries_[entry].resident = entries_[entry].foreseen = false;
  Advise(entry, MADV_DONTNEED);
  resident_bytes_ -= bytes;
  evicted_bytes_.Add(bytes);
}

bool ExpertCache::MakeRoom(size_t wanted) noexcept {
  while (resident_bytes_ + wanted > most_bytes_) {
    if (oldest_ == kNone || entries_[oldest_].used == uses_) return false;
    Evict(oldest_);
  }
  return true;
}

void ExpertCache::Fetch(uint32_t entry) noexcept {
  const size_t bytes = bytes_[entries_[entry].layer];
  entries_[entry].resident = true;
  Append(entry);
  Advise(entry, MADV_WILLNEED);
  resident_bytes_ += bytes;
  fetched_bytes_.Add(bytes);
}

void ExpertCache::Use(size_t layer, const int32_t* starts) noexcept {
  ++uses_;
  const size_t before = resident_bytes_;
  const uint32_t first = first_[layer];
  const uint32_t count = first_[layer + 1] - first;
  size_t hits = 0, foreseen = 0, misses = 0;
  for (uint32_t e = 0; e < count; ++e) {
    if (starts[e] == starts[e + 1]) continue;
    Entry& entry = entries_[first + e];
    entry.used = uses_;
    ++(!entry.resident ? misses : entry.foreseen ? foreseen : hits);
    entry.foreseen = false;
    if (!entry.resident) continue;
    Remove(first + e);
    Append(first + e);
  }
  // Room first, so that there is never more in memory than there has to be.
  MakeRoom(misses * bytes_[layer]);
  for (uint32_t e = 0; misses > 0 && e < count; ++e) {
    Entry& entry = entries_[first + e];
    if (entry.used == uses_ && !entry.resident) Fetch(first + e);
  }
  hits_.Add(hits);
  foreseen_.Add(foreseen);
  misses_.Add(misses);
  resident_gauge_.Add(static_cast<int64_t>(resident_bytes_) - static_cast<int64_t>(before));
}

void ExpertCache::Foresee(size_t layer, std::span<const int32_t> ids) noexcept {
  const size_t before = resident_bytes_;
  const uint32_t first = first_[layer];
  // What is there already must not make room for the rest.
  for (const int32_t id : ids) {
    const uint32_t e = first + static_cast<uint32_t>(id);
    if (!entries_[e].resident || entries_[e].used == uses_) continue;
    entries_[e].used = uses_;
    Remove(e);
    Append(e);
  }
  for (const int32_t id : ids) {
    const uint32_t e = first + static_cast<uint32_t>(id);
    if (entries_[e].resident) continue;
    if (!MakeRoom(bytes_[layer])) break;
    entries_[e].used = uses_;
    entries_[e].foreseen = true;
    Fetch(e);
  }
  resident_gauge_.Add(static_cast<int64_t>(resident_bytes_) - static_cast<int64_t>(before));
}

}  // namespace pelton
