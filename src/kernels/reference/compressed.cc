#include "kernels/reference/compressed.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace pelton::reference {

std::vector<double> Entry(const CompressArgs& a, const std::vector<float>& values,
                          const std::vector<float>& gates, size_t window, const float* table) {
  std::vector<double> entry(a.dim);
  const bool overlap = a.cols != a.dim;
  const size_t begin = (window - (overlap && window > 0 ? 1 : 0)) * a.ratio;
  double squares = 0;
  for (size_t d = 0; d < a.dim; ++d) {
    double total = 0, sum = 0;
    for (size_t p = begin; p < (window + 1) * a.ratio; ++p) {
      const size_t lane = p < window * a.ratio ? d : a.cols - a.dim + d;
      const size_t i = p * a.cols + lane;
      const double weight = std::exp(double{gates[i]} + a.bias[p % a.ratio * a.cols + lane]);
      total += weight;
      sum += weight * values[i];
    }
    entry[d] = sum / total;
    squares += entry[d] * entry[d];
  }
  const double root = std::sqrt(squares / static_cast<double>(a.dim) + a.epsilon);
  for (size_t d = 0; d < a.dim; ++d) entry[d] *= a.norm[d] / root;
  for (size_t i = 0; i < a.half; ++i) {
    double& x = entry[a.dim - 2 * a.half + 2 * i];
    double& y = entry[a.dim - 2 * a.half + 2 * i + 1];
    const double cos = table[i], sin = table[a.half + i], old = x;
    x = old * cos - y * sin;
    y = old * sin + y * cos;
  }
  return entry;
}

std::vector<double> AttentionOver(const std::vector<std::vector<double>>& keys, const float* q,
                                  double scale, double sink) {
  std::vector<double> scores;
  double largest = sink;
  for (const std::vector<double>& key : keys) {
    scores.push_back(scale * std::inner_product(key.begin(), key.end(), q, 0.0));
    largest = std::max(largest, scores.back());
  }
  double total = std::exp(sink - largest);
  std::vector<double> out(keys[0].size());
  for (size_t j = 0; j < keys.size(); ++j) {
    const double weight = std::exp(scores[j] - largest);
    total += weight;
    for (size_t d = 0; d < out.size(); ++d) out[d] += weight * keys[j][d];
  }
  for (double& x : out) x /= total;
  return out;
}

}  // namespace pelton::reference
