#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/metrics.h"

namespace pelton {

// Panels of all experts of a layer in a mapped file: those of expert e are group_bytes from
// data + e * group_bytes on. Both are multiples of the page size.
struct ExpertPanels {
  const std::byte* data;
  size_t group_bytes;
};

// Which experts of a mapped file are in memory: those used last, up to a number of bytes. It only
// tells the system which pages will be read and which need not stay, so that a wrong guess costs
// time and no result. One thread at a time.
class ExpertCache {
 public:
  // layers[l] are the matrices that the experts of layer l have, num_experts[l] of each. Borrows
  // the mapping and the registry.
  ExpertCache(std::vector<std::vector<ExpertPanels>> layers, std::vector<size_t> num_experts,
              size_t most_bytes, MetricRegistry& metrics);
  ~ExpertCache();
  ExpertCache(const ExpertCache&) = delete;
  ExpertCache& operator=(const ExpertCache&) = delete;

  // The experts e of a layer with starts[e] < starts[e + 1], [num_experts + 1], are read next:
  // those that are not in memory are asked for, those used last the longest ago before leave it. A
  // step that needs more than there is room for has it until the next call. No allocation.
  void Use(size_t layer, const int32_t* starts) noexcept;

  // The experts [ids] of a layer, numbers of which may be repeated, will probably be used by its
  // next Use: those that are not in memory are asked for as far as there is room beside those of
  // the last Use and of this guess, first ones first. No allocation. Requires: every id is in
  // [0, num_experts of the layer).
  void Foresee(size_t layer, std::span<const int32_t> ids) noexcept;

  size_t resident_bytes() const { return resident_bytes_; }
  bool IsResident(size_t layer, size_t expert) const {
    return entries_[first_[layer] + expert].resident;
  }

 private:
  static constexpr uint32_t kNone = ~uint32_t{0};
  struct Entry {
    uint32_t older = kNone, newer = kNone;
    uint32_t layer = 0;
    bool resident = false;
    bool foreseen = false;  // asked for by Foresee and not used since
    uint64_t used = 0;      // the last Use that used it, or that a guess came after
  };

  void Append(uint32_t entry) noexcept;
  void Remove(uint32_t entry) noexcept;
  void Evict(uint32_t entry) noexcept;
  // Evicts what was used the longest ago until `wanted` bytes have room; whether they have. What
  // the last Use and guesses since named stays.
  bool MakeRoom(size_t wanted) noexcept;
  void Fetch(uint32_t entry) noexcept;
  void Advise(uint32_t entry, int advice) const noexcept;

  std::vector<std::vector<ExpertPanels>> layers_;
  std::vector<uint32_t> first_;  // entry of a layer's expert 0; the last: number of entries
  std::vector<size_t> bytes_;    // of an expert, by layer
  std::vector<Entry> entries_;
  uint32_t oldest_ = kNone, newest_ = kNone;
  const size_t most_bytes_;
  size_t resident_bytes_ = 0;
  uint64_t uses_ = 0;
  Counter& hits_;
  Counter& foreseen_;
  Counter& misses_;
  Counter& fetched_bytes_;
  Counter& evicted_bytes_;
  Gauge& resident_gauge_;
};

}  // namespace pelton
