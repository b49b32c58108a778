#include "runtime/sample/candidates.h"

#include <algorithm>
#include <limits>

namespace pelton {
namespace {

constexpr size_t kScanBlock =
    64;  // one test per block: most blocks hold nothing above the threshold

void KeepBest(std::vector<Candidate>& candidates, size_t count) {
  if (candidates.size() <= count) return;
  std::nth_element(candidates.begin(), candidates.begin() + static_cast<ptrdiff_t>(count - 1),
                   candidates.end(), Better);
  candidates.resize(count);
}

}  // namespace

void SelectTop(std::span<const float> row, size_t count, std::vector<Candidate>& out) {
  out.clear();
  // Room for as many again before the weakest are dropped makes a drop's cost constant per token.
  const size_t limit = std::min(count, row.size()) * 2 + 4 * kScanBlock;
  // Strictly above: a later token that equals the weakest of `count` kept ones loses the tie.
  float threshold = -std::numeric_limits<float>::infinity();
  for (size_t begin = 0; begin < row.size(); begin += kScanBlock) {
    const size_t size = std::min(kScanBlock, row.size() - begin);
    const float* block = row.data() + begin;
    uint32_t any = 0;
    for (size_t j = 0; j < size; ++j) any |= block[j] > threshold ? 1u : 0u;
    if (any == 0) continue;
    for (size_t j = 0; j < size; ++j) {
      if (block[j] > threshold) out.push_back({block[j], static_cast<int32_t>(begin + j)});
    }
    if (out.size() >= limit) {
      KeepBest(out, count);
      threshold = out.back().logit;  // nth_element leaves the weakest kept one last
    }
  }
  KeepBest(out, count);
  std::sort(out.begin(), out.end(), Better);
}

}  // namespace pelton
