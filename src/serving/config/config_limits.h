#pragma once

#include <cstddef>

namespace pelton {

inline constexpr size_t kMaxConfigBytes = 256 << 10;
inline constexpr size_t kMaxConfigNodes = 10'000;
inline constexpr size_t kMaxConfigDepth = 8;
inline constexpr size_t kMaxConfigName = 200;  // bytes of a member's name

}  // namespace pelton
