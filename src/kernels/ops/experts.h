#pragma once

#include "kernels/ops/matmul.h"
#include "kernels/ops/op.h"

namespace pelton {

// Mixture of experts: each token goes to K of E experts. The step's T * K (token, choice) pairs,
// numbered t * K + k, are sorted by expert, so that every expert multiplies consecutive rows.
// Choices depend on a token's own row alone.

// What a router makes of its logits before it chooses.
enum class RouterScoring : uint8_t {
  kSoftmax,       // over all experts
  kSigmoid,       // each expert by itself
  kSqrtSoftplus,  // each by itself: sqrt(log(1 + exp(logit)))
};

// ids[t] are the K best experts of row t, best first, equal ones by lowest index; weights[t] are
// their scores, divided by their sum if `normalise`, times `scale`. With a bias, experts are chosen
// by score + bias, but weighed by score. With groups > 1 only experts of the best `top_groups`
// groups of E / groups neighbours can be chosen: groups are ranked by their best score, or with a
// bias by the sum of their two best. A NaN ranks last. With `choices` the experts are those, in
// that order, whatever the scores. Unit: a row. Source: DeepSeek-V2 report, section 2.2;
// DeepSeek-V3 report, equations 12 to 16; DeepSeek-V4 report, section 2.1.
struct RouteArgs {
  const float* logits;  // [T, E], row stride logits_stride
  const float* bias;    // [E] or null
  int32_t* ids;         // [T, K]
  float* weights;       // [T, K]
  size_t logits_stride;
  size_t tokens;
  size_t experts;     // E
  size_t top;         // K <= E, and <= the experts of top_groups groups
  size_t groups;      // divides E; 1: any expert
  size_t top_groups;  // <= groups
  RouterScoring scoring;
  bool normalise;
  float scale;
  const float* choices = nullptr;  // [T, K] distinct numbers of experts; or null
  size_t choices_stride = 0;
};
std::span<const OpImpl<RouteArgs>> RouteImpls();
size_t RouteScratchBytes(const RouteArgs& args);

// A counting sort of pairs by expert: order[starts[e] .. starts[e + 1]) are the pairs of expert e,
// ascending. One unit. Requires: ids in [0, experts).
struct ExpertOrderArgs {
  const int32_t* ids;  // [pairs]
  int32_t* order;      // [pairs]
  int32_t* starts;     // [experts + 1]
  size_t pairs;
  size_t experts;
};
std::span<const OpImpl<ExpertOrderArgs>> ExpertOrderImpls();

// out[i] = x[order[i] / top], in rows of row_bytes. Unit: a row of out.
struct ExpertRowsArgs {
  const std::byte* x;  // rows x_row_bytes apart
  const int32_t* order;
  std::byte* out;  // [pairs] rows out_row_bytes apart
  size_t pairs;
  size_t top;
  size_t row_bytes;
  size_t x_row_bytes;
  size_t out_row_bytes;
};
std::span<const OpImpl<ExpertRowsArgs>> ExpertRowsImpls();

// out[t] = sum over the pairs of token t, by ascending expert, of weights[pair] * rows[pair's].
// Unit: 32 columns, of all tokens.
struct ExpertSumArgs {
  const float* rows;     // [pairs, dim], sorted by expert, row stride rows_stride
  const int32_t* order;  // [pairs]
  const float* weights;  // [T * K] by pair
  float* out;            // [T, dim], row stride out_stride
  size_t pairs;
  size_t tokens;
  size_t top;
  size_t dim;
  size_t rows_stride;
  size_t out_stride;
  bool accumulate = false;  // add to what out holds
};
std::span<const OpImpl<ExpertSumArgs>> ExpertSumImpls();

// A matmul per expert over its own rows: rows [begin[e], end[e]) of x and of the result with the
// weights of expert e. `matmul` holds what the experts share: x and out from row 0, the weights of
// expert 0 (those of expert e lie e * expert_bytes on), bias from expert 0 (those of expert e lie
// e * weights.rows on), and as
// `rows` the most rows that an expert may have. DeepGEMM's contiguous layout of groups is end ==
// begin + 1; its masked layout is begin[e] = e * capacity, end[e] = begin[e] + count[e].
// Each expert's implementation is what ChooseMatmul gives for its number of rows and `kind`, so
// that with kGenerated a row's bits do not depend on the other rows.
//
// With `sum`, out is null and the rows are added up as ExpertSum does, bit for bit, without being
// stored. Unit: 32 columns, of all experts, so that every thread has the same work whatever the
// router chose.
struct ExpertMatmulArgs {
  MatmulArgs matmul;
  const int32_t* begin;
  const int32_t* end;
  size_t experts;
  size_t expert_bytes;
  MatmulRows kind;
  const ExpertSumArgs* sum;  // its rows are unused; or null
};
size_t ExpertMatmulUnits(const ExpertMatmulArgs& args);
size_t ExpertMatmulScratchBytes(const ExpertMatmulArgs& args);
void ExpertMatmul(const ExpertMatmulArgs& args, size_t begin, size_t end,
                  std::byte* scratch) noexcept;

// out[m, h * N + n] = sum_k x[m, h * K + k] * w[h * N + n, k]: a matmul per head over that head's
// columns. `matmul` is that of head 0; the weights of head h lie h * head_bytes on; x and out
// are f32. Unit: 32 columns of one head.
struct HeadMatmulArgs {
  MatmulArgs matmul;
  size_t heads;
  size_t head_bytes;
  MatmulRows kind;
};
size_t HeadMatmulUnits(const HeadMatmulArgs& args);
size_t HeadMatmulScratchBytes(const HeadMatmulArgs& args);
void HeadMatmul(const HeadMatmulArgs& args, size_t begin, size_t end, std::byte* scratch) noexcept;

}  // namespace pelton
