// Matmuls of many matrices over their own rows or columns, by the kernels of a single one.
#include "kernels/ops/experts.h"

#include <algorithm>

#include "kernels/cpu/isa_impls.h"

namespace pelton {
namespace {

constexpr size_t kUnitColumns = 2 * kPanelRows;

// Results that wait for being added up: 64 KiB, so that they are in a near cache still.
constexpr size_t kBlockFloats = 16 * 1024;

// The rows of one expert, or none.
MatmulArgs RowsOfExpert(const ExpertMatmulArgs& a, size_t expert) {
  MatmulArgs args = a.matmul;
  const auto first = static_cast<size_t>(a.begin[expert]);
  args.rows = static_cast<size_t>(a.end[expert]) - first;
  args.weights.data += expert * a.expert_bytes;
  const size_t columns =
      args.gate == GateActivation::kNone ? args.weights.rows : args.weights.rows / 2;
  if (args.x_f32 != nullptr) args.x_f32 += first * args.x_stride;
  if (args.x_quantized != nullptr) {
    args.x_quantized += first * QuantizedRows::RowBytes(args.weights.cols);
  }
  if (args.bias != nullptr) args.bias += expert * args.weights.rows;
  if (args.out != nullptr) args.out += first * args.out_stride;
  if (args.out_quantized != nullptr) args.out_quantized += first * QuantizedRows::RowBytes(columns);
  return args;
}

// Multiplies an expert's rows a few columns at a time and adds them to their tokens.
void MultiplyAndSum(const ExpertMatmulArgs& a, size_t expert, MatmulArgs args,
                    const MatmulImpl& impl, size_t begin, size_t end, float* block,
                    std::byte* scratch) {
  static const OpImpl<ExpertSumArgs>& sum_impl = ChooseImpl(ExpertSumImpls());
  const size_t panel_bytes = *PanelBytes(args.weights.dtype, args.weights.cols);
  const size_t step = std::max<size_t>(kBlockFloats / (kUnitColumns * args.rows), 1);
  const MatmulArgs whole = args;
  args.out = block;
  for (size_t unit = begin; unit < end; unit += step) {
    const size_t column = unit * kUnitColumns;
    const size_t units = std::min(step, end - unit);
    args.weights.data = whole.weights.data + 2 * unit * panel_bytes;
    args.weights.rows = std::min(units * kUnitColumns, whole.weights.rows - column);
    args.out_stride = args.weights.rows;
    if (whole.bias != nullptr) args.bias = whole.bias + column;
    impl.run(args, 0, units, scratch);
    ExpertSumArgs sum = *a.sum;
    sum.rows = block;
    sum.rows_stride = args.out_stride;
    sum.order += a.begin[expert];
    sum.pairs = args.rows;
    sum.out += column;
    sum.dim = args.weights.rows;
    sum.accumulate = true;
    sum_impl.run(sum, 0, units, scratch);
  }
}

size_t BlockBytes(const ExpertMatmulArgs& a) {
  return a.sum == nullptr ? 0
                          : std::max(kBlockFloats, kUnitColumns * a.matmul.rows) * sizeof(float);
}

}  // namespace

size_t ExpertMatmulUnits(const ExpertMatmulArgs& args) { return MatmulUnits(args.matmul); }

size_t ExpertMatmulScratchBytes(const ExpertMatmulArgs& args) {
  return BlockBytes(args) + MatmulScratchBytes(args.matmul);
}

void ExpertMatmul(const ExpertMatmulArgs& a, size_t begin, size_t end,
                  std::byte* scratch) noexcept {
  auto* block = reinterpret_cast<float*>(scratch);
  scratch += BlockBytes(a);
  if (a.sum != nullptr) {  // zeros
    ExpertSumArgs none = *a.sum;
    none.pairs = 0;
    ChooseImpl(ExpertSumImpls()).run(none, begin, end, scratch);
  }
  for (size_t expert = 0; expert < a.experts; ++expert) {
    const MatmulArgs args = RowsOfExpert(a, expert);
    if (args.rows == 0) continue;
    const MatmulImpl& impl = ChooseMatmul(args, a.kind);
    if (a.sum == nullptr) {
      impl.run(args, begin, end, scratch);
    } else {
      MultiplyAndSum(a, expert, args, impl, begin, end, block, scratch);
    }
  }
}

size_t HeadMatmulUnits(const HeadMatmulArgs& args) { return args.heads * MatmulUnits(args.matmul); }

size_t HeadMatmulScratchBytes(const HeadMatmulArgs& args) {
  return MatmulScratchBytes(args.matmul);
}

void HeadMatmul(const HeadMatmulArgs& a, size_t begin, size_t end, std::byte* scratch) noexcept {
  const size_t units = MatmulUnits(a.matmul);
  const MatmulImpl& impl = ChooseMatmul(a.matmul, a.kind);
  for (size_t unit = begin; unit < end;) {
    const size_t head = unit / units;
    const size_t count = std::min(end - unit, (head + 1) * units - unit);
    MatmulArgs args = a.matmul;
    args.x_f32 += head * args.weights.cols;
    args.out += head * args.weights.rows;
    args.weights.data += head * a.head_bytes;
    impl.run(args, unit % units, unit % units + count, scratch);
    unit += count;
  }
}

PELTON_ISA_IMPLS(ExpertSum);

}  // namespace pelton
