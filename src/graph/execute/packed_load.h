#pragma once

#include <atomic>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/mapped_file.h"
#include "base/metrics.h"
#include "base/thread_pool.h"
#include "graph/execute/packed_file.h"
#include "graph/execute/packed_layout.h"

namespace pelton {

// A file that keeps packed weights for later loads.
struct PackedCache {
  std::string path;
  PackedKey key = {};   // of all that the weights depend on; a file with another one is replaced
  bool verify = false;  // reads the whole file before it is used, not only its table
  // Of the experts that a router chooses, as many bytes are kept in memory; 0: all of them may be.
  size_t expert_bytes = 0;
  MetricRegistry* metrics = nullptr;  // borrowed; of such experts. Requires: there is one for them
  // One line about trouble with the file. Any thread; may be empty.
  std::function<void(std::string_view line)> report;
};

// What the steps of one load share. Borrows everything.
struct PackedLoad {
  const Graph& graph;
  ThreadPool& pool;
  // Told, on any thread of the pool, that a stored tensor was packed for the last time.
  const std::function<void(const StoredTensor&)>& packed;
  const std::atomic<bool>* cancelled;  // may be null
  const PackedLayout& layout;

  bool given_up() const {
    return cancelled != nullptr && cancelled->load(std::memory_order_relaxed);
  }
};

// Packs to memory of the layout's size. Cancelled.
Status PackTo(const PackedLoad& load, std::byte* memory);

// A mapped file of packed weights, and where the layout's bytes are in it.
struct MappedWeights {
  MappedFile file;
  const std::byte* data;
};

// The cache's file, written first if it is not there or not of these weights, which needs no memory
// but a part's on each thread, and pages of files. Where experts are limited, waits while another
// process writes it. Cancelled, or what PackedFileWriter and PackedFileReader say.
Result<MappedWeights> MapPacked(const PackedLoad& load, const PackedCache& cache);

}  // namespace pelton
