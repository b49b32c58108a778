#pragma once

#include <cstdint>

namespace pelton::cpu {

// An IEEE half as stored in the KV cache; a type of its own so that loads overload on it.
struct F16 {
  uint16_t bits;
};

inline constexpr float kMaxF16 = 65504.0f;

}  // namespace pelton::cpu
