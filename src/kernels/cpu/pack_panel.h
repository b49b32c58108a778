#pragma once

#include <array>
#include <cstddef>

#include "kernels/ops/packed_weights.h"

// What packing knows of one panel.
namespace pelton {

// The stored rows of a panel; null where the panel is padding.
using PanelRows = std::array<const std::byte*, kPanelRows>;
// Where their scales are.
struct RowScales {
  const BlockScales* scales;
  size_t row;
};
using PanelScales = std::array<RowScales, kPanelRows>;

// A panel of W8. Requires: MayRotate(cols).
void PackPanelByRow(DType stored, const PanelRows& rows, const PanelScales& scales, size_t cols,
                    std::byte* out);

}  // namespace pelton
