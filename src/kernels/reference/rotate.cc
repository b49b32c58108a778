#include <bit>

#include "kernels/reference/rows.h"

namespace pelton::reference {

// Element i, j of a Hadamard matrix (Sylvester) is -1 where i and j share an odd number of bits.
std::vector<double> Rotate(const RotateArgs& args) {
  const size_t order = RotationOrder(args.dim), stride = args.dim / order;
  std::vector<double> out(args.rows * args.dim);
  for (size_t row = 0; row < args.rows; ++row) {
    const float* x = args.x + row * args.x_stride;
    for (size_t k = 0; k < args.dim; ++k) {
      double& sum = out[row * args.dim + k];
      for (size_t i = 0; i < order; ++i) {
        const double sign = std::popcount(i & (k / stride)) % 2 == 0 ? 1 : -1;
        sum += sign * x[i * stride + k % stride];
      }
    }
  }
  return out;
}

}  // namespace pelton::reference
