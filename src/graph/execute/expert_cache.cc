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
                               "Uses of experts that were in memory")),
      misses_(metrics.AddCounter("pelton_expert_cache_misses_total", "",
                                 "Uses of experts that were asked for from the file")),
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
  entries_[entry].resident = false;
  Advise(entry, MADV_DONTNEED);
  resident_bytes_ -= bytes;
  evicted_bytes_.Add(bytes);
}

void ExpertCache::Use(size_t layer, const int32_t* starts) noexcept {
  ++calls_;
  const size_t before = resident_bytes_;
  const uint32_t first = first_[layer];
  const uint32_t count = first_[layer + 1] - first;
  size_t hits = 0, misses = 0;
  for (uint32_t e = 0; e < count; ++e) {
    if (starts[e] == starts[e + 1]) continue;
    Entry& entry = entries_[first + e];
    entry.used = calls_;
    ++(entry.resident ? hits : misses);
    if (!entry.resident) continue;
    Remove(first + e);
    Append(first + e);
  }
  // Room first, so that there is never more in memory than there has to be.
  const size_t wanted = misses * bytes_[layer];
  while (oldest_ != kNone && entries_[oldest_].used != calls_ &&
         resident_bytes_ + wanted > most_bytes_) {
    Evict(oldest_);
  }
  for (uint32_t e = 0; misses > 0 && e < count; ++e) {
    Entry& entry = entries_[first + e];
    if (entry.used != calls_ || entry.resident) continue;
    entry.resident = true;
    Append(first + e);
    Advise(first + e, MADV_WILLNEED);
    resident_bytes_ += bytes_[layer];
  }
  hits_.Add(hits);
  misses_.Add(misses);
  resident_gauge_.Add(static_cast<int64_t>(resident_bytes_) - static_cast<int64_t>(before));
}

}  // namespace pelton
