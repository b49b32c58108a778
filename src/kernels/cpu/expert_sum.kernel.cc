// Compiled once per ISA by pelton_isa_kernels(); include no std containers or algorithms here.
#include KERNEL_SIMD_HEADER
#include "kernels/ops/experts.h"

namespace pelton::cpu::KERNEL_ISA {

void ExpertSum(const ExpertSumArgs& a, size_t begin, size_t end, std::byte*) noexcept {
  constexpr size_t kLanes = F32::kLanes, kUnit = 32;
  const size_t first = begin * kUnit;
  const size_t last = end * kUnit < a.dim ? end * kUnit : a.dim;
  if (!a.accumulate) {
    for (size_t token = 0; token < a.tokens; ++token) {
      __builtin_memset(a.out + token * a.out_stride + first, 0, (last - first) * sizeof(float));
    }
  }
  for (size_t row = 0; row < a.pairs; ++row) {
    const auto pair = static_cast<size_t>(a.order[row]);
    const F32 weight = Broadcast(a.weights[pair]);
    const float* x = a.rows + row * a.rows_stride;
    float* out = a.out + pair / a.top * a.out_stride;
    size_t d = first;
    for (; d + kLanes <= last; d += kLanes) {
      Store(MulAdd(weight, Load(x + d), Load(out + d)), out + d);
    }
    if (d < last) {
      const size_t rest = last - d;
      StorePartial(MulAdd(weight, LoadPartial(x + d, rest), LoadPartial(out + d, rest)), out + d,
                   rest);
    }
  }
}

}  // namespace pelton::cpu::KERNEL_ISA
