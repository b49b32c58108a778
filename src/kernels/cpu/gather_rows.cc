#include <cstring>

#include "kernels/ops/elementwise.h"

namespace pelton {
namespace {

void GatherRows(const GatherRowsArgs& a, size_t begin, size_t end, std::byte*) noexcept {
  for (size_t row = begin; row < end; ++row) {
    std::memcpy(a.out + row * a.out_stride, a.x + static_cast<size_t>(a.indices[row]) * a.x_stride,
                a.dim * sizeof(float));
  }
}

}  // namespace

std::span<const OpImpl<GatherRowsArgs>> GatherRowsImpls() {
  static constexpr OpImpl<GatherRowsArgs> kImpls[] = {{"generic", kCpuGeneric, GatherRows}};
  return kImpls;
}

}  // namespace pelton
