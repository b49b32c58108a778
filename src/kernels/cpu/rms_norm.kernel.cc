// Compiled once per ISA by pelton_isa_kernels(); include no std containers or algorithms here.
#include "kernels/ops/rms_norm.h"

#include "kernels/cpu/row_output.h"

namespace pelton::cpu::KERNEL_ISA {
namespace {

// Sum of squares of x + add (add may be null), which is also stored to `sum` unless null. Four
// accumulators hide the latency of the additions.
float SumSquares(const float* x, const float* add, float* sum, size_t dim) {
  constexpr size_t kLanes = F32::kLanes;
  F32 squares[4] = {Zero(), Zero(), Zero(), Zero()};
  size_t d = 0;
  const auto visit = [&](F32 s, size_t i) {
    if (sum != nullptr) Store(s, sum + d + i * kLanes);
    squares[i] = MulAdd(s, s, squares[i]);
  };
  for (; d + 4 * kLanes <= dim; d += 4 * kLanes) {
#pragma GCC unroll 4
    for (size_t i = 0; i < 4; ++i) {
      const F32 s = Load(x + d + i * kLanes);
      visit(add == nullptr ? s : Add(s, Load(add + d + i * kLanes)), i);
    }
  }
  for (; d + kLanes <= dim; d += kLanes) {
    const F32 s = Load(x + d);
    visit(add == nullptr ? s : Add(s, Load(add + d)), 0);
  }
  if (d < dim) {
    const size_t rest = dim - d;
    F32 s = LoadPartial(x + d, rest);
    if (add != nullptr) s = Add(s, LoadPartial(add + d, rest));
    if (sum != nullptr) StorePartial(s, sum + d, rest);
    squares[0] = MulAdd(s, s, squares[0]);
  }
  return SumLanes(Add(Add(squares[0], squares[1]), Add(squares[2], squares[3])));
}

}  // namespace

void RmsNorm(const RmsNormArgs& a, size_t begin, size_t end, std::byte*) noexcept {
  const QuantizedRows quantized{a.quantized, a.dim};
  for (size_t row = begin; row < end; ++row) {
    for (size_t g = 0; g < a.groups; ++g) {
      const size_t first = g * a.dim;
      const float* x = a.x + row * a.x_stride + first;
      const float* add = a.add == nullptr ? nullptr : a.add + row * a.add_stride + first;
      float* sum = a.sum == nullptr ? nullptr : a.sum + row * a.sum_stride + first;
      float* out = a.out == nullptr ? nullptr : a.out + row * a.out_stride + first;
      const float mean = SumSquares(x, add, sum, a.dim) / static_cast<float>(a.dim);
      if (sum != nullptr) {  // it may be x or add, so these are not read again
        x = sum;
        add = nullptr;
      }
      const F32 scale = Broadcast(1.0f / __builtin_sqrtf(mean + a.epsilon));
      const auto value_at = [&](size_t d, auto load) {
        F32 s = load(x + d);
        if (add != nullptr) s = Add(s, load(add + d));
        return Mul(Mul(s, scale), load(a.weight + d));
      };
      WriteRow(value_at, a.dim, out, quantized, row);
    }
  }
}

}  // namespace pelton::cpu::KERNEL_ISA
