#include "graph/execute/packed_store.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <optional>

#include "base/checked_math.h"

namespace pelton {
namespace {

constexpr size_t kAlignment = 4096;

// One matrix of a constant.
struct Job {
  ValueId id;
  size_t group;
  size_t offset;
  size_t bytes;
};

std::span<const StoredTensor> TensorsOf(const Value& value, size_t group) {
  const std::span<const StoredTensor> all = value.constant.tensors;
  const size_t count = all.size() / static_cast<size_t>(value.constant.groups);
  return all.subspan(group * count, count);
}

PackArgs ArgsFor(const Value& value, size_t group, std::vector<PackSource>* sources,
                 std::byte* out) {
  sources->clear();
  for (const StoredTensor& tensor : TensorsOf(value, group)) {
    const auto rows = static_cast<size_t>(tensor.rows);
    const size_t row_bytes = rows == 0 ? 0 : tensor.data.size() / rows;
    sources->push_back({tensor.data.data(), rows, row_bytes, tensor.scales});
  }
  return {.dtype = value.constant.tensors[0].dtype,
          .sources = *sources,
          .cols = static_cast<size_t>(value.shape.cols().factor),
          .interleave_panels = value.constant.interleave_panels,
          .out = out};
}

bool IsPacked(const Value& value) {
  return value.kind == ValueKind::kConstant && value.type == ElementType::kPacked;
}

// The constant of `shared` whose panels are those of `value`: of the same bytes of a file.
ValueId SameIn(const Graph* shared, const Value& value) {
  if (shared == nullptr || value.constant.tensors.size() != 1) return kNoValue;
  const StoredTensor& tensor = value.constant.tensors[0];
  const Uses uses(*shared);
  for (size_t v = 0; v < shared->num_values(); ++v) {
    const auto id = static_cast<ValueId>(v);
    const Value& other = shared->value(id);
    if (!IsPacked(other) || other.constant.tensors.size() != 1 || uses.Readers(id).empty() ||
        !(other.shape == value.shape)) {
      continue;
    }
    const StoredTensor& same = other.constant.tensors[0];
    if (same.data.data() == tensor.data.data() && same.data.size() == tensor.data.size() &&
        same.dtype == tensor.dtype && same.scales.data == tensor.scales.data) {
      return id;
    }
  }
  return kNoValue;
}

// The jobs, and the bytes of all of them together.
Result<std::pair<std::vector<Job>, size_t>> Layout(const Graph& graph, const Graph* shared) {
  std::vector<Job> jobs;
  size_t total = 0;
  const Uses uses(graph);
  for (size_t v = 0; v < graph.num_values(); ++v) {
    const auto id = static_cast<ValueId>(v);
    const Value& value = graph.value(id);
    if (!IsPacked(value) || uses.Readers(id).empty() || SameIn(shared, value) != kNoValue) {
      continue;
    }
    const StoredTensor& first = value.constant.tensors[0];
    if (!PanelFormatOf(first.dtype)) {
      return Unimplemented(fmt::format("{}: weights of type {} cannot be multiplied", first.name,
                                       DTypeName(first.dtype)));
    }
    // Groups are equal, so that they have equal sizes.
    std::vector<PackSource> sources;
    const auto groups = static_cast<size_t>(value.constant.groups);
    const size_t panels = PackPanelCount(ArgsFor(value, 0, &sources, nullptr));
    const std::optional<size_t> panel =
        PanelBytes(first.dtype, static_cast<size_t>(value.shape.cols().factor));
    const std::optional<size_t> bytes = panel ? CheckedMul(*panel, panels) : std::nullopt;
    const std::optional<size_t> all = bytes ? CheckedMul(*bytes, groups) : std::nullopt;
    const std::optional<size_t> aligned = all ? CheckedAlignUp(*all, kAlignment) : std::nullopt;
    const std::optional<size_t> next = aligned ? CheckedAdd(total, *aligned) : std::nullopt;
    if (!next) {
      return ResourceExhausted(fmt::format("{}: its packed size does not fit", first.name));
    }
    for (size_t group = 0; group < groups; ++group) {
      jobs.push_back({id, group, total + group * *bytes, *bytes});
    }
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

Result<size_t> PackedStore::BytesFor(const Graph& graph, const Graph* shared) {
  ASSIGN_OR_RETURN(const auto layout, Layout(graph, shared));
  return layout.second;
}

Result<PackedStore> PackedStore::Pack(const Graph& graph, ThreadPool& pool,
                                      const std::function<void(const StoredTensor&)>& packed,
                                      const std::atomic<bool>* cancelled,
                                      const std::optional<SharedWeights>& shared) {
  const Graph* other = shared ? shared->graph : nullptr;
  ASSIGN_OR_RETURN(const auto layout, Layout(graph, other));
  const auto& [jobs, total] = layout;
  PackedStore store;
  ASSIGN_OR_RETURN(store.arena_, Arena::Allocate(total, "packed weights"));
  store.weights_.resize(graph.num_values());
  store.group_bytes_.resize(graph.num_values());
  for (size_t v = 0; shared && v < graph.num_values(); ++v) {
    const Value& value = graph.value(static_cast<ValueId>(v));
    const ValueId same = IsPacked(value) ? SameIn(other, value) : kNoValue;
    if (same == kNoValue) continue;
    store.weights_[v] = shared->weights->Weights(same);
    store.group_bytes_[v] = shared->weights->GroupBytes(same);
  }
  std::vector<Packing> packings(jobs.size());
  std::vector<Piece> pieces;
  for (size_t j = 0; j < jobs.size(); ++j) {
    const Value& value = graph.value(jobs[j].id);
    Packing& packing = packings[j];
    packing.args =
        ArgsFor(value, jobs[j].group, &packing.sources, store.arena_.data() + jobs[j].offset);
    const size_t panels = PackPanelCount(packing.args);
    const size_t step =
        std::max<size_t>(kPieceBytes * panels / std::max(jobs[j].bytes, size_t{1}), 1);
    for (size_t begin = 0; begin < panels; begin += step) {
      pieces.push_back({j, begin, std::min(begin + step, panels)});
      packing.left.fetch_add(1, std::memory_order_relaxed);
    }
    if (jobs[j].group > 0) continue;
    store.weights_[static_cast<size_t>(jobs[j].id)] = {
        .data = packing.args.out,
        .dtype = packing.args.dtype,
        .rows = static_cast<size_t>(value.shape.rows().factor / value.constant.groups),
        .cols = packing.args.cols};
    store.group_bytes_[static_cast<size_t>(jobs[j].id)] = jobs[j].bytes;
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
      const Job& job = jobs[pieces[p].packing];
      for (const StoredTensor& tensor : TensorsOf(graph.value(job.id), job.group)) packed(tensor);
    }
  });
  if (given_up()) return Cancelled("the load was cancelled");
  return store;
}

}  // namespace pelton
