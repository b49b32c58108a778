#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/cpu/row_output.h"
#include "kernels/ops/matmul.h"

namespace pelton::cpu::KERNEL_ISA {

// The gated result of some columns of one row, `lanes` of which exist.
inline F32 Gated(const MatmulArgs& args, size_t columns, size_t column, size_t lanes, F32 gate,
                 F32 up) {
  if (args.bias != nullptr) {
    const float* bias = args.bias + column;
    const bool all = lanes == F32::kLanes;
    gate = Add(gate, all ? Load(bias) : LoadPartial(bias, lanes));
    up = Add(up, all ? Load(bias + columns) : LoadPartial(bias + columns, lanes));
  }
  if (args.gate_limit > 0) ClampGate(Broadcast(args.gate_limit), gate, up);
  if (args.gate == GateActivation::kSwigluOai) return SwigluOai(gate, up);
  return Mul(args.gate == GateActivation::kSilu ? Silu(gate) : GeluTanh(gate), up);
}

// What a matmul does with the sums of one unit, rows [first_row, first_row + rows): bias,
// activation, residual or gate, then store or quantise. A row of `y` is 32 sums, or, when gated, 16
// of gate, 16 of up, 16 of gate, 16 of up. `columns` is N. Where there is no args.out, store(block,
// row, unit) gets the 32 results of a row.
template <typename StoreBlock>
inline void FinishUnit(const MatmulArgs& args, size_t unit, size_t columns, size_t first_row,
                       size_t rows, const float* y, size_t y_stride, const StoreBlock& store) {
  constexpr size_t kLanes = F32::kLanes;
  const size_t first = unit * 32;
  const size_t width = columns - first < 32 ? columns - first : 32;
  alignas(64) float block[QuantizedRows::kBlock];
  for (size_t row = first_row; row < first_row + rows; ++row, y += y_stride) {
    for (size_t i = 0; i < width; i += kLanes) {
      const size_t column = first + i;
      const size_t lanes = width - i < kLanes ? width - i : kLanes;
      F32 value;
      if (args.gate != GateActivation::kNone) {
        const float* pair = y + i / 16 * 32 + i % 16;
        value = Gated(args, columns, column, lanes, Load(pair), Load(pair + 16));
      } else {
        value = Load(y + i);
        const auto add = [&](const float* p) {
          value = Add(value, lanes == kLanes ? Load(p) : LoadPartial(p, lanes));
        };
        if (args.bias != nullptr) add(args.bias + column);
        if (args.activation == MatmulActivation::kGeluErf) value = GeluErf(value);
        if (args.residual != nullptr) add(args.residual + row * args.residual_stride + column);
      }
      if (args.out == nullptr) {
        Store(value, block + i);
      } else if (lanes == kLanes) {
        Store(value, args.out + row * args.out_stride + column);
      } else {
        StorePartial(value, args.out + row * args.out_stride + column, lanes);
      }
    }
    if (args.out == nullptr) store(block, row, unit);
  }
}

// The same for results that are quantised.
inline void FinishUnit(const MatmulArgs& args, size_t unit, size_t columns, size_t first_row,
                       size_t rows, const float* y, size_t y_stride) {
  const QuantizedRows quantized = {args.out_quantized, columns};
  FinishUnit(
      args, unit, columns, first_row, rows, y, y_stride,
      [&](float* block, size_t row, size_t index) { QuantizeBlock(block, quantized, row, index); });
}

}  // namespace pelton::cpu::KERNEL_ISA
