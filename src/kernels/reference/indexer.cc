#include "kernels/reference/indexer.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "kernels/reference/half.h"

namespace pelton::reference {
namespace {

double KeyElement(const IndexScoresArgs& a, const SequenceSpan& sequence, size_t position,
                  size_t d) {
  const size_t block_tokens = a.cache.block_tokens;
  const auto block = static_cast<size_t>(sequence.block_table[position / block_tokens]);
  const std::byte* keys = a.cache.Index(block, a.layer);
  const size_t i = position % block_tokens * a.cache.index_dim + d;
  if (a.cache.IndexDType() == KvDType::kF32) return reinterpret_cast<const float*>(keys)[i];
  return HalfToFloat(reinterpret_cast<const uint16_t*>(keys)[i]);
}

}  // namespace

std::vector<double> IndexScores(const IndexScoresArgs& a, const SequenceSpan& sequence,
                                size_t row) {
  const size_t dim = a.cache.index_dim;
  const size_t position = row + static_cast<size_t>(sequence.context - sequence.count) -
                          static_cast<size_t>(sequence.first_row);
  std::vector<double> out(position + 1);
  for (size_t j = 0; j <= position; ++j) {
    for (size_t h = 0; h < a.heads; ++h) {
      double product = 0;
      for (size_t d = 0; d < dim; ++d) {
        product += a.q[row * a.q_stride + h * dim + d] * KeyElement(a, sequence, j, d);
      }
      out[j] += a.weights[row * a.weights_stride + h] * std::max(product, 0.0);
    }
  }
  return out;
}

std::vector<int32_t> TopPositions(const std::vector<float>& scores, size_t top) {
  std::vector<int32_t> order(scores.size());
  std::iota(order.begin(), order.end(), 0);
  std::sort(order.begin(), order.end(), [&](int32_t a, int32_t b) {
    const float x = scores[static_cast<size_t>(a)], y = scores[static_cast<size_t>(b)];
    if (x == y || (std::isnan(x) && std::isnan(y))) return a < b;
    return !std::isnan(x) && (std::isnan(y) || x > y);
  });
  order.resize(std::min(order.size(), top));
  std::sort(order.begin(), order.end());
  order.resize(top, -1);
  return order;
}

}  // namespace pelton::reference
