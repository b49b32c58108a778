// The small serial parts of a mixture of experts: choice, sorting, and rows in sorted order.
#include <cmath>
#include <cstring>

#include "kernels/ops/experts.h"

namespace pelton {
namespace {

constexpr float kLowest = -__builtin_inff();

// What experts are chosen by: a NaN counts as less than anything.
float Rank(const RouteArgs& a, const float* scores, size_t expert) {
  const float rank = a.bias == nullptr ? scores[expert] : scores[expert] + a.bias[expert];
  return rank == rank ? rank : kLowest;
}

// scores[e] of one row.
void Score(const RouteArgs& a, const float* logits, float* scores) {
  if (a.scoring == RouterScoring::kSigmoid) {
    for (size_t e = 0; e < a.experts; ++e) scores[e] = 1 / (1 + std::exp(-logits[e]));
    return;
  }
  if (a.scoring == RouterScoring::kSqrtSoftplus) {
    for (size_t e = 0; e < a.experts; ++e) {
      // max(x, 0) + log1p(exp(-|x|)) does not overflow.
      const float softplus =
          std::fmax(logits[e], 0.0f) + std::log1p(std::exp(-std::fabs(logits[e])));
      scores[e] = std::sqrt(softplus);
    }
    return;
  }
  float largest = kLowest;
  for (size_t e = 0; e < a.experts; ++e) largest = logits[e] > largest ? logits[e] : largest;
  float sum = 0;
  for (size_t e = 0; e < a.experts; ++e) sum += scores[e] = std::exp(logits[e] - largest);
  for (size_t e = 0; e < a.experts; ++e) scores[e] /= sum;
}

// The best `count` of [0, size) by rank, best first, equal ones by lowest index; visit(index).
// rank(i) of one that is taken or must not be chosen gives nothing.
template <typename RankOf, typename Visit>
void ChooseBest(size_t size, size_t count, const RankOf& rank_of, const Visit& visit) {
  for (size_t k = 0; k < count; ++k) {
    size_t best = size;
    float best_rank = kLowest;
    for (size_t i = 0; i < size; ++i) {
      float rank = 0;
      if (!rank_of(i, &rank)) continue;
      if (best == size || rank > best_rank) {
        best = i;
        best_rank = rank;
      }
    }
    visit(best);
  }
}

// A group's score: its best rank, or with a bias the sum of its two best.
float GroupRank(const RouteArgs& a, const float* scores, size_t group) {
  const size_t size = a.experts / a.groups;
  float best = kLowest, second = kLowest;
  for (size_t e = group * size; e < (group + 1) * size; ++e) {
    const float rank = Rank(a, scores, e);
    if (rank > best) {
      second = best;
      best = rank;
    } else if (rank > second) {
      second = rank;
    }
  }
  return a.bias == nullptr || size == 1 ? best : best + second;
}

// The best by score, to ids and weights.
void Choose(const RouteArgs& a, const float* scores, uint8_t* open_groups, uint8_t* taken,
            int32_t* id, float* weight) {
  const size_t group_size = a.experts / a.groups;
  std::memset(open_groups, a.groups == 1 ? 1 : 0, a.groups);
  if (a.groups > 1) {
    ChooseBest(
        a.groups, a.top_groups,
        [&](size_t group, float* rank) {
          *rank = GroupRank(a, scores, group);
          return open_groups[group] == 0;
        },
        [&](size_t group) { open_groups[group] = 1; });
  }
  std::memset(taken, 0, a.experts);
  ChooseBest(
      a.experts, a.top,
      [&](size_t expert, float* rank) {
        *rank = Rank(a, scores, expert);
        return taken[expert] == 0 && open_groups[expert / group_size] != 0;
      },
      [&](size_t expert) {
        taken[expert] = 1;
        *id++ = static_cast<int32_t>(expert);
        *weight++ = scores[expert];
      });
}

void RouteRow(const RouteArgs& a, size_t row, float* scores, uint8_t* open_groups, uint8_t* taken) {
  Score(a, a.logits + row * a.logits_stride, scores);
  int32_t* const ids = a.ids + row * a.top;
  float* const weights = a.weights + row * a.top;
  if (a.choices == nullptr) {
    Choose(a, scores, open_groups, taken, ids, weights);
  } else {
    const float* choices = a.choices + row * a.choices_stride;
    for (size_t k = 0; k < a.top; ++k) {
      ids[k] = static_cast<int32_t>(choices[k]);
      weights[k] = scores[ids[k]];
    }
  }
  float sum = 1e-20f;
  for (size_t k = 0; k < a.top; ++k) sum += weights[k];
  const float factor = a.normalise ? a.scale / sum : a.scale;
  for (size_t k = 0; k < a.top; ++k) weights[k] *= factor;
}

void Route(const RouteArgs& a, size_t begin, size_t end, std::byte* scratch) noexcept {
  auto* scores = reinterpret_cast<float*>(scratch);
  auto* open_groups = reinterpret_cast<uint8_t*>(scores + a.experts);
  uint8_t* taken = open_groups + a.groups;
  for (size_t row = begin; row < end; ++row) RouteRow(a, row, scores, open_groups, taken);
}

void ExpertOrder(const ExpertOrderArgs& a, size_t begin, size_t end, std::byte*) noexcept {
  if (begin == end) return;
  std::memset(a.starts, 0, (a.experts + 1) * sizeof(int32_t));
  for (size_t pair = 0; pair < a.pairs; ++pair) ++a.starts[a.ids[pair] + 1];
  for (size_t e = 0; e < a.experts; ++e) a.starts[e + 1] += a.starts[e];
  // starts[e] runs to the end of expert e, which is where expert e + 1 begins, and is moved back.
  for (size_t pair = 0; pair < a.pairs; ++pair) {
    a.order[a.starts[a.ids[pair]]++] = static_cast<int32_t>(pair);
  }
  std::memmove(a.starts + 1, a.starts, a.experts * sizeof(int32_t));
  a.starts[0] = 0;
}

void ExpertRows(const ExpertRowsArgs& a, size_t begin, size_t end, std::byte*) noexcept {
  for (size_t row = begin; row < end; ++row) {
    const size_t token = static_cast<size_t>(a.order[row]) / a.top;
    std::memcpy(a.out + row * a.out_row_bytes, a.x + token * a.x_row_bytes, a.row_bytes);
  }
}

}  // namespace

size_t RouteScratchBytes(const RouteArgs& args) {
  return args.experts * (sizeof(float) + 1) + args.groups;
}

std::span<const OpImpl<RouteArgs>> RouteImpls() {
  static constexpr OpImpl<RouteArgs> kImpls[] = {{"generic", kCpuGeneric, Route}};
  return kImpls;
}

std::span<const OpImpl<ExpertOrderArgs>> ExpertOrderImpls() {
  static constexpr OpImpl<ExpertOrderArgs> kImpls[] = {{"generic", kCpuGeneric, ExpertOrder}};
  return kImpls;
}

std::span<const OpImpl<ExpertRowsArgs>> ExpertRowsImpls() {
  static constexpr OpImpl<ExpertRowsArgs> kImpls[] = {{"generic", kCpuGeneric, ExpertRows}};
  return kImpls;
}

}  // namespace pelton
