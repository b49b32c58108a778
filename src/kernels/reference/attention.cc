#include "kernels/reference/attention.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "kernels/reference/half.h"

namespace pelton::reference {

double CacheElement(const KvCacheView& cache, const SequenceSpan& sequence, size_t layer,
                    size_t kv_head, bool value, size_t position, size_t d) {
  const auto block = static_cast<size_t>(sequence.block_table[position / cache.block_tokens]);
  const std::byte* rows = value ? cache.V(block, layer, kv_head) : cache.K(block, layer, kv_head);
  const size_t offset = position % cache.block_tokens;
  if (cache.dtype == KvDType::kQ8) {
    const std::byte* row = rows + offset * cache.RowBytes();
    float scale;
    std::memcpy(&scale, row, sizeof(scale));
    return static_cast<double>(scale) *
           static_cast<double>(reinterpret_cast<const int8_t*>(row)[sizeof(scale) + d]);
  }
  if (cache.dtype == KvDType::kFp8) {
    const std::byte* row = rows + offset * cache.RowBytes();
    const std::byte* scales = row + cache.value_dim;
    if (d >= cache.value_dim) {
      uint16_t bits;
      const size_t first = cache.value_dim / kFp8Group * sizeof(float);
      std::memcpy(&bits, scales + first + (d - cache.value_dim) * sizeof(bits), sizeof(bits));
      return BFloat16ToFloat(bits);
    }
    float scale;
    std::memcpy(&scale, scales + d / kFp8Group * sizeof(scale), sizeof(scale));
    return static_cast<double>(scale) * Float8ToFloat(std::to_integer<uint8_t>(row[d]));
  }
  const size_t i = offset * cache.head_dim + d;
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
    for (size_t d = 0; d < (value ? a.cache.ValueDim() : a.cache.head_dim); ++d) {
      const size_t row = static_cast<size_t>(sequence.first_row) + j;
      out.push_back(rows != nullptr
                        ? rows[row * stride + kv_head * a.cache.head_dim + d]
                        : CacheElement(a.cache, sequence, a.layer, kv_head, value, j, d));
    }
  }
  return out;
}

// q of one head, [head_dim].
std::vector<double> QueryOf(const AttentionArgs& a, size_t row, size_t h) {
  const size_t dim = a.cache.ValueDim(), rest = a.cache.head_dim - dim;
  const float* q = a.q + row * a.q_stride + h * dim;
  std::vector<double> out(q, q + dim);
  for (size_t d = 0; d < rest; ++d) out.push_back(a.q_rope[row * a.q_rope_stride + h * rest + d]);
  return out;
}

// Positions that the row at `position` sees.
std::vector<size_t> Visible(const AttentionArgs& a, size_t row, size_t position, size_t context) {
  std::vector<size_t> out;
  const auto window = static_cast<size_t>(a.window);
  const size_t first = window == 0 || window > position ? 0 : position + 1 - window;
  const size_t last = a.causal ? position : context - 1;
  const int32_t* chosen = a.positions == nullptr ? nullptr : a.positions + row * a.top;
  for (size_t j = first; j <= last; ++j) {
    const bool is_chosen =
        chosen == nullptr ||
        std::find(chosen, chosen + a.top, static_cast<int32_t>(j)) != chosen + a.top;
    if (is_chosen) out.push_back(j);
  }
  return out;
}

// A row of q of head h against the keys and values of its sequence that it sees.
std::vector<double> AttentionRow(const AttentionArgs& a, const std::vector<double>& q, size_t h,
                                 const std::vector<size_t>& visible,
                                 const std::vector<double>& keys,
                                 const std::vector<double>& values) {
  const size_t dim = a.cache.head_dim, value_dim = a.cache.ValueDim();
  std::vector<double> weights;
  for (const size_t j : visible) {
    double score = 0;
    for (size_t d = 0; d < dim; ++d) score += q[d] * keys[j * dim + d];
    score *= a.scale;
    if (a.soft_cap > 0) score = a.soft_cap * std::tanh(score / a.soft_cap);
    weights.push_back(score);
  }
  double maximum = *std::max_element(weights.begin(), weights.end());
  if (a.sinks != nullptr) maximum = std::max<double>(maximum, a.sinks[h]);
  double total = a.sinks == nullptr ? 0 : std::exp(a.sinks[h] - maximum);
  for (double& w : weights) total += w = std::exp(w - maximum);
  std::vector<double> out(value_dim);
  for (size_t i = 0; i < visible.size(); ++i) {
    const double weight = weights[i] / total;
    for (size_t d = 0; d < value_dim; ++d) out[d] += weight * values[visible[i] * value_dim + d];
  }
  return out;
}

}  // namespace

std::vector<double> Attention(const AttentionArgs& a) {
  const size_t dim = a.cache.ValueDim(), width = a.heads * dim;
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
        const std::vector<size_t> visible =
            Visible(a, row, position, static_cast<size_t>(sequence.context));
        const std::vector<double> head =
            AttentionRow(a, QueryOf(a, row, h), h, visible, keys, values);
        std::copy(head.begin(), head.end(),
                  out.begin() + static_cast<std::ptrdiff_t>(row * width + h * dim));
      }
    }
  }
  return out;
}

}  // namespace pelton::reference
