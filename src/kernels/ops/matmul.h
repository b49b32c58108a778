#pragma once

#include "kernels/ops/op.h"
#include "kernels/ops/packed_weights.h"
#include "kernels/ops/quantized_rows.h"

namespace pelton {

// y[m, n] = sum_k x[m, k] * w[n, k], then the epilogue.
//   plain:  out[m, n] = act(y[m, n] + bias[n]) + residual[m, n]
//   gated:  w holds gate and up in alternating panels; out[m, n] = act(gate[m, n]) * up[m, n] or
//           what else GateActivation says, of sums with their bias; N = w.rows / 2; no residual
// Two arithmetics, each with one order of operations per output whatever M, the unit split or the
// instruction set's row kernels, so a row's bits do not depend on the rows beside it:
//   x_f32:        exact weights times f32 activations, f32 accumulation over k in order.
//   x_quantized:  per block of 32 an exact integer dot product; then f32 accumulation over the
//                 blocks in order: acc = fma(scale_w * scale_x, dot, acc), and for layouts with a
//                 minimum acc = fma(min_w, scale_x * sum_x, acc). Formats with sub 16 take their
//                 two halves of a block in order. Scalar formats and F8_E4M3 are not available
//                 (use x_f32).
// Implementations marked `invariant == false` in MatmulImpls (AMX with bf16) may differ from that
// order.
enum class GateActivation : uint8_t {
  kNone,
  kSilu,
  kGeluTanh,
  kSwigluOai,  // gate / (1 + exp(-1.702 gate)) * (up + 1), as in gpt-oss
};
enum class MatmulActivation : uint8_t { kNone, kGeluErf };  // of plain matmuls

struct MatmulArgs {
  const float* x_f32;            // [M, K], row stride x_stride; or null
  const std::byte* x_quantized;  // QuantizedRows [M, K]; exactly one of the two is given
  // The rows of x_quantized hold bf16 [K] instead, each of QuantizedRows::Bf16RowBytes; for
  // implementations that are not invariant.
  bool x_bf16 = false;
  size_t x_stride;  // of x_f32
  size_t rows;      // M
  PackedWeights weights;
  GateActivation gate;
  const float* bias;      // [N], or when gated [2 N], those of gate before those of up; or null
  const float* residual;  // [M, N], row stride residual_stride, or null; may be out
  size_t residual_stride;
  float* out;                // [M, N], row stride out_stride; or null
  std::byte* out_quantized;  // QuantizedRows [M, N] when out is null; needs N % 32 == 0
  bool out_bf16 = false;     // likewise, for out_quantized
  size_t out_stride;         // of out
  MatmulActivation activation = MatmulActivation::kNone;
  // Not 0: gate is min(gate, gate_limit) first and up is clamped to [-gate_limit, gate_limit].
  float gate_limit = 0;
};

// Unit: 32 output columns (a pair of panels, or two pairs when gated).
size_t MatmulUnits(const MatmulArgs& args);

struct MatmulImpl {
  const char* name;
  uint32_t required_features;
  bool invariant;
  size_t min_rows;  // M below which it is not worth choosing
  // Whether it can run this combination of activation type and weight format.
  bool (*supports)(bool quantized_x, DType weights);
  size_t (*scratch_bytes)(const MatmulArgs& args);
  OpFn<MatmulArgs> run;
};

// Fastest first; the last runs everything everywhere.
std::span<const MatmulImpl> MatmulImpls();

// What is known of all rows of a matmul, which decides the arithmetic that they may have.
enum class MatmulRows : uint8_t {
  kAny,        // the fastest for this number of rows, whose results may depend on it
  kGenerated,  // invariant implementations only
  // The fastest for many rows, even if these are few: not the arithmetic of generated rows,
  // perhaps, but one that no number of rows changes.
  kPrompt,
};

// What SetMatmulChoices (matmul_choices.h) chose, else the first implementation that the features,
// the row count and `rows` allow.
const MatmulImpl& ChooseMatmul(const MatmulArgs& args, MatmulRows rows);

// Scratch of whichever implementation is chosen for up to args.rows rows.
size_t MatmulScratchBytes(const MatmulArgs& args);

}  // namespace pelton
