#include "graph/execute/packed_store.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <optional>

#include "base/checked_math.h"

namespace pelton {
namespace {

constexpr size_t kAlignment = 4096;

struct Job {
  ValueId id;
  size_t offset;
  size_t bytes;
};

PackArgs ArgsFor(const Value& value, std::vector<PackSource>* sources, std::byte* out) {
  sources->clear();
  for (const StoredTensor& tensor : value.constant.tensors) {
    const auto rows = static_cast<size_t>(tensor.rows);
    sources->push_back({tensor.data.data(), rows, rows == 0 ? 0 : tensor.data.size() / rows});
  }
  return {.dtype = value.constant.tensors[0].dtype,
          .sources = *sources,
          .cols = static_cast<size_t>(value.shape.cols().factor),
          .interleave_panels = value.constant.interleave_panels,
          .out = out};
}

// The jobs, and the bytes of all of them together.
Result<std::pair<std::vector<Job>, size_t>> Layout(const Graph& graph) {
  std::vector<Job> jobs;
  size_t total = 0;
  const Uses uses(graph);
  for (size_t v = 0; v < graph.num_values(); ++v) {
    const auto id = static_cast<ValueId>(v);
    const Value& value = graph.value(id);
    if (value.kind != ValueKind::kConstant || value.type != ElementType::kPacked ||
        uses.Readers(id).empty()) {
      continue;
    }
    const StoredTensor& first = value.constant.tensors[0];
    if (!PanelFormatOf(first.dtype)) {
      return Unimplemented(fmt::format("{}: weights of type {} cannot be multiplied", first.name,
                                       DTypeName(first.dtype)));
    }
    std::vector<PackSource> sources;
    const size_t panels = PackPanelCount(ArgsFor(value, &sources, nullptr));
    const std::optional<size_t> panel =
        PanelBytes(first.dtype, static_cast<size_t>(value.shape.cols().factor));
    const std::optional<size_t> bytes = panel ? CheckedMul(*panel, panels) : std::nullopt;
    const std::optional<size_t> aligned = bytes ? CheckedAlignUp(*bytes, kAlignment) : std::nullopt;
    const std::optional<size_t> next = aligned ? CheckedAdd(total, *aligned) : std::nullopt;
    if (!next) {
      return ResourceExhausted(fmt::format("{}: its packed size does not fit", first.name));
    }
    jobs.push_back({id, total, *bytes});
    total = *next;
  }
  return std::pair(std::move(jobs), total);
}

// One constant while its panels are packed.
struct Packing {
  PackArgs args;
  std::vector<PackSource> sources;
  std::atomic<size_t> left{0};  // pieces to do
};
struct Piece {
  size_t packing;
  size_t begin, end;  // panels
};
constexpr size_t kPieceBytes = 1 << 20;

}  // namespace

Result<size_t> PackedStore::BytesFor(const Graph& graph) {
  ASSIGN_OR_RETURN(const auto layout, Layout(graph));
  return layout.second;
}

Result<PackedStore> PackedStore::Pack(const Graph& graph, ThreadPool& pool,
                                      const std::function<void(const StoredTensor&)>& packed,
                                      const std::atomic<bool>* cancelled) {
  ASSIGN_OR_RETURN(const auto layout, Layout(graph));
  const auto& [jobs, total] = layout;
  PackedStore store;
  ASSIGN_OR_RETURN(store.arena_, Arena::Allocate(total, "packed weights"));
  store.weights_.resize(graph.num_values());
  std::vector<Packing> packings(jobs.size());
  std::vector<Piece> pieces;
  for (size_t j = 0; j < jobs.size(); ++j) {
    const Value& value = graph.value(jobs[j].id);
    Packing& packing = packings[j];
    packing.args = ArgsFor(value, &packing.sources, store.arena_.data() + jobs[j].offset);
    const size_t panels = PackPanelCount(packing.args);
    const size_t step =
        std::max<size_t>(kPieceBytes * panels / std::max(jobs[j].bytes, size_t{1}), 1);
    for (size_t begin = 0; begin < panels; begin += step) {
      pieces.push_back({j, begin, std::min(begin + step, panels)});
      packing.left.fetch_add(1, std::memory_order_relaxed);
    }
    store.weights_[static_cast<size_t>(jobs[j].id)] = {
        .data = packing.args.out,
        .dtype = packing.args.dtype,
        .rows = static_cast<size_t>(value.shape.rows().factor),
        .cols = packing.args.cols};
  }
  // One job for everything: other threads of a load want the cores too, and threads that met after
  // each tensor would wait for the one that lost its core.
  std::atomic<size_t> next{0};
  const auto given_up = [&] {
    return cancelled != nullptr && cancelled->load(std::memory_order_relaxed);
  };
  pool.Run([&](size_t) {
    for (size_t p; (p = next.fetch_add(1, std::memory_order_relaxed)) < pieces.size();) {
      if (given_up()) return;
      Packing& packing = packings[pieces[p].packing];
      PackPanels(packing.args, pieces[p].begin, pieces[p].end);
      if (packing.left.fetch_sub(1, std::memory_order_acq_rel) > 1) continue;
      for (const StoredTensor& tensor : graph.value(jobs[pieces[p].packing].id).constant.tensors) {
        packed(tensor);
      }
    }
  });
  if (given_up()) return Cancelled("the load was cancelled");
  return store;
}

}  // namespace pelton
