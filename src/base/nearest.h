#pragma once

#include <span>
#include <string>
#include <string_view>

namespace pelton {

// The candidate nearest to `word` by edit distance, if it is near enough to be meant; else empty.
// Of a long word only the first 64 bytes count.
std::string Nearest(std::string_view word, std::span<const std::string> candidates);

}  // namespace pelton
