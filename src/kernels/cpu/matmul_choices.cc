#include "kernels/cpu/matmul_choices.h"

#include <algorithm>
#include <array>

#include "base/cpu_features.h"

namespace pelton {
namespace {

struct ChosenFrom {
  size_t min_rows;
  const MatmulImpl* impl;
};
// By kind of rows, then by weights, ascending.
using ChoiceTable = std::array<std::array<std::vector<ChosenFrom>, kDTypeCount>, 2>;

ChoiceTable& Table() {
  static ChoiceTable table;
  return table;
}

size_t KindIndex(MatmulRows kind) { return kind == MatmulRows::kGenerated ? 0 : 1; }

Result<ChoiceTable> TableOf(const std::vector<MatmulChoice>& choices) {
  ChoiceTable table;
  for (const MatmulChoice& choice : choices) {
    const std::string what = "matmul of " + std::to_string(choice.min_rows) + " rows over " +
                             std::string(DTypeName(choice.weights)) + ": ";
    if (choice.rows == MatmulRows::kPrompt) {
      return InvalidArgument(what + "found rows of prompts, which are not for choice");
    }
    const std::span<const MatmulImpl> impls = MatmulImpls();
    const auto impl = std::ranges::find_if(
        impls, [&](const MatmulImpl& candidate) { return candidate.name == choice.impl; });
    if (impl == impls.end()) {
      return InvalidArgument(what + "found \"" + choice.impl + "\", which is no implementation");
    }
    if ((impl->required_features & ~CpuFeatures()) != 0) {
      return InvalidArgument(what + choice.impl + " does not run on this processor");
    }
    if (!impl->supports(true, choice.weights)) {
      return InvalidArgument(what + choice.impl + " does not take these weights");
    }
    if (choice.rows == MatmulRows::kGenerated && !impl->invariant) {
      return InvalidArgument(what + choice.impl + " is not invariant");
    }
    auto& of = table[KindIndex(choice.rows)][static_cast<size_t>(choice.weights)];
    if (choice.min_rows == 0 || std::ranges::any_of(of, [&](const ChosenFrom& other) {
          return other.min_rows == choice.min_rows;
        })) {
      return InvalidArgument(what + "expected a number of rows, once");
    }
    of.push_back({choice.min_rows, &*impl});
  }
  for (auto& kind : table) {
    for (auto& of : kind) std::ranges::sort(of, {}, &ChosenFrom::min_rows);
  }
  return table;
}

}  // namespace

Status CheckMatmulChoices(const std::vector<MatmulChoice>& choices) {
  const Result<ChoiceTable> table = TableOf(choices);
  return table.ok() ? OkStatus() : table.status();
}

Status SetMatmulChoices(const std::vector<MatmulChoice>& choices) {
  ASSIGN_OR_RETURN(ChoiceTable table, TableOf(choices));
  Table() = std::move(table);
  return OkStatus();
}

const MatmulImpl& ChooseQuantizedMatmul(DType weights, size_t rows, MatmulRows kind) {
  const std::byte any{};
  MatmulArgs args{};
  args.x_quantized = &any;
  args.weights.dtype = weights;
  args.rows = rows;
  return ChooseMatmul(args, kind);
}

const MatmulImpl* ChosenMatmul(DType weights, MatmulRows kind, size_t rows) {
  if (kind == MatmulRows::kPrompt) return nullptr;
  const MatmulImpl* chosen = nullptr;
  for (const ChosenFrom& from : Table()[KindIndex(kind)][static_cast<size_t>(weights)]) {
    if (from.min_rows > rows) break;
    chosen = from.impl;
  }
  return chosen;
}

}  // namespace pelton
