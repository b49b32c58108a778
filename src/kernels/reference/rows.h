#pragma once

#include <cstdint>
#include <vector>

#include "kernels/ops/elementwise.h"
#include "kernels/ops/layer_norm.h"
#include "kernels/ops/quantized_rows.h"
#include "kernels/ops/rms_norm.h"
#include "kernels/ops/rope.h"
#include "kernels/ops/rotate.h"

// The meaning of the row ops in plain C++ and f64, as dense [rows, width] values; the
// implementations are tested against it.
namespace pelton::reference {

struct RmsNormResult {
  std::vector<double> sum;   // [rows, groups * dim]
  std::vector<double> norm;  // [rows, groups * dim]
};
RmsNormResult RmsNorm(const RmsNormArgs& args);
// [rows, dim]
std::vector<double> LayerNorm(const LayerNormArgs& args);
std::vector<double> Binary(const BinaryArgs& args);
std::vector<double> Unary(const UnaryArgs& args);
// Rotated heads [T, heads * head_dim]; reads args.table.
std::vector<double> Rope(const RopeArgs& args);
// [rows, dim]
std::vector<double> Rotate(const RotateArgs& args);
// [T, 2 * half]
std::vector<double> RopeTable(const RopeTableArgs& args);

// The half nearest to x, ties to even, finite values beyond the range to the largest half.
uint16_t RoundToHalf(float x);

}  // namespace pelton::reference
