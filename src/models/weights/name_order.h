#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

namespace pelton {

// The indices 0 ... count - 1 ordered by `name_of(index)`. Sorted, not hashed: a file chooses its
// names, and must not be able to choose collisions. Requires: count < 2^32.
template <typename NameOf>
std::vector<uint32_t> OrderByName(size_t count, NameOf name_of) {
  std::vector<uint32_t> order(count);
  for (size_t i = 0; i < count; ++i) order[i] = static_cast<uint32_t>(i);
  std::sort(order.begin(), order.end(),
            [&](uint32_t a, uint32_t b) { return name_of(a) < name_of(b); });
  return order;
}

// The index of a name that occurs more than once in `order`.
template <typename NameOf>
std::optional<uint32_t> FindRepeatedName(const std::vector<uint32_t>& order, NameOf name_of) {
  for (size_t i = 1; i < order.size(); ++i) {
    if (name_of(order[i - 1]) == name_of(order[i])) return order[i];
  }
  return std::nullopt;
}

// The index whose name is `name`.
template <typename NameOf>
std::optional<uint32_t> FindName(const std::vector<uint32_t>& order, std::string_view name,
                                 NameOf name_of) {
  const auto found =
      std::lower_bound(order.begin(), order.end(), name,
                       [&](uint32_t i, std::string_view wanted) { return name_of(i) < wanted; });
  if (found == order.end() || name_of(*found) != name) return std::nullopt;
  return *found;
}

}  // namespace pelton
