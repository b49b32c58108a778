#include "serving/pool/room.h"

#include <algorithm>
#include <utility>

namespace pelton {

std::optional<std::vector<size_t>> ChooseEvictions(std::span<const RoomHolder> holders,
                                                   size_t needed, size_t budget) {
  // Sums are of sizes that this process once mapped, so they do not wrap.
  size_t used = 0;
  std::vector<size_t> candidates;
  for (size_t i = 0; i < holders.size(); ++i) {
    used += holders[i].bytes;
    if (holders[i].may_go) candidates.push_back(i);
  }
  std::sort(candidates.begin(), candidates.end(), [&](size_t a, size_t b) {
    return std::pair(holders[a].last_used_ns, a) < std::pair(holders[b].last_used_ns, b);
  });
  const auto fits = [&](size_t bytes) { return needed <= budget && bytes <= budget - needed; };
  std::vector<size_t> going;
  for (const size_t i : candidates) {
    if (fits(used)) break;
    used -= holders[i].bytes;
    going.push_back(i);
  }
  if (!fits(used)) return std::nullopt;
  // A large one may have made it unnecessary that older, smaller ones go.
  for (size_t i = going.size(); i-- > 0;) {
    const size_t bytes = holders[going[i]].bytes;
    if (!fits(used + bytes)) continue;
    used += bytes;
    going.erase(going.begin() + static_cast<std::ptrdiff_t>(i));
  }
  return going;
}

}  // namespace pelton
