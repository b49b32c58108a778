#pragma once

#include <string>
#include <vector>

#include "base/status.h"
#include "kernels/ops/matmul.h"

namespace pelton {

// From so many rows on, up to the next choice of the same weights and kind of rows, this
// implementation multiplies activations of 8 bits. Measured on the machine at hand, in place of
// MatmulImpl::min_rows, which was measured on others.
struct MatmulChoice {
  DType weights = DType::kQ8_0;
  // kGenerated, or kAny for plans that are not invariant. What rows of prompts have is an
  // arithmetic, and not for choice.
  MatmulRows rows = MatmulRows::kGenerated;
  size_t min_rows = 1;
  std::string impl;  // MatmulImpl::name

  bool operator==(const MatmulChoice&) const = default;
};

// Whether this process may make the choices. InvalidArgument, naming the one that it may not: an
// implementation that is unknown, does not run on this processor, does not take the weights or is
// not invariant where it must be; or no rows, or the same rows twice.
Status CheckMatmulChoices(const std::vector<MatmulChoice>& choices);

// Makes ChooseMatmul follow them from now on; those that it has no choice for are chosen as before.
// An empty list takes all choices back. As CheckMatmulChoices; then nothing changes. Not while
// another thread runs a matmul: to be called before the first model is opened. Results of
// generated rows do not change by it.
Status SetMatmulChoices(const std::vector<MatmulChoice>& choices);

// What ChooseMatmul gives so many rows of 8 bits.
const MatmulImpl& ChooseQuantizedMatmul(DType weights, size_t rows, MatmulRows kind);

}  // namespace pelton
