#include "graph/execute/packed_layout.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <optional>

#include "base/checked_math.h"

namespace pelton {
namespace {

constexpr size_t kConstantAlignment = 4096;
constexpr size_t kPartBytes = 1 << 20;

bool IsPackedConstant(const Value& value) {
  return value.kind == ValueKind::kConstant && value.type == ElementType::kPacked;
}

bool ReadByExperts(const Graph& graph, const Uses& uses, ValueId id) {
  return std::ranges::all_of(uses.Readers(id), [&](int reader) {
    const OpKind kind = graph.nodes[static_cast<size_t>(reader)].kind;
    return kind == OpKind::kExpertMatmul || kind == OpKind::kGatedExpertMatmul ||
           kind == OpKind::kExpertMatmulSum;
  });
}

}  // namespace

std::span<const StoredTensor> TensorsOfGroup(const Value& value, size_t group) {
  const std::span<const StoredTensor> all = value.constant.tensors;
  const size_t count = all.size() / static_cast<size_t>(value.constant.groups);
  return all.subspan(group * count, count);
}

PackArgs PackArgsFor(const Value& value, size_t group, std::vector<PackSource>* sources,
                     std::byte* out) {
  sources->clear();
  for (const StoredTensor& tensor : TensorsOfGroup(value, group)) {
    const auto rows = static_cast<size_t>(tensor.rows);
    const size_t row_bytes = rows == 0 ? 0 : tensor.data.size() / rows;
    sources->push_back({tensor.data.data(), rows, row_bytes, tensor.scales});
  }
  return {.dtype = value.constant.tensors[0].dtype,
          .sources = *sources,
          .cols = static_cast<size_t>(value.shape.cols().factor),
          .interleave_panels = value.constant.interleave_panels,
          .out = out,
          .packed_as = value.constant.packed_as};
}

ValueId SharedPacked(const Graph* shared, const Graph& graph, ValueId id) {
  const Value& value = graph.value(id);
  if (shared == nullptr || !IsPackedConstant(value) || value.constant.tensors.size() != 1) {
    return kNoValue;
  }
  const StoredTensor& tensor = value.constant.tensors[0];
  const Uses uses(*shared);
  for (size_t v = 0; v < shared->num_values(); ++v) {
    const auto other_id = static_cast<ValueId>(v);
    const Value& other = shared->value(other_id);
    if (!IsPackedConstant(other) || other.constant.tensors.size() != 1 ||
        uses.Readers(other_id).empty() || !(other.shape == value.shape)) {
      continue;
    }
    const StoredTensor& same = other.constant.tensors[0];
    if (same.data.data() == tensor.data.data() && same.data.size() == tensor.data.size() &&
        other.constant.PackedDType() == value.constant.PackedDType() &&
        same.dtype == tensor.dtype && same.scales.data == tensor.scales.data) {
      return other_id;
    }
  }
  return kNoValue;
}

Result<PackedLayout> LayOutPacked(const Graph& graph, const Graph* shared) {
  PackedLayout layout;
  const Uses uses(graph);
  for (size_t v = 0; v < graph.num_values(); ++v) {
    const auto id = static_cast<ValueId>(v);
    const Value& value = graph.value(id);
    if (!IsPackedConstant(value) || uses.Readers(id).empty() ||
        SharedPacked(shared, graph, id) != kNoValue) {
      continue;
    }
    const StoredTensor& first = value.constant.tensors[0];
    if (!IsStoredFormat(first.dtype)) {
      return Unimplemented(fmt::format("{}: weights of type {} cannot be multiplied", first.name,
                                       DTypeName(first.dtype)));
    }
    // Groups are equal, so that they have equal sizes.
    std::vector<PackSource> sources;
    const bool experts = ReadByExperts(graph, uses, id);
    const auto groups = static_cast<size_t>(value.constant.groups);
    const size_t panels = PackPanelCount(PackArgsFor(value, 0, &sources, nullptr));
    const std::optional<size_t> panel =
        PanelBytes(value.constant.PackedDType(), static_cast<size_t>(value.shape.cols().factor));
    const std::optional<size_t> matrix = panel ? CheckedMul(*panel, panels) : std::nullopt;
    const std::optional<size_t> group =
        matrix && experts ? CheckedAlignUp(*matrix, kConstantAlignment) : matrix;
    const std::optional<size_t> all = group ? CheckedMul(*group, groups) : std::nullopt;
    const std::optional<size_t> aligned =
        all ? CheckedAlignUp(*all, kConstantAlignment) : std::nullopt;
    const std::optional<size_t> next = aligned ? CheckedAdd(layout.bytes, *aligned) : std::nullopt;
    if (!next || *panel > std::numeric_limits<uint32_t>::max()) {
      return ResourceExhausted(fmt::format("{}: its packed size does not fit", first.name));
    }
    layout.constants.push_back({.id = id,
                                .offset = layout.bytes,
                                .group_bytes = *group,
                                .groups = groups,
                                .panels = panels,
                                .panel_bytes = *panel,
                                .experts = experts});
    if (experts) layout.expert_bytes += *aligned;
    layout.bytes = *next;
  }
  return layout;
}

std::vector<PackedPart> PartsOf(const PackedLayout& layout) {
  std::vector<PackedPart> parts;
  for (size_t i = 0; i < layout.constants.size(); ++i) {
    const PackedConstant& constant = layout.constants[i];
    const size_t step = std::max<size_t>(kPartBytes / std::max(constant.panel_bytes, size_t{1}), 1);
    for (size_t group = 0; group < constant.groups; ++group) {
      for (size_t begin = 0; begin < constant.panels; begin += step) {
        const size_t end = std::min(begin + step, constant.panels);
        parts.push_back({.constant = i,
                         .group = group,
                         .begin = begin,
                         .end = end,
                         .offset = constant.offset + group * constant.group_bytes +
                                   begin * constant.panel_bytes,
                         .bytes = (end - begin) * constant.panel_bytes});
      }
    }
  }
  return parts;
}

}  // namespace pelton
