#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace pelton {

// A token that may still be drawn.
struct Candidate {
  float logit;
  int32_t id;
};

// The order of candidates everywhere: higher logit first, lower id first on ties.
inline bool Better(const Candidate& a, const Candidate& b) {
  return a.logit > b.logit || (a.logit == b.logit && a.id < b.id);
}

// Fills `out` with the `count` best tokens of the row, best first; fewer if fewer are above
// -infinity. One pass over the row, without sorting it; no allocation if out's capacity is at
// least row.size(). Requires: no NaN, count > 0.
void SelectTop(std::span<const float> row, size_t count, std::vector<Candidate>& out);

}  // namespace pelton
