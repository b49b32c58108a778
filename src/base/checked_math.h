#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <optional>

namespace pelton {

// Arithmetic on sizes that come from files, requests or peers. Empty when the exact result does
// not fit; nothing wraps.
template <std::unsigned_integral T>
constexpr std::optional<T> CheckedAdd(T a, T b) {
  T out;
  if (__builtin_add_overflow(a, b, &out)) return std::nullopt;
  return out;
}

template <std::unsigned_integral T>
constexpr std::optional<T> CheckedMul(T a, T b) {
  T out;
  if (__builtin_mul_overflow(a, b, &out)) return std::nullopt;
  return out;
}

// `value` rounded up to a multiple of `alignment`. Requires: alignment > 0 (any value, not only
// powers of two).
template <std::unsigned_integral T>
constexpr std::optional<T> CheckedAlignUp(T value, T alignment) {
  const T rest = value % alignment;
  if (rest == 0) return value;
  return CheckedAdd<T>(value, alignment - rest);
}

// For sizes that are known to be small: ceil(a / b). Requires: b > 0.
constexpr size_t DivUp(size_t a, size_t b) { return a / b + (a % b != 0); }
constexpr size_t RoundUp(size_t a, size_t b) { return DivUp(a, b) * b; }

}  // namespace pelton
