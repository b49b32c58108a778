#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace pelton::tokenizer {

// A part of a text while neighbours are being merged.
struct MergeSymbol {
  uint32_t start;  // in bytes
  uint32_t size;   // 0 once it is part of its left neighbour
  int32_t id;      // may be negative: not (yet) a token
  int32_t previous;
  int32_t next;  // -1 at the end
};

// A pair that could be merged.
template <typename Priority>
struct MergeCandidate {
  Priority priority;
  int32_t left;
  uint32_t size;  // of both: tells whether either has changed since
  int32_t id;
  // For a heap with the best candidate on top.
  bool operator<(const MergeCandidate& other) const {
    if (priority != other.priority) return priority > other.priority;
    return left > other.left;
  }
};

// Merges neighbours until no pair merges: always the pair with the smallest priority, of equal
// ones the leftmost. `find(left, right)` gives {priority, id}; a negative id: the pair does not
// merge. O(n log n) calls and steps. `symbols` are linked in order; merged ones get size 0.
// `candidates` is memory that may be used again.
template <typename Priority, typename Find>
void MergePairs(const Find& find, std::vector<MergeSymbol>& symbols,
                std::vector<MergeCandidate<Priority>>& candidates) {
  candidates.clear();
  const auto consider = [&](int32_t left, int32_t right) {
    const MergeSymbol& a = symbols[static_cast<size_t>(left)];
    const MergeSymbol& b = symbols[static_cast<size_t>(right)];
    const auto merge = find(a, b);
    if (merge.id < 0) return false;
    candidates.push_back({merge.priority, left, a.size + b.size, merge.id});
    return true;
  };
  for (size_t i = 1; i < symbols.size(); ++i) {
    consider(static_cast<int32_t>(i) - 1, static_cast<int32_t>(i));
  }
  std::make_heap(candidates.begin(), candidates.end());
  while (!candidates.empty()) {
    std::pop_heap(candidates.begin(), candidates.end());
    const MergeCandidate<Priority> best = candidates.back();
    candidates.pop_back();
    MergeSymbol& left = symbols[static_cast<size_t>(best.left)];
    if (left.size == 0 || left.next < 0) continue;
    MergeSymbol& right = symbols[static_cast<size_t>(left.next)];
    // Symbols only grow to the right or vanish, so the sum of the sizes identifies the pair.
    if (left.size + right.size != best.size) continue;
    left.size = best.size;
    left.id = best.id;
    left.next = right.next;
    right.size = 0;
    if (left.next >= 0) {
      symbols[static_cast<size_t>(left.next)].previous = best.left;
      if (consider(best.left, left.next)) std::push_heap(candidates.begin(), candidates.end());
    }
    if (left.previous >= 0) {
      if (consider(left.previous, best.left)) {
        std::push_heap(candidates.begin(), candidates.end());
      }
    }
  }
}

}  // namespace pelton::tokenizer
