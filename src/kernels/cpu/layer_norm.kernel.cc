// Compiled once per ISA by pelton_isa_kernels(); include no std containers or algorithms here.
#include "kernels/ops/layer_norm.h"

#include "kernels/cpu/row_output.h"

namespace pelton::cpu::KERNEL_ISA {
namespace {

// Sum over the row: term(x, sum) adds what x contributes, lane by lane. Four accumulators hide the
// latency of the additions.
template <typename Term>
float SumOf(const float* x, size_t dim, const Term& term) {
  constexpr size_t kLanes = F32::kLanes;
  F32 sums[4] = {Zero(), Zero(), Zero(), Zero()};
  size_t d = 0;
  for (; d + 4 * kLanes <= dim; d += 4 * kLanes) {
#pragma GCC unroll 4
    for (size_t i = 0; i < 4; ++i) sums[i] = term(Load(x + d + i * kLanes), sums[i]);
  }
  for (; d + kLanes <= dim; d += kLanes) sums[0] = term(Load(x + d), sums[0]);
  float sum = SumLanes(Add(Add(sums[0], sums[1]), Add(sums[2], sums[3])));
  // Lanes behind the end would add the term of 0, so the rest is added one by one.
  for (; d < dim; ++d) sum += FirstLane(term(LoadPartial(x + d, 1), Zero()));
  return sum;
}

}  // namespace

void LayerNorm(const LayerNormArgs& a, size_t begin, size_t end, std::byte*) noexcept {
  const QuantizedRows quantized{a.quantized, a.dim};
  for (size_t row = begin; row < end; ++row) {
    const float* x = a.x + row * a.x_stride;
    float* out = a.out == nullptr ? nullptr : a.out + row * a.out_stride;
    const float count = static_cast<float>(a.dim);
    const F32 mean = Broadcast(SumOf(x, a.dim, [](F32 v, F32 sum) { return Add(sum, v); }) / count);
    const float squares = SumOf(x, a.dim, [mean](F32 v, F32 sum) {
      const F32 centred = Sub(v, mean);
      return MulAdd(centred, centred, sum);
    });
    const F32 scale = Broadcast(1.0f / __builtin_sqrtf(squares / count + a.epsilon));
    const auto value_at = [&](size_t d, auto load) {
      return MulAdd(Mul(Sub(load(x + d), mean), scale), load(a.weight + d), load(a.bias + d));
    };
    WriteRow(value_at, a.dim, out, quantized, row);
  }
}

}  // namespace pelton::cpu::KERNEL_ISA
