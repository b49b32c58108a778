#include <cmath>

#include "kernels/ops/rope.h"

namespace pelton {
namespace {

void RopeTable(const RopeTableArgs& a, size_t begin, size_t end, std::byte*) noexcept {
  for (size_t row = begin; row < end; ++row) {
    float* cosines = a.table + row * 2 * a.half;
    float* sines = cosines + a.half;
    const int32_t whole = a.positions[row] / a.multiple * a.multiple;
    const auto position = static_cast<double>(whole);
    for (size_t i = 0; i < a.half; ++i) {
      const double angle = position * static_cast<double>(a.frequencies[i]);
      cosines[i] = static_cast<float>(std::cos(angle) * static_cast<double>(a.magnitude));
      sines[i] = static_cast<float>(std::sin(angle) * static_cast<double>(a.magnitude));
    }
  }
}

}  // namespace

std::span<const OpImpl<RopeTableArgs>> RopeTableImpls() {
  static constexpr OpImpl<RopeTableArgs> kImpls[] = {{"generic", kCpuGeneric, RopeTable}};
  return kImpls;
}

}  // namespace pelton
