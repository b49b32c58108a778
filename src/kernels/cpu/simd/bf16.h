#pragma once

#include <cstdint>

namespace pelton::cpu {

// The upper half of an f32, as stored in the KV cache and as rows of E4M3 are decoded to; a type of
// its own so that loads overload on it.
struct Bf16 {
  uint16_t bits;
};

}  // namespace pelton::cpu
