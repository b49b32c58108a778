#include "kernels/cpu/matmul_amx.h"

#include <algorithm>

#include "base/checked_math.h"

namespace pelton {
namespace {

constexpr size_t kTileCols = 32;
constexpr size_t kTileBytes = 1024;
constexpr size_t kTileRows = 16;
constexpr size_t kSumBytes = kAmxRowStep * 32 * sizeof(float);

// Dequantising a pair of panels costs as much as multiplying it with some 45 rows, so the more rows
// share it the better, while their activations, 1 MB for 2048 columns, stay in an L2 cache of 2 MB
// beside the weights: 512 rows at a time took 1.2 times as long.
constexpr size_t kMostRows = 6 * kAmxRowStep;

// Up to here the weights are the traffic: one pair of panels at a time, in pieces of 512 columns,
// 32 KB in bf16, that go through the L1 cache. With more rows, 4 pairs of 2048 columns take 512 KB
// of an L2 cache of 2 MB, beside 128 KB for 32 rows of activations, each read once for 128 outputs.
constexpr size_t kFewRows = 2 * kAmxRowStep;
constexpr size_t kFewRowsSteps = 512 / kTileCols;
constexpr size_t kManyRowsSteps = 2048 / kTileCols;
constexpr size_t kManyRowsPairs = 4;

AmxBlocking PlanFor(const MatmulArgs& args, size_t row_block) {
  AmxBlocking plan;
  plan.gated = args.gate != GateActivation::kNone;
  plan.panel_bytes = PanelBytes(args.weights.dtype, args.weights.cols).value_or(0);
  plan.steps = DivUp(args.weights.cols, kTileCols);
  plan.row_block = row_block;
  const bool few = row_block <= kFewRows;
  plan.step_block = std::min(plan.steps, few ? kFewRowsSteps : kManyRowsSteps);
  const size_t unit_pairs = plan.gated ? 2 : 1;
  plan.group_units = few ? 1 : kManyRowsPairs / unit_pairs;
  plan.group_pairs = plan.group_units * unit_pairs;
  plan.sum_row_blocks = plan.step_block < plan.steps ? plan.row_block / kAmxRowStep : 1;

  const bool dequantize = args.weights.dtype != DType::kBF16;
  plan.weights = plan.row_block / kTileRows * plan.steps * kTileBytes;
  plan.sums = plan.weights + (dequantize ? plan.group_pairs * plan.step_block * 2 * kTileBytes : 0);
  plan.bytes = plan.sums + plan.group_pairs * plan.sum_row_blocks * kSumBytes;
  return plan;
}

}  // namespace

bool AmxMatmulSupports(bool quantized_x, DType weights) {
  const std::optional<PanelFormat> format = PanelFormatOf(weights);
  // W8 is faster in integers, and on their tiles.
  if (!format || weights == DType::kF32 || format->by_row) return false;
  return !quantized_x || format->code_bits != 0;
}

AmxBlocking PlanAmxBlocking(const MatmulArgs& args) {
  // Blocks of equal size, so that no small rest pays for a dequantisation.
  const size_t blocks = std::max<size_t>(DivUp(args.rows, kMostRows), 1);
  return PlanFor(args, std::max(RoundUp(DivUp(args.rows, blocks), kAmxRowStep), kAmxRowStep));
}

// Grows with the rows, unlike the plan: memory for the largest step must do for every smaller one.
size_t AmxMatmulScratchBytes(const MatmulArgs& args) {
  const size_t rows = std::min(args.rows, kMostRows);
  return PlanFor(args, std::max(RoundUp(rows, kAmxRowStep), kAmxRowStep)).bytes;
}

}  // namespace pelton
