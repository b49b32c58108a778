#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace pelton {

// A model in memory, as far as making room is concerned.
struct RoomHolder {
  size_t bytes = 0;
  bool may_go = false;  // nobody uses it, and it need not stay
  int64_t last_used_ns = 0;
};

// Which models have to go so that `needed` bytes more fit into `budget`: those whose last use was
// longest ago, and none that could stay after all. nullopt if all that may go together are not
// enough; then none should.
std::optional<std::vector<size_t>> ChooseEvictions(std::span<const RoomHolder> holders,
                                                   size_t needed, size_t budget);

}  // namespace pelton
