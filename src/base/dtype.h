#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace pelton {

// How the elements of a tensor are stored. Quantised types store rows as blocks of BlockElements()
// values in BlockBytes() bytes; their layouts are those of the GGUF format (source: ggml's
// block definitions), every other type is one little-endian element after another.
enum class DType : uint8_t {
  kF32,
  kF16,
  kBF16,
  kF64,
  kBool,  // one byte, 0 or 1
  kI8,
  kI16,
  kI32,
  kI64,
  kU8,
  kU16,
  kU32,
  kU64,
  kF8E4M3,  // finite only: no infinities, NaN is 0x7f and 0xff
  kF8E5M2,
  kF8E8M0,  // a power of two; scales only
  kQ4_0,
  kQ4_1,
  kQ5_0,
  kQ5_1,
  kQ8_0,
  kQ2_K,
  kQ3_K,
  kQ4_K,
  kQ5_K,
  kQ6_K,
  kIQ4_NL,
  kIQ4_XS,
  kMXFP4,  // GGUF's: one kF8E8M0 scale, then 16 bytes of nibbles
  kW8,     // int8 with one scale a row, of packed weights only: no file has it
};

inline constexpr size_t kDTypeCount = static_cast<size_t>(DType::kW8) + 1;

// Upper-case name as model files print it: "F32", "BF16", "F8_E4M3", "Q4_K".
std::string_view DTypeName(DType dtype);

// The inverse of DTypeName; letters in either case. nullopt: no such type.
std::optional<DType> ParseDType(std::string_view name);

// Elements per block: 1 for plain types, 32 or 256 for quantised ones.
size_t BlockElements(DType dtype);

// Bytes per block; for plain types the element size.
size_t BlockBytes(DType dtype);

// Bytes of `elements` consecutive elements. nullopt if they are no whole number of blocks or the
// size does not fit.
std::optional<uint64_t> RowBytes(DType dtype, uint64_t elements);

// Stored in blocks with shared scales.
inline bool IsQuantized(DType dtype) { return dtype >= DType::kQ4_0; }

}  // namespace pelton
