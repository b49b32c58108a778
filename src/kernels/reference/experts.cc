#include "kernels/reference/experts.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace pelton::reference {
namespace {

// Indices of `values`, best first, equal ones by lowest index.
std::vector<size_t> Sorted(const std::vector<double>& values) {
  std::vector<size_t> order(values.size());
  std::iota(order.begin(), order.end(), 0);
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return values[a] != values[b] ? values[a] > values[b] : a < b;
  });
  return order;
}

// Experts of groups that are not among the best cannot be chosen.
std::vector<bool> OpenExperts(const RouteArgs& a, const std::vector<double>& ranks) {
  const size_t size = a.experts / a.groups;
  std::vector<double> group_ranks;
  for (size_t g = 0; g < a.groups; ++g) {
    std::vector<double> group(ranks.begin() + static_cast<std::ptrdiff_t>(g * size),
                              ranks.begin() + static_cast<std::ptrdiff_t>((g + 1) * size));
    std::sort(group.begin(), group.end(), std::greater<>());
    group_ranks.push_back(a.bias != nullptr && size > 1 ? group[0] + group[1] : group[0]);
  }
  const std::vector<size_t> best = Sorted(group_ranks);
  std::vector<bool> open(a.experts);
  for (size_t i = 0; i < a.top_groups; ++i) {
    for (size_t e = 0; e < size; ++e) open[best[i] * size + e] = true;
  }
  return open;
}

}  // namespace

std::vector<Choice> Route(const RouteArgs& a, size_t row) {
  const float* logits = a.logits + row * a.logits_stride;
  std::vector<double> scores(logits, logits + a.experts), ranks;
  const double largest = *std::max_element(scores.begin(), scores.end());
  double total = 0;
  for (double& score : scores) {
    score = a.scoring == RouterScoring::kSigmoid        ? 1 / (1 + std::exp(-score))
            : a.scoring == RouterScoring::kSqrtSoftplus ? std::sqrt(std::log1p(std::exp(score)))
                                                        : std::exp(score - largest);
    total += score;
  }
  for (size_t e = 0; e < a.experts; ++e) {
    if (a.scoring == RouterScoring::kSoftmax) scores[e] /= total;
    ranks.push_back(scores[e] + (a.bias != nullptr ? a.bias[e] : 0));
  }
  const std::vector<bool> open = OpenExperts(a, ranks);
  std::vector<Choice> chosen;
  double sum = 0;
  for (size_t expert : Sorted(ranks)) {
    if (!open[expert] || chosen.size() == a.top) continue;
    chosen.push_back({expert, scores[expert]});
    sum += scores[expert];
  }
  for (Choice& choice : chosen) choice.weight *= a.scale / (a.normalise ? sum : 1);
  return chosen;
}

}  // namespace pelton::reference
