#pragma once

#include "kernels/ops/op.h"

namespace pelton {

// A residual of several streams, x [T, S * dim], one behind the other in a row: a layer's part
// reads a mixture of them and is added to all of them, by weights that each token computes. Source:
// Xie et al. 2026, mHC: manifold-constrained hyper-connections; DeepSeek-V4 report, section 2.2.
inline constexpr size_t kMaxStreams = 8;

// out[t] = x[t] repeated S times. Unit: a row.
struct StreamSpreadArgs {
  const float* x;  // [T, dim], row stride x_stride
  float* out;      // [T, S * dim]
  size_t x_stride;
  size_t rows;
  size_t streams;
  size_t dim;
};
std::span<const OpImpl<StreamSpreadArgs>> StreamSpreadImpls();

// out[t] = [pre, S][post, S][comb, S * S], of which the last two are there if mixes has as many:
//   pre[m] = sigmoid(mixes[m] * scale[0] + base[m]) + epsilon
//   post[n] = 2 * sigmoid(mixes[S + n] * scale[1] + base[S + n])
//   comb[m] = softmax(row m of mixes * scale[2] + base) + epsilon, then made doubly stochastic:
//     its columns are divided by their sums (plus epsilon), then rounds - 1 times its rows and its
//     columns (Sinkhorn & Knopp 1967).
// Unit: a row.
struct StreamWeightsArgs {
  const float* mixes;  // [T, cols], row stride mixes_stride
  const float* scale;  // [3], or [1] where cols == S
  const float* base;   // [cols]
  float* out;          // [T, cols]
  size_t mixes_stride;
  size_t rows;
  size_t streams;  // S <= kMaxStreams
  size_t cols;     // S or (2 + S) * S
  size_t rounds;
  float epsilon;
};
std::span<const OpImpl<StreamWeightsArgs>> StreamWeightsImpls();

// out[t] = sum_m pre[m] * x[t, m]. Unit: a row.
struct StreamMergeArgs {
  const float* x;        // [T, S * dim], row stride x_stride
  const float* weights;  // [T, at least S] from StreamWeights, row stride weights_stride
  float* out;            // [T, dim]
  size_t x_stride;
  size_t weights_stride;
  size_t rows;
  size_t streams;
  size_t dim;
};
std::span<const OpImpl<StreamMergeArgs>> StreamMergeImpls();

// out[t, n] = post[n] * y[t] + sum_m comb[m, n] * x[t, m]. out may be x. Unit: a row.
struct StreamMixArgs {
  const float* x;        // [T, S * dim], row stride x_stride
  const float* y;        // [T, dim], row stride y_stride
  const float* weights;  // [T, (2 + S) * S] from StreamWeights, row stride weights_stride
  float* out;            // [T, S * dim], row stride out_stride
  size_t x_stride;
  size_t y_stride;
  size_t weights_stride;
  size_t out_stride;
  size_t rows;
  size_t streams;  // at most kMaxStreams
  size_t dim;
};
std::span<const OpImpl<StreamMixArgs>> StreamMixImpls();

}  // namespace pelton
