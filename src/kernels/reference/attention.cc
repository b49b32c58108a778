#include "kernels/reference/attention.h"

#include <algorithm>
#include <cmath>

#include "kernels/reference/half.h"

namespace pelton::reference {

double CacheElement(const KvCacheView& cache, const SequenceSpan& sequence, size_t layer,
                    size_t kv_head, bool value, size_t position, size_t d) {
  const auto block = static_cast<size_t>(sequence.block_table[position / cache.block_tokens]);
  const std::byte* rows = value ? cache.V(block, layer, kv_head) : cache.K(block, layer, kv_head);
  const size_t i = position % cache.block_tokens * cache.head_dim + d;
  if (cache.dtype == KvDType::kF32) return reinterpret_cast<const float*>(rows)[i];
  return HalfToFloat(reinterpret_cast<const uint16_t*>(rows)[i]);
}

namespace {

// All keys (or values) of a sequence for one KV head, [context, D].
std::vector<double> RowsOf(const AttentionArgs& a, const SequenceSpan& sequence, size_t kv_head,
                           bool value) {
  std::vector<double> out;
  const float* rows = value ? a.rows.v : a.rows.k;
  const size_t stride = value ? a.rows.v_stride : a.rows.k_stride;
  for (size_t j = 0; j < static_cast<size_t>(sequence.context); ++j) {
    for (size_t d = 0; d < a.cache.head_dim; ++d) {
      const size_t row = static_cast<size_t>(sequence.first_row) + j;
      out.push_back(rows != nullptr
                        ? rows[row * stride + kv_head * a.cache.head_dim + d]
                        : CacheElement(a.cache, sequence, a.layer, kv_head, value, j, d));
    }
  }
  return out;
}

// The row of q at `position`, against keys and values of its sequence.
std::vector<double> AttentionRow(const AttentionArgs& a, const float* q, size_t position,
                                 const std::vector<double>& keys,
                                 const std::vector<double>& values) {
  const size_t dim = a.cache.head_dim;
  const auto window = static_cast<size_t>(a.window);
  const size_t first = window == 0 || window > position ? 0 : position + 1 - window;
  std::vector<double> weights;
  const size_t last = a.causal ? position : keys.size() / dim - 1;
  for (size_t j = first; j <= last; ++j) {
    double score = 0;
    for (size_t d = 0; d < dim; ++d) score += q[d] * keys[j * dim + d];
    score *= a.scale;
    if (a.soft_cap > 0) score = a.soft_cap * std::tanh(score / a.soft_cap);
    weights.push_back(score);
  }
  const double maximum = *std::max_element(weights.begin(), weights.end());
  double total = 0;
  for (double& w : weights) total += w = std::exp(w - maximum);
  std::vector<double> out(dim);
  for (size_t j = first; j <= last; ++j) {
    for (size_t d = 0; d < dim; ++d) out[d] += weights[j - first] / total * values[j * dim + d];
  }
  return out;
}

}  // namespace

std::vector<double> Attention(const AttentionArgs& a) {
  const size_t dim = a.cache.head_dim, width = a.heads * dim;
  std::vector<double> out;
  for (size_t s = 0; s < a.num_sequences; ++s) {
    const SequenceSpan& sequence = a.sequences[s];
    out.resize(out.size() + static_cast<size_t>(sequence.count) * width);
    for (size_t h = 0; h < a.heads; ++h) {
      const size_t kv_head = h / (a.heads / a.cache.kv_heads);
      const std::vector<double> keys = RowsOf(a, sequence, kv_head, false);
      const std::vector<double> values = RowsOf(a, sequence, kv_head, true);
      const auto count = static_cast<size_t>(sequence.count);
      for (size_t i = 0; i < count; ++i) {
        const size_t row = static_cast<size_t>(sequence.first_row) + i;
        const size_t position = static_cast<size_t>(sequence.context) - count + i;
        const std::vector<double> head =
            AttentionRow(a, a.q + row * a.q_stride + h * dim, position, keys, values);
        std::copy(head.begin(), head.end(),
                  out.begin() + static_cast<std::ptrdiff_t>(row * width + h * dim));
      }
    }
  }
  return out;
}

}  // namespace pelton::reference
