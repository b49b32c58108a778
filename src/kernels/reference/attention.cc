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

std::vector<double> Attention(const AttentionArgs& a) {
  const size_t dim = a.cache.head_dim;
  std::vector<double> out;
  for (size_t s = 0; s < a.num_sequences; ++s) {
    const SequenceSpan& sequence = a.sequences[s];
    for (int32_t row = 0; row < sequence.count; ++row) {
      const auto last = static_cast<size_t>(sequence.context - sequence.count + row);
      const auto window = static_cast<size_t>(a.window);
      const size_t first = window == 0 || window > last ? 0 : last + 1 - window;
      for (size_t h = 0; h < a.heads; ++h) {
        const size_t kv_head = h / (a.heads / a.cache.kv_heads);
        const float* q = a.q + static_cast<size_t>(sequence.first_row + row) * a.q_stride + h * dim;
        std::vector<double> weights;
        for (size_t j = first; j <= last; ++j) {
          double score = 0;
          for (size_t d = 0; d < dim; ++d) {
            score += q[d] * CacheElement(a.cache, sequence, a.layer, kv_head, false, j, d);
          }
          score *= a.scale;
          if (a.soft_cap > 0) score = a.soft_cap * std::tanh(score / a.soft_cap);
          weights.push_back(score);
        }
        const double maximum = *std::max_element(weights.begin(), weights.end());
        double total = 0;
        for (double& w : weights) total += w = std::exp(w - maximum);
        for (size_t d = 0; d < dim; ++d) {
          double sum = 0;
          for (size_t j = first; j <= last; ++j) {
            sum +=
                weights[j - first] * CacheElement(a.cache, sequence, a.layer, kv_head, true, j, d);
          }
          out.push_back(sum / total);
        }
      }
    }
  }
  return out;
}

}  // namespace pelton::reference
