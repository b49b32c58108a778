#include "graph/execute/packed_store.h"

#include <fmt/format.h>

#include <algorithm>
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

}  // namespace

Result<size_t> PackedStore::BytesFor(const Graph& graph) {
  ASSIGN_OR_RETURN(const auto layout, Layout(graph));
  return layout.second;
}

Result<PackedStore> PackedStore::Pack(const Graph& graph, ThreadPool& pool,
                                      const std::function<void(const StoredTensor&)>& packed) {
  ASSIGN_OR_RETURN(const auto layout, Layout(graph));
  const auto& [jobs, total] = layout;
  PackedStore store;
  ASSIGN_OR_RETURN(store.arena_, Arena::Allocate(total, "packed weights"));
  store.weights_.resize(graph.num_values());
  std::vector<PackSource> sources;
  for (const Job& job : jobs) {
    const Value& value = graph.value(job.id);
    std::byte* out = store.arena_.data() + job.offset;
    const PackArgs args = ArgsFor(value, &sources, out);
    pool.ParallelFor(PackPanelCount(args),
                     [&](size_t begin, size_t end) { PackPanels(args, begin, end); });
    store.weights_[static_cast<size_t>(job.id)] = {
        .data = out,
        .dtype = args.dtype,
        .rows = static_cast<size_t>(value.shape.rows().factor),
        .cols = args.cols};
    for (const StoredTensor& tensor : value.constant.tensors) packed(tensor);
  }
  return store;
}

}  // namespace pelton
