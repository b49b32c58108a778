#pragma once

#include <cstddef>

#include "base/checked_math.h"
#include "kernels/ops/packed_weights.h"

// Sizes inside a panel of packed weights; see kernels/ops/packed_weights.h for the layouts.
namespace pelton {

// Bytes of the codes of one block.
constexpr size_t CodeBytes(const PanelFormat& format) {
  const int bits = format.scaled ? 8 : format.code_bits;
  return kPanelRows * kBlockCols / 8 * static_cast<size_t>(bits);
}

// What kernels subtract from the codes that they use: those of a table are its values, moved up so
// that none is negative.
constexpr int ZeroOfCodes(const PanelFormat& format) {
  if (format.float4) return 12;
  return format.table ? 128 : format.zero;
}
// Whether such codes need all 8 bits.
constexpr bool HasWideCodes(const PanelFormat& format) {
  return format.code_bits == 8 || (format.table && !format.float4);
}

// Bytes of the scales and minima before a group of `blocks` blocks of a simple format, or of
// floats of 8 bits.
constexpr size_t GroupHeaderBytes(const PanelFormat& format, size_t blocks) {
  if (format.scaled) return blocks == 0 ? 0 : kPanelRows * sizeof(float);
  return RoundUp(blocks * kPanelRows * 2 * (format.has_minimum ? 2 : 1), 64);
}

// Bytes of the scales before all codes of a format with one scale a row.
inline constexpr size_t kRowScaleBytes = kPanelRows * sizeof(float);

// Scales, or minima, of one row in 256 columns of a super format.
constexpr size_t SuperScales(const PanelFormat& format) {
  return kSuperCols / static_cast<size_t>(format.sub);
}

// Bytes of d, dmin, the scales and the minima before 8 blocks of a super format.
constexpr size_t SuperHeaderBytes(const PanelFormat& format) {
  return kPanelRows * (4 + SuperScales(format) * (format.has_minimum ? 2 : 1));
}

}  // namespace pelton
