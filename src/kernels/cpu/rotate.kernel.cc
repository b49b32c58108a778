// Compiled once per ISA by pelton_isa_kernels(); include no std containers or algorithms here.
#include "kernels/ops/rotate.h"

#include "kernels/cpu/row_output.h"

namespace pelton::cpu::KERNEL_ISA {
namespace {

// Butterflies over elements h apart, where (a, b) becomes (a + b, a - b): one level of them, and
// two levels at once, h and 2 h, with the sums of one after the other.
struct OneLevel {
  static constexpr size_t kParts = 2;
  static void Turn(F32 (&v)[2]) {
    const F32 a = v[0], b = v[1];
    v[0] = Add(a, b);
    v[1] = Sub(a, b);
  }
};
struct TwoLevels {
  static constexpr size_t kParts = 4;
  static void Turn(F32 (&v)[4]) {
    const F32 a = Add(v[0], v[1]), b = Sub(v[0], v[1]), c = Add(v[2], v[3]), d = Sub(v[2], v[3]);
    v[0] = Add(a, c);
    v[1] = Add(b, d);
    v[2] = Sub(a, c);
    v[3] = Sub(b, d);
  }
};

// out may be x.
template <typename Levels>
void TurnRow(const float* x, size_t dim, size_t h, float* out) {
  constexpr size_t kParts = Levels::kParts, kLanes = F32::kLanes;
  for (size_t first = 0; first < dim; first += kParts * h) {
    F32 v[kParts];
    size_t i = first;
    for (; i + kLanes <= first + h; i += kLanes) {
#pragma GCC unroll 4
      for (size_t p = 0; p < kParts; ++p) v[p] = Load(x + i + p * h);
      Levels::Turn(v);
#pragma GCC unroll 4
      for (size_t p = 0; p < kParts; ++p) Store(v[p], out + i + p * h);
    }
    const size_t left = first + h - i;
    if (left == 0) continue;
#pragma GCC unroll 4
    for (size_t p = 0; p < kParts; ++p) v[p] = LoadPartial(x + i + p * h, left);
    Levels::Turn(v);
#pragma GCC unroll 4
    for (size_t p = 0; p < kParts; ++p) StorePartial(v[p], out + i + p * h, left);
  }
}

// In 8 bits with one scale, as QuantizeBlock does a block.
void QuantizeRow(const float* x, const QuantizedRows& quantized, size_t row) {
  constexpr size_t kBlock = QuantizedRows::kBlock;
  const size_t blocks = quantized.cols / kBlock;
  uint32_t bits = 0;
  for (size_t b = 0; b < blocks; ++b) {
    const uint32_t of_block = MaxMagnitudeBits32(x + b * kBlock);
    bits = bits < of_block ? of_block : bits;
  }
  const bool number = bits < 0x7f800000u, tiny = bits < ((127u - 119u) << 23);
  const float largest = __builtin_bit_cast(float, bits);
  const float inverse = tiny ? 0.0f : 127.0f / largest;
  const float scale = !number ? __builtin_nanf("") : tiny ? 0.0f : largest / 127.0f;
  for (size_t b = 0; b < blocks; ++b) {
    int8_t* const values = quantized.Values(row) + b * kBlock;
    quantized.Scales(row)[b] = scale;
    if (number) {
      quantized.Sums(row)[b] = RoundToInt8x32(x + b * kBlock, inverse, values);
    } else {
      __builtin_memset(values, 0, kBlock);
      quantized.Sums(row)[b] = 0;
    }
  }
}

}  // namespace

void Rotate(const RotateArgs& a, size_t begin, size_t end, std::byte* scratch) noexcept {
  const size_t order = RotationOrder(a.dim);
  const QuantizedRows quantized{a.quantized, a.dim};
  for (size_t row = begin; row < end; ++row) {
    const float* x = a.x + row * a.x_stride;
    float* const out =
        a.out == nullptr ? reinterpret_cast<float*>(scratch) : a.out + row * a.out_stride;
    size_t h = a.dim / order;
    for (; 4 * h <= a.dim; h *= 4) {
      TurnRow<TwoLevels>(x, a.dim, h, out);
      x = out;
    }
    if (h < a.dim) TurnRow<OneLevel>(x, a.dim, h, out);
    if (a.out == nullptr) QuantizeRow(out, quantized, row);
  }
}

}  // namespace pelton::cpu::KERNEL_ISA
