#pragma once

#include "kernels/cpu/simd/functions.h"
#include "kernels/ops/quantized_rows.h"

// How row kernels read and write rows, compiled per ISA.
namespace pelton::cpu::KERNEL_ISA {

// Quantises 32 values to a block of a row. Multiplies by 127 / max, which is finite down to blocks
// so small (below 2^-119) that they count as zeros.
inline void QuantizeBlock(const float* x, const QuantizedRows& quantized, size_t row,
                          size_t block) {
  static_assert(QuantizedRows::kBlock == 32);
  int8_t* values = quantized.Values(row) + block * QuantizedRows::kBlock;
  float* scale = quantized.Scales(row) + block;
  int32_t* sum = quantized.Sums(row) + block;
  const uint32_t bits = MaxMagnitudeBits32(x);
  const bool tiny = bits < ((127u - 119u) << 23);
  const float largest = __builtin_bit_cast(float, bits);
  if (bits < 0x7f800000u) {
    *sum = RoundToInt8x32(x, tiny ? 0.0f : 127.0f / largest, values);
    *scale = tiny ? 0.0f : largest / 127.0f;
  } else {
    __builtin_memset(values, 0, QuantizedRows::kBlock);
    *sum = 0;
    *scale = __builtin_nanf("");
  }
}

// Functors that read a whole vector, or its first lanes at the end of a row.
struct LoadAll {
  template <typename Element>
  F32 operator()(const Element* p) const {
    return Load(p);
  }
};
struct LoadFirst {
  size_t count;
  template <typename Element>
  F32 operator()(const Element* p) const {
    return LoadPartial(p, count);
  }
};

// Writes `count` numbers as codes and their scale, which lies before them; rounds as QuantizeBlock
// does. Requires: count is a multiple of 32.
inline void CopyRow(const float* x, size_t count, Code8* out) {
  uint32_t bits = 0;
  for (size_t i = 0; i < count; i += 32) {
    const uint32_t some = MaxMagnitudeBits32(x + i);
    bits = some > bits ? some : bits;
  }
  const bool finite = bits < 0x7f800000u;
  const bool zero = !finite || bits < ((127u - 119u) << 23);
  const float largest = __builtin_bit_cast(float, bits);
  auto* codes = reinterpret_cast<int8_t*>(out);
  if (zero) __builtin_memset(codes, 0, count);
  for (size_t i = 0; !zero && i < count; i += 32) {
    RoundToInt8x32(x + i, 127.0f / largest, codes + i);
  }
  const float scale = !finite ? __builtin_nanf("") : zero ? 0.0f : largest / 127.0f;
  __builtin_memcpy(codes - kRowHeader<Code8>, &scale, sizeof(scale));
}

// Copies `count` elements from x to out, rounding if out holds halves. out may be x.
template <typename Element>
inline void CopyRow(const float* x, size_t count, Element* out) {
  constexpr size_t kLanes = F32::kLanes;
  size_t d = 0;
  for (; d + kLanes <= count; d += kLanes) Store(Load(x + d), out + d);
  if (d < count) StorePartial(LoadPartial(x + d, count - d), out + d, count - d);
}

// Writes the row value_at(d, load), d < dim, to `out` and, quantised, to row `row` of `quantized`;
// either may be absent. value_at reads with `load` at offset d of its inputs and returns the lanes
// d, d + 1, ...; an input may be `out`.
template <typename ValueAt>
inline void WriteRow(const ValueAt& value_at, size_t dim, float* out,
                     const QuantizedRows& quantized, size_t row) {
  constexpr size_t kLanes = F32::kLanes;
  if (quantized.data == nullptr) {
    if (out == nullptr) return;
    size_t d = 0;
    for (; d + kLanes <= dim; d += kLanes) Store(value_at(d, LoadAll{}), out + d);
    if (d < dim) StorePartial(value_at(d, LoadFirst{dim - d}), out + d, dim - d);
    return;
  }
  alignas(64) float block[QuantizedRows::kBlock];
  for (size_t first = 0; first < dim; first += QuantizedRows::kBlock) {
    for (size_t i = 0; i < QuantizedRows::kBlock; i += kLanes) {
      const size_t d = first + i;
      if (d + kLanes <= dim) {
        const F32 value = value_at(d, LoadAll{});
        Store(value, block + i);
        if (out != nullptr) Store(value, out + d);
      } else if (d < dim) {
        // The tail's other lanes may hold anything that the zeros read there turn into.
        Store(Zero(), block + i);
        const F32 value = value_at(d, LoadFirst{dim - d});
        StorePartial(value, block + i, dim - d);
        if (out != nullptr) StorePartial(value, out + d, dim - d);
      } else {
        Store(Zero(), block + i);
      }
    }
    QuantizeBlock(block, quantized, row, first / QuantizedRows::kBlock);
  }
}

}  // namespace pelton::cpu::KERNEL_ISA
