#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace pelton::cpu {

// An 8-bit code as stored in the KV cache, whose scale is beside it; a type of its own so that
// loads overload on it. A load gives the code as a number.
struct Code8 {
  int8_t value;
};

// Elements before each row of the cache: those of its scale.
template <typename Element>
inline constexpr size_t kRowHeader = 0;
template <>
inline constexpr size_t kRowHeader<Code8> = sizeof(float);

// What the numbers of a row of the cache are multiples of.
template <typename Element>
inline float RowScale(const Element*) {
  return 1.0f;
}
inline float RowScale(const Code8* row) {
  float scale;
  std::memcpy(&scale, row - kRowHeader<Code8>, sizeof(scale));
  return scale;
}

}  // namespace pelton::cpu
