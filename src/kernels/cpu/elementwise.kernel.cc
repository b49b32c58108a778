// Compiled once per ISA by pelton_isa_kernels(); include no std containers or algorithms here.
#include "kernels/ops/elementwise.h"

#include "kernels/cpu/row_output.h"

namespace pelton::cpu::KERNEL_ISA {
namespace {

template <BinaryKind kKind>
F32 Apply(F32 a, F32 b) {
  if constexpr (kKind == BinaryKind::kAdd) return Add(a, b);
  if constexpr (kKind == BinaryKind::kMul) return Mul(a, b);
  if constexpr (kKind == BinaryKind::kSiluMul) return Mul(Silu(a), b);
  if constexpr (kKind == BinaryKind::kGeluTanhMul) return Mul(GeluTanh(a), b);
  if constexpr (kKind == BinaryKind::kSwigluOaiMul) return SwigluOai(a, b);
}

template <BinaryKind kKind>
void BinaryRows(const BinaryArgs& a, size_t begin, size_t end) {
  const QuantizedRows quantized{a.quantized, a.dim};
  for (size_t row = begin; row < end; ++row) {
    const float* x = a.a + row * a.a_stride;
    const float* y = a.b + row * a.b_stride;
    float* out = a.out == nullptr ? nullptr : a.out + row * a.out_stride;
    const auto plain = [&](size_t d, auto load) { return Apply<kKind>(load(x + d), load(y + d)); };
    const auto clamped = [&](size_t d, auto load) {
      F32 gate = load(x + d), up = load(y + d);
      ClampGate(Broadcast(a.limit), gate, up);
      return Apply<kKind>(gate, up);
    };
    if (a.limit > 0) {
      WriteRow(clamped, a.dim, out, quantized, row);
    } else {
      WriteRow(plain, a.dim, out, quantized, row);
    }
  }
}

template <typename Function>
void UnaryRows(const UnaryArgs& a, size_t begin, size_t end, const Function& function) {
  for (size_t row = begin; row < end; ++row) {
    const float* x = a.x + row * a.x_stride;
    WriteRow([&](size_t d, auto load) { return function(load(x + d)); }, a.dim,
             a.out + row * a.out_stride, QuantizedRows{nullptr, a.dim}, row);
  }
}

}  // namespace

void Binary(const BinaryArgs& a, size_t begin, size_t end, std::byte*) noexcept {
  switch (a.kind) {
    case BinaryKind::kAdd:
      return BinaryRows<BinaryKind::kAdd>(a, begin, end);
    case BinaryKind::kMul:
      return BinaryRows<BinaryKind::kMul>(a, begin, end);
    case BinaryKind::kSiluMul:
      return BinaryRows<BinaryKind::kSiluMul>(a, begin, end);
    case BinaryKind::kGeluTanhMul:
      return BinaryRows<BinaryKind::kGeluTanhMul>(a, begin, end);
    case BinaryKind::kSwigluOaiMul:
      return BinaryRows<BinaryKind::kSwigluOaiMul>(a, begin, end);
  }
}

void Unary(const UnaryArgs& a, size_t begin, size_t end, std::byte*) noexcept {
  const F32 parameter = Broadcast(a.parameter);
  switch (a.kind) {
    case UnaryKind::kCopy:
      return UnaryRows(a, begin, end, [](F32 x) { return x; });
    case UnaryKind::kScale:
      return UnaryRows(a, begin, end, [=](F32 x) { return Mul(x, parameter); });
    case UnaryKind::kSoftCap:
      return UnaryRows(a, begin, end,
                       [=](F32 x) { return Mul(parameter, Tanh(Div(x, parameter))); });
    case UnaryKind::kSilu:
      return UnaryRows(a, begin, end, [](F32 x) { return Silu(x); });
    case UnaryKind::kGeluTanh:
      return UnaryRows(a, begin, end, [](F32 x) { return GeluTanh(x); });
    case UnaryKind::kGeluErf:
      return UnaryRows(a, begin, end, [](F32 x) { return GeluErf(x); });
  }
}

void QuantizeRows(const QuantizeRowsArgs& a, size_t begin, size_t end, std::byte*) noexcept {
  const QuantizedRows quantized{a.out, a.dim};
  for (size_t row = begin; row < end; ++row) {
    const float* x = a.x + row * a.x_stride;
    WriteRow([&](size_t d, auto load) { return load(x + d); }, a.dim, nullptr, quantized, row);
  }
}

}  // namespace pelton::cpu::KERNEL_ISA
