#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "base/metrics.h"
#include "base/mutex.h"
#include "runtime/kv/block_file.h"
#include "runtime/kv/block_pool.h"
#include "runtime/kv/prefix_index.h"

namespace pelton {

struct PrefixStoreOptions {
  std::string folder;
  uint64_t most_bytes = uint64_t{1} << 30;  // of a file
  // One line about trouble, or about its end; at most one a minute of each. Any thread; may be
  // empty.
  std::function<void(std::string_view line)> report;
};

// Keeps prefix caches in a folder, a file for each model and way to compute it, from one run of the
// program to the next. Nothing that goes wrong here is more than a cache that begins empty: a
// damaged file is put aside as FILE.damaged, a folder that cannot be written is reported, and tried
// again with the next cache. Files that were not written for 30 days are taken away. Any thread.
class PrefixStore {
 public:
  // Borrows the registry.
  PrefixStore(PrefixStoreOptions options, MetricRegistry& metrics);

  // Puts what the file of this scope holds into an index and its pool, as idle blocks, as far as
  // free blocks go. On the thread that owns the pool. Returns the number of blocks.
  size_t Restore(const BlockFileScope& scope, BlockPool& pool, PrefixIndex& index);

  // Replaces the file by the idle blocks that the index serves, those used last if they are too
  // many. On the thread that owns the pool. Returns the number of blocks.
  size_t Save(const BlockFileScope& scope, const BlockPool& pool, const PrefixIndex& index);

  // From here on Save returns at once: whoever ends the program does not want to wait.
  void Hurry() { hurried_.store(true); }

  std::string PathOf(const BlockFileScope& scope) const;

 private:
  void Sweep() const;
  void Report(const Status& status);
  void Quarantine(const std::string& path, const Status& why);

  const PrefixStoreOptions options_;
  Gauge& works_;
  Counter& restored_;
  Counter& saved_;
  Counter& damaged_;
  Counter& failures_;
  std::atomic<bool> hurried_{false};
  Mutex mutex_;
  int64_t reported_ns_ GUARDED_BY(mutex_);
};

}  // namespace pelton
