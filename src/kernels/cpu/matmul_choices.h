#pragma once

#include "kernels/ops/matmul_choices.h"

namespace pelton {

// The implementation that SetMatmulChoices names for so many rows of 8 bits, or null.
const MatmulImpl* ChosenMatmul(DType weights, MatmulRows kind, size_t rows);

}  // namespace pelton
