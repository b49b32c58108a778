// Compiled once per ISA by pelton_isa_kernels(); include no std containers or algorithms here.
#include "kernels/ops/streams.h"

#include "kernels/cpu/row_output.h"

namespace pelton::cpu::KERNEL_ISA {
namespace {

// Calls visit(d, load, store) for the lanes of a row of `dim`.
template <typename Visit>
void ForEachVector(size_t dim, const Visit& visit) {
  constexpr size_t kLanes = F32::kLanes;
  size_t d = 0;
  for (; d + kLanes <= dim; d += kLanes) {
    visit(d, LoadAll{}, [](F32 v, float* p) { Store(v, p); });
  }
  if (d == dim) return;
  const size_t rest = dim - d;
  visit(d, LoadFirst{rest}, [rest](F32 v, float* p) { StorePartial(v, p, rest); });
}

}  // namespace

void StreamMerge(const StreamMergeArgs& a, size_t begin, size_t end, std::byte*) noexcept {
  for (size_t row = begin; row < end; ++row) {
    const float* x = a.x + row * a.x_stride;
    const float* pre = a.weights + row * a.weights_stride;
    float* out = a.out + row * a.dim;
    ForEachVector(a.dim, [&](size_t d, const auto& load, const auto& store) {
      F32 sum = Zero();
      for (size_t m = 0; m < a.streams; ++m) {
        sum = MulAdd(Broadcast(pre[m]), load(x + m * a.dim + d), sum);
      }
      store(sum, out + d);
    });
  }
}

void StreamMix(const StreamMixArgs& a, size_t begin, size_t end, std::byte*) noexcept {
  const size_t streams = a.streams;
  for (size_t row = begin; row < end; ++row) {
    const float* x = a.x + row * a.x_stride;
    const float* y = a.y + row * a.y_stride;
    const float* post = a.weights + row * a.weights_stride + streams;
    const float* comb = post + streams;
    float* out = a.out + row * a.out_stride;
    ForEachVector(a.dim, [&](size_t d, const auto& load, const auto& store) {
      F32 in[kMaxStreams];  // all are read before any is written, as out may be x
      for (size_t m = 0; m < streams; ++m) in[m] = load(x + m * a.dim + d);
      const F32 made = load(y + d);
      for (size_t n = 0; n < streams; ++n) {
        F32 sum = Mul(Broadcast(post[n]), made);
        for (size_t m = 0; m < streams; ++m) {
          sum = MulAdd(Broadcast(comb[m * streams + n]), in[m], sum);
        }
        store(sum, out + n * a.dim + d);
      }
    });
  }
}

}  // namespace pelton::cpu::KERNEL_ISA
