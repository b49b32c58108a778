#include "graph/execute/packed_load.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <thread>

#include "base/mutex.h"

namespace pelton {
namespace {

// The first of the errors of several threads.
class FirstError {
 public:
  bool seen() const { return seen_.load(std::memory_order_relaxed); }
  void Set(Status status) {
    const MutexLock lock(mutex_);
    if (!status.ok() && !seen_.exchange(true)) status_ = std::move(status);
  }
  Status status() {
    const MutexLock lock(mutex_);
    return status_;
  }

 private:
  std::atomic<bool> seen_{false};
  Mutex mutex_;
  Status status_ GUARDED_BY(mutex_);
};

// Calls work(worker, part's index) for every part, on all threads, until one fails. One job for
// everything: other threads of a load want the cores too, and threads that met after each tensor
// would wait for the one that lost its core.
Status ForEachPart(const PackedLoad& load, size_t parts, FunctionRef<Status(size_t, size_t)> work) {
  std::atomic<size_t> next{0};
  FirstError error;
  load.pool.Run([&](size_t worker) {
    for (size_t p; (p = next.fetch_add(1, std::memory_order_relaxed)) < parts;) {
      if (load.given_up() || error.seen()) return;
      error.Set(work(worker, p));
    }
  });
  return load.given_up() ? Cancelled("the load was cancelled") : error.status();
}

// Packs parts, on any thread, and tells when a matrix is done.
class PartPacker {
 public:
  PartPacker(const PackedLoad& load, std::span<const PackedPart> parts)
      : load_(load), constants_(load.layout.constants), first_(constants_.size() + 1) {
    for (size_t c = 0; c < constants_.size(); ++c) first_[c + 1] = first_[c] + constants_[c].groups;
    matrices_ = std::vector<Matrix>(first_.back());
    for (const PackedPart& part : parts) {
      Matrix& matrix = MatrixOf(part);
      if (matrix.left.fetch_add(1, std::memory_order_relaxed) > 0) continue;
      matrix.args = PackArgsFor(ValueOf(part), part.group, &matrix.sources, nullptr);
    }
  }

  void Pack(const PackedPart& part, std::byte* out) {
    Matrix& matrix = MatrixOf(part);
    PackArgs args = matrix.args;
    args.out = out;
    args.first_panel = part.begin;
    PackPanels(args, part.begin, part.end);
    if (matrix.left.fetch_sub(1, std::memory_order_acq_rel) > 1) return;
    for (const StoredTensor& tensor : TensorsOfGroup(ValueOf(part), part.group)) {
      load_.packed(tensor);
    }
  }

 private:
  struct Matrix {
    PackArgs args;
    std::vector<PackSource> sources;
    std::atomic<size_t> left{0};  // parts to do
  };

  Matrix& MatrixOf(const PackedPart& part) { return matrices_[first_[part.constant] + part.group]; }
  const Value& ValueOf(const PackedPart& part) const {
    return load_.graph.value(constants_[part.constant].id);
  }

  const PackedLoad& load_;
  const std::vector<PackedConstant>& constants_;
  std::vector<size_t> first_;  // of a constant's matrices
  std::vector<Matrix> matrices_;
};

PackedTable TableOf(const PackedLoad& load, std::span<const PackedPart> parts,
                    const PackedKey& key) {
  PackedTable table{.key = key, .data_bytes = load.layout.bytes, .pieces = {}};
  table.pieces.reserve(parts.size());
  for (const PackedPart& part : parts) {
    table.pieces.push_back(
        {.offset = part.offset, .bytes = static_cast<uint32_t>(part.bytes), .crc = 0});
  }
  return table;
}

// Memory for one part on each thread.
std::vector<std::vector<std::byte>> ScratchFor(const PackedLoad& load,
                                               std::span<const PackedPart> parts) {
  size_t most = 0;
  for (const PackedPart& part : parts) most = std::max(most, part.bytes);
  return std::vector<std::vector<std::byte>>(load.pool.size(), std::vector<std::byte>(most));
}

Result<MappedWeights> OpenPacked(const PackedLoad& load, std::span<const PackedPart> parts,
                                 const PackedCache& cache) {
  ASSIGN_OR_RETURN(const PackedFileReader reader, PackedFileReader::Open(cache.path));
  const PackedTable& table = reader.table();
  const bool same =
      table.key == cache.key && table.data_bytes == load.layout.bytes &&
      std::ranges::equal(table.pieces, parts, [](const PackedPiece& piece, const PackedPart& part) {
        return piece.offset == part.offset && piece.bytes == part.bytes;
      });
  if (!same) return DataLoss(cache.path + ": is of other weights or another build");
  if (cache.verify) {
    std::vector<std::vector<std::byte>> scratch = ScratchFor(load, parts);
    RETURN_IF_ERROR(ForEachPart(load, parts.size(), [&](size_t worker, size_t p) {
      return reader.Read(p, scratch[worker].data());
    }));
  }
  ASSIGN_OR_RETURN(MappedFile file, reader.Map());
  const std::byte* data = file.bytes().data() + table.DataBegin();
  return MappedWeights{std::move(file), data};
}

// Written parts that may leave memory, but not yet: they are on their way to the disk.
class PartsBehind {
 public:
  void Add(const PackedFileWriter& writer, size_t part) {
    if (count_ >= parts_.size()) writer.Forget(parts_[count_ % parts_.size()]);
    parts_[count_++ % parts_.size()] = part;
  }

 private:
  std::array<size_t, 8> parts_{};
  size_t count_ = 0;
};

Status PackToFile(const PackedLoad& load, std::span<const PackedPart> parts, bool forget,
                  PackedFileWriter* writer) {
  PartPacker packer(load, parts);
  std::vector<std::vector<std::byte>> scratch = ScratchFor(load, parts);
  std::vector<PartsBehind> behind(load.pool.size());
  const Status written = ForEachPart(load, parts.size(), [&](size_t worker, size_t p) {
    std::byte* const bytes = scratch[worker].data();
    packer.Pack(parts[p], bytes);
    RETURN_IF_ERROR(writer->Write(p, bytes));
    if (forget) behind[worker].Add(*writer, p);
    return OkStatus();
  });
  return written.ok() ? writer->Commit() : written;
}

}  // namespace

Status PackTo(const PackedLoad& load, std::byte* memory) {
  const std::vector<PackedPart> parts = PartsOf(load.layout);
  PartPacker packer(load, parts);
  return ForEachPart(load, parts.size(), [&](size_t, size_t p) {
    packer.Pack(parts[p], memory + parts[p].offset);
    return OkStatus();
  });
}

Result<MappedWeights> MapPacked(const PackedLoad& load, const PackedCache& cache) {
  constexpr std::chrono::milliseconds kWait(100);
  const std::vector<PackedPart> parts = PartsOf(load.layout);
  const bool limited = cache.expert_bytes > 0;
  while (true) {
    Result<MappedWeights> weights = OpenPacked(load, parts, cache);
    if (weights.ok() || weights.status().code() == StatusCode::kCancelled) return weights;
    Result<PackedFileWriter> writer =
        PackedFileWriter::Create(cache.path, TableOf(load, parts, cache.key));
    if (limited && writer.status().code() == StatusCode::kUnavailable) {
      if (load.given_up()) return Cancelled("the load was cancelled");
      std::this_thread::sleep_for(kWait);
      continue;
    }
    if (!writer.ok()) return writer.status();
    if (cache.report && weights.status().code() != StatusCode::kNotFound) {
      cache.report(
          fmt::format("packed weights: {}; they are packed anew", weights.status().message()));
    }
    // Where experts are limited there is no memory for pages that wait to be read.
    RETURN_IF_ERROR(PackToFile(load, parts, limited, &*writer));
    return OpenPacked(load, parts, cache);
  }
}

}  // namespace pelton
